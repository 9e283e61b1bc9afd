"""What a shell offers at the Tab key: handles from the cache, names from a repository.

It is asked at every key, so that nothing heavy is imported, no network is used, and whatever goes
wrong gives no completions: see ``answer``.
"""

import json
import os
import re
import signal
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    ShellComplete,
    get_completion_class,
    split_arg_string,
)

from hub_tfx._files import read_regular

if TYPE_CHECKING:
    from hub_tfx.repository.storage import Storage

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_HUB_TFX_COMPLETE"
_MAX_RECORDS = 2000
_MAX_OFFERED = 200
_PLAIN = re.compile(r"[A-Za-z0-9._~:/@+%=,-]+")
"""What a shell takes as it is; other names are left out, since a shell would expand them."""
_IN_REPOSITORY = "repo+"
_HANDLES = ("HANDLE", "HANDLE…", "MODULE", "A", "B")
"""What commands call an argument, or the value of an option, that is a handle."""
_REFERENCES = ("REFERENCE", "PUBLISHER/MODEL", "[PUBLISHER/MODEL]", "PUBLISHER/MODEL/VERSION")
_LICENSES = (
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC-BY-4.0",
    "CC-BY-NC-4.0",
    "CC-BY-SA-4.0",
    "CC0-1.0",
    "GPL-3.0-only",
    "MIT",
    "other",
)
_BASH = """\
%(complete_func)s() {
    local IFS=$'\\n' type value response
    response=$(COMP_LINE="${COMP_LINE:0:COMP_POINT}" COMP_WORDBREAKS="$COMP_WORDBREAKS" \\
        %(complete_var)s=bash_complete "$1" 2>/dev/null)
    COMPREPLY=()
    while IFS=',' read -r type value; do
        case $type in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain) COMPREPLY+=("$value") ;;
        esac
    done <<< "$response"
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""


def script(command: click.Command, shell: str) -> str:
    """What a shell reads to complete the commands of ``hub-tfx``."""
    return _of(command, shell).source()


def answer(command: click.Command, instruction: str) -> str:
    """What a shell that has called us is told; nothing where something is wrong."""
    shell, _, what = instruction.partition("_")
    if shell not in SHELLS or what not in ("complete", "source"):
        return ""
    if what == "source":
        return script(command, shell)
    try:
        return _of(command, shell).complete()
    except Exception:  # noqa: BLE001  (a traceback in a line that is being typed helps nobody)
        return ""


def end_in_time(seconds: float = 3.0) -> None:
    """Ends this process without an answer after some time, such as where a disk has none."""
    signal.signal(signal.SIGALRM, lambda *_: os._exit(0))
    signal.setitimer(signal.ITIMER_REAL, seconds)


def offered(command: click.Command) -> click.Command:
    """The command, whose handles and references are completed from now on."""
    if isinstance(command, click.Group):
        for below in command.commands.values():
            offered(below)
    for parameter in command.params:
        named = parameter.metavar or (parameter.name or "").upper()
        if named in _HANDLES:
            parameter._custom_shell_complete = handles
        elif named in _REFERENCES:
            parameter._custom_shell_complete = references
    return command


def _of(command: click.Command, shell: str) -> ShellComplete:
    kind = _Bash if shell == "bash" else get_completion_class(shell)
    assert kind is not None
    return kind(command, {}, "hub-tfx", VARIABLE)


class _Bash(BashComplete):
    """Knows that bash takes https://hub for the three words https, : and //hub."""

    source_template = _BASH
    _typed = ""

    def source(self) -> str:
        """The script, without asking which bash there is."""
        return ShellComplete.source(self)

    def get_completion_args(self) -> tuple[list[str], str]:
        line = os.environ["COMP_LINE"]
        words = split_arg_string(line)
        self._typed = "" if line[-1:].isspace() or len(words) < 2 else words[-1]
        return words[1:-1] if self._typed else words[1:], self._typed

    def format_completion(self, item: "CompletionItem[str]") -> str:
        """The part of a completion that is after the last break of what is typed."""
        breaks = os.environ.get("COMP_WORDBREAKS", "")
        kept = max((self._typed.rfind(c) + 1 for c in breaks if c in ":=@"), default=0)
        begins = item.value.startswith(self._typed[:kept])
        return f"{item.type},{item.value[kept:] if begins else item.value}"


# --- Values ---------------------------------------------------------------------------------------


