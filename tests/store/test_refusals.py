"""Every refusal of the store says of what it is, why, and what to do."""

import ast
import errno
import gzip
import io
import os
import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hub_tfx.store
from hub_tfx import _files
from hub_tfx.errors import HubTfxError
from hub_tfx.module.handle import ModuleHandle
from hub_tfx.store.archive import pack, unpack
from hub_tfx.store.cache import ModuleCache
from hub_tfx.store.fetch.http import HttpFetcher
from hub_tfx.store.fetch.web import redirect_target
from hub_tfx.store.tar_reader import Limits
from hub_tfx.testing import FakeFetcher, minimal_module

FIX = re.compile(
    r"[:;,] (?:or )?(?:pack|download|check|try|ask|unset|set|free|give|copy|see|name|use|do not|"
    r"pin|end|rename|connect|install|if you trust it|if that is intended|"
    r"for an authority of your own)\b"
)
"""How what to do begins, after what happened."""


def tar_of(*members: tarfile.TarInfo) -> bytes:
    stream = io.BytesIO()
    for member in members:
        stream.write(member.tobuf(tarfile.PAX_FORMAT) + bytes(member.size + -member.size % 512))
    return stream.getvalue() + bytes(1024)


def member(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    return info


ARCHIVES: dict[str, tuple[bytes, str]] = {
    "a link": (tar_of(member("a", tarfile.SYMTYPE)), "symbolic link"),
    "a device": (tar_of(member("a", tarfile.CHRTYPE)), "character device"),
    "a FIFO": (tar_of(member("a", tarfile.FIFOTYPE)), "FIFO"),
    "dots": (tar_of(member("../a")), r"'\.\.' in its path"),
    "absolute": (tar_of(member("/a")), "absolute"),
    "a backslash": (tar_of(member("a\\b")), "backslash"),
    "a URL": (tar_of(member("gs://a/b")), "is a URL"),
    "twice": (tar_of(member("a"), member("a", size=1)), "second member"),
    "another case": (tar_of(member("a"), member("A")), "same as 'a'"),
    "both": (tar_of(member("a"), member("a/b")), "file and a directory"),
    "deep": (tar_of(member("/".join("d" * 40))), "levels deep"),
    "long": (tar_of(member("n" * 256)), "255 bytes"),
    "many": (tar_of(*(member(str(n)) for n in range(9))), "more than 8 members"),
    "large": (tar_of(member("a", size=5000)), "5000 bytes, more than 4000"),
    "a bomb": (gzip.compress(bytes(1 << 20)), "a bomb"),
    "empty": (b"", "cut short"),
    "cut": (tar_of(member("a", size=2000))[:1500], "cut short"),
    "gzip cut": (gzip.compress(tar_of(member("a")))[:30], "cut short"),
    "gzip damaged": (gzip.compress(tar_of(member("a")))[:-8] + bytes(8), "damaged"),
    "more": (tar_of(member("a")) + b"x" * 512, "other bytes follow"),
    "HTML": (b"<!DOCTYPE html>" * 100, "not a tar"),
}
LIMITS = Limits(members=8, file_bytes=4000, total_bytes=1 << 24, ratio=20, ratio_from_bytes=20_000)


def says_all(error: pytest.ExceptionInfo[HubTfxError], subject: str, rule: str) -> None:
    message = str(error.value)
    assert subject in message
    assert re.search(rule, message)
    assert FIX.search(message), message
    assert "\n" not in message
    assert "s3cret" not in message


@pytest.mark.parametrize("what", ARCHIVES)
def test_archives(what: str, tmp_path: Path) -> None:
    content, rule = ARCHIVES[what]
    (tmp_path / "a.tar").write_bytes(content)
    with pytest.raises(HubTfxError) as error:
        unpack(tmp_path / "a.tar", tmp_path / "copy", LIMITS, name="https://host/module")
    says_all(error, "https://host/module", rule)


def lost(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def local_cases(folder: Path) -> dict[str, tuple[Callable[[], Any], str, str]]:
    module = minimal_module(folder / "module")
    odd = minimal_module(folder / "odd")
    (odd / "variables" / "link").symlink_to("/etc/passwd")
    (folder / "empty").mkdir()
    (folder / "notes.txt").write_text("x")
    (folder / "taken").mkdir()
    (folder / "taken" / "x").write_text("x")
    pack(module, folder / "m.tar.gz")
    remote = "https://host/module/1"
    cache = ModuleCache(folder / "cache", fetcher=FakeFetcher({remote: module}))
    local = ModuleCache(folder / "cache")
    empty = ModuleCache(folder / "c2", fetcher=FakeFetcher({remote: folder / "empty"}))

    def changed() -> None:
        cache.resolve(remote)
        other = minimal_module(folder / "other")
        (other / "assets").mkdir()
        (other / "assets" / "x").write_text("new")
        entry = next((folder / "cache" / "hub_tfx" / "modules").iterdir())
        (entry / "module" / "saved_model.pb").unlink()
        ModuleCache(folder / "cache", fetcher=FakeFetcher({remote: other})).resolve(remote)

    return {
        "nothing": (lambda: local.resolve(str(folder / "none")), "none", "No such file"),
        "no module": (lambda: local.resolve(str(folder / "empty")), "empty", "does not hold"),
        "a file": (lambda: local.resolve(str(folder / "notes.txt")), "notes.txt", "not a module"),
        "its file": (
            lambda: local.resolve(str(module / "saved_model.pb")),
            "saved_model.pb",
            "a file of a module",
        ),
        "a link": (lambda: local.resolve(str(odd)), "link", "not a regular file"),
        "a pin": (lambda: cache.resolve(remote, digest="a" * 64), remote, "is pinned"),
        "not a pin": (lambda: cache.resolve(remote, digest="abc"), "abc", "64 hex digits"),
        "changed": (changed, remote, "its bytes have changed"),
        "a scheme": (lambda: local.resolve("ftp://a/b"), "ftp://a/b", "nothing fetches"),
        "empty": (lambda: empty.resolve(remote), remote, "does not hold saved_model.pb"),
        "taken": (lambda: unpack(folder / "m.tar.gz", folder / "taken"), "taken", "not empty"),
        "the cache is a file": (
            lambda: ModuleCache(folder / "notes.txt").resolve(str(module)),
            "notes.txt",
            "not a directory",
        ),
        "the cache is remote": (lambda: ModuleCache("gs://b"), "gs://b", "not a local directory"),
        "not UTF-8": (lambda: local.resolve("caf\udce9"), "caf", "not valid UTF-8"),
    }


NAMES = """nothing, no module, a file, its file, a link, a pin, not a pin, changed, a scheme, empty,
taken, the cache is a file, the cache is remote, not UTF-8"""


@pytest.mark.parametrize("what", re.split(r",\s+", NAMES))
def test_modules_on_this_machine_and_pins(what: str, tmp_path: Path) -> None:
    call, subject, rule = local_cases(tmp_path)[what]
    with pytest.raises(HubTfxError) as error:
        call()
    says_all(error, subject, rule)


@pytest.mark.parametrize("call", ["fsync", "mkdir", "rename", "replace"])
def test_a_full_disk(call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = minimal_module(tmp_path / "module")
    pack(module, tmp_path / "m.tar.gz")
    for handle in (module, tmp_path / "m.tar.gz"):
        with monkeypatch.context() as patch:
            patch.setattr(_files.os if call != "mkdir" else Path, call, lost)
            with pytest.raises(HubTfxError) as error:
                ModuleCache(tmp_path / "cache").resolve(str(handle))
        says_all(error, str(handle), "No space left on device")


@pytest.mark.parametrize("status", [204, 206, 400, 401, 404, 429, 500, 503])
def test_answers_of_servers(status: int, server: Any, answer: Any, tmp_path: Path) -> None:
    url = server.on("/m", answer(status)) + "?token=s3cret"
    (tmp_path / "work" / "into").mkdir(parents=True)
    fetcher = HttpFetcher(attempts=1, read_timeout_s=2, connect_timeout_s=2)
    with pytest.raises(HubTfxError) as error:
        fetcher.fetch(ModuleHandle.parse(url), tmp_path / "work" / "into")
    says_all(error, str(ModuleHandle.parse(url)), str(status))


@pytest.mark.parametrize("location", ["", "http://h/m", "file:///etc", "https://h:port/"])
def test_redirects(location: str) -> None:
    handle = ModuleHandle.parse("https://h/m?token=s3cret")
    with pytest.raises(HubTfxError) as error:
        redirect_target(handle, "https://h/m", location)
    says_all(error, str(handle), "redirected")


CONTINUED = {"archive.py", "bundle.py", "tar_reader.py", "member_names.py"}
"""To whose errors ``unpack`` and ``import_bundle`` add the subject and what to do."""
CONSTANTS = (
    "MAKE_ROOM",
    "_?CHECK",
    "_?TRY_LATER",
    "_ASK",
    "WHAT_TO_SET",
    "_LET_READ",
    "_LOCK_AGAIN",
    "_RENAME",
    "_never",
    "why_not",
    "message",
)


PASSED_ON = (
    "ConnectTimeoutError",
    "DamagedEntryError",
    "NewConnectionError",
    "OSError",
    "OverdueError",
)
"""What no one sees but those who make an error of ours of it."""


def test_no_refusal_is_written_without_what_to_do() -> None:
    """Those too that no test here brings about: the text of each stands in the source."""
    root = Path(hub_tfx.store.__file__).parent
    silent = [
        f"{path.relative_to(root)}:{node.lineno}: {ast.unparse(node)}"
        for path in sorted(root.rglob("*.py"))
        if path.name not in CONTINUED
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and _is_error(node) and not _says_what_to_do(node)
    ]
    assert silent == []


def _is_error(call: ast.Call) -> bool:
    name = ast.unparse(call.func)
    return name.endswith("Error") and name not in PASSED_ON and bool(call.args)


def _says_what_to_do(call: ast.Call) -> bool:
    text = ast.unparse(call)
    constants = any(re.search(rf"\b{name}\b", text) for name in CONSTANTS)
    passed_on = "{error}" in text  # Of an error that says it.
    return constants or passed_on or FIX.search(text) is not None