def handles(ctx: click.Context, _: click.Parameter, typed: str) -> "list[CompletionItem[str]]":
    """Handles of the cache and, after ``repo+DIR//``, of that repository; otherwise files."""
    if typed.startswith(_IN_REPOSITORY):
        root, slashes, name = typed.removeprefix(_IN_REPOSITORY).rpartition("//")
        if not slashes:
            return _items(h for h in _cached(ctx) if h.startswith(typed))
        begin = f"{_IN_REPOSITORY}{root}//"
        return _items(f"{begin}{found}" for found in _named(root, name))
    cached = _items(handle for handle in _cached(ctx) if handle.startswith(typed))
    return cached or [CompletionItem(typed, type="file")]


def references(ctx: click.Context, _: click.Parameter, typed: str) -> "list[CompletionItem[str]]":
    """Modules and versions of the repository of a command."""
    return _items(_named(_repository(ctx), typed))


def tasks(ctx: click.Context, _: click.Parameter, typed: str) -> "list[CompletionItem[str]]":
    from hub_tfx.repository.vocabulary import TASKS

    return _items(task for task in TASKS if task.startswith(typed))


def formats(ctx: click.Context, _: click.Parameter, typed: str) -> "list[CompletionItem[str]]":
    return _items(name for name in ("saved_model", "tf1_hub") if name.startswith(typed))


def licenses(ctx: click.Context, _: click.Parameter, typed: str) -> "list[CompletionItem[str]]":
    return _items(name for name in _LICENSES if name.lower().startswith(typed.lower()))


def publishers(ctx: click.Context, _: click.Parameter, typed: str) -> "list[CompletionItem[str]]":
    storage = _storage(_repository(ctx))
    return _items(n for n in _publishers(storage) if n.startswith(typed)) if storage else []


def _items(values: Iterable[str]) -> "list[CompletionItem[str]]":
    """What is offered: as much as a person would read, and nothing that a shell would expand."""
    items = list[CompletionItem[str]]()
    for value in values:
        if _PLAIN.fullmatch(value):
            items.append(CompletionItem(value))
        if len(items) == _MAX_OFFERED:
            break
    return items


def _cached(ctx: click.Context) -> list[str]:
    """Handles that the cache knows, of those that are not paths and hold no credentials."""
    from hub_tfx.errors import OutputError
    from hub_tfx.store.cache import ModuleCache

    found = set[str]()
    with suppress(OSError, OutputError):  # There is no cache yet, or never.
        folder = ModuleCache(ctx.params.get("cache_dir")).root / "hub_tfx" / "handles"
        with os.scandir(folder) as entries:
            found |= {_handle(entry.path) for entry in islice(entries, _MAX_RECORDS)}
    return sorted(filter(_is_whole, found))


def _handle(record: str) -> str:
    """The handle of a record of the cache; nothing where it is damaged."""
    with suppress(OSError, ValueError, LookupError, TypeError, RecursionError):
        handle = json.loads(read_regular(record))["handle"]
        return handle if isinstance(handle, str) else ""
    return ""


def _is_whole(handle: str) -> bool:
    return "://" in handle.removeprefix(_IN_REPOSITORY) or handle.startswith(_IN_REPOSITORY)


def _repository(ctx: click.Context) -> str:
    return ctx.params.get("repository") or os.environ.get("HUB_TFX_REPOSITORY", "")


def _storage(repository: str) -> "Storage | None":
    """A repository on this machine; buckets are not asked, since that takes its time."""
    from hub_tfx.repository.storage import open_storage

    return open_storage(repository) if repository and "://" not in repository else None


def _publishers(storage: "Storage") -> list[str]:
    return [name for name in storage.names("") if name != "-" and not name.startswith(".")]


def _named(repository: str, typed: str) -> Iterator[str]:
    """``publisher/model`` that begin as what is typed; of a whole one its versions and aliases."""
    storage = _storage(repository)
    if storage is None:
        return
    publisher, slash, _ = typed.partition("/")
    for name in [publisher] if slash else _publishers(storage):
        for model in storage.names(name):
            if f"{name}/{model}".startswith(typed):
                yield f"{name}/{model}"
    yield from _versions(storage, typed)


def _versions(storage: "Storage", typed: str) -> Iterator[str]:
    from hub_tfx.errors import HandleError
    from hub_tfx.repository.names import ModuleName
    from hub_tfx.repository.versions import alias_names, numbers

    whole = typed.partition("@")[0] if "@" in typed else "/".join(typed.split("/")[:2])
    with suppress(HandleError):
        name = ModuleName.parse(whole)
        there = numbers(storage, name)
        all_ = [f"{name}/{number}" for number in reversed(there)]
        all_ += [f"{name}@{alias}" for alias in [*alias_names(storage, name), "latest"] if there]
        yield from (one for one in all_ if one.startswith(typed))
