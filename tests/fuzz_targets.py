"""What fuzzing feeds with bytes: each target reads them as a reader of ours does.

A reader may refuse any input with a HubTfxError. Whatever else it raises is a mistake of ours.
"""

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from cards import CARD

from hub_tfx.errors import HubTfxError
from hub_tfx.module.handle import ModuleHandle
from hub_tfx.module.inspect import call_arguments, inspect, meta_graphs, signature_parts
from hub_tfx.module.manifest import Manifest
from hub_tfx.repository.card import parse_card
from hub_tfx.repository.card_import import convert_card
from hub_tfx.store.archive import pack, unpack
from hub_tfx.store.lock_file import LockFile
from hub_tfx.store.tar_reader import Limits
from hub_tfx.testing import minimal_module, text_module

CORPUS = Path(__file__).parent / "fuzz" / "corpus"
"""Inputs that failed once, in a folder for each target."""
_LIMITS = Limits(total_bytes=1 << 20, members=200)
_MEMORY = "/dev/shm"


def _archive(data: bytes) -> None:
    with _folder() as folder:
        (folder / "x.tar").write_bytes(data)
        unpack(folder / "x.tar", folder / "into", _LIMITS)


def _saved_model(data: bytes) -> None:
    with _folder() as folder:
        (folder / "saved_model.pb").write_bytes(data)
        spec = inspect(folder)
        meta_graphs(folder)
        with suppress(HubTfxError):  # It may have no callable object.
            call_arguments(folder)
        for name in spec.signatures:
            signature_parts(folder, name, spec.tags[0])


def _saved_model_text(data: bytes) -> None:
    with _folder() as folder:
        (folder / "saved_model.pbtxt").write_bytes(data)
        inspect(folder)


def _handle(data: bytes) -> None:
    handle = ModuleHandle.parse(data.decode("utf-8", "surrogateescape"))
    assert ModuleHandle.parse(handle.url) == handle
    assert handle.key
    str(handle).encode()
    if not (handle.is_local or handle.is_in_repository):  # A path may hold any character.
        assert str(handle).isprintable()


def _manifest(data: bytes) -> None:
    with suppress(ValueError):  # Its callers say which file is wrong.
        manifest = Manifest.from_json(data.decode("utf-8", "surrogateescape"))
        assert Manifest.from_json(manifest.to_json()) == manifest
        assert manifest.digest


def _card(data: bytes) -> None:
    with suppress(HubTfxError):
        convert_card(data)
    parse_card(data)


def _lock_file(data: bytes) -> None:
    lock = LockFile.parse(data.decode("utf-8", "replace"), "x.json")
    assert LockFile.parse(lock.to_json(), "x.json") == lock


TARGETS: Mapping[str, Callable[[bytes], None]] = {
    "archive": _archive,
    "card": _card,
    "handle": _handle,
    "lock_file": _lock_file,
    "manifest": _manifest,
    "saved_model": _saved_model,
    "saved_model_text": _saved_model_text,
}


def read(target: str, data: bytes) -> None:
    """Reads bytes; raises only what is a mistake of ours."""
    with suppress(HubTfxError):
        TARGETS[target](data)


def seeds(target: str, *, quick: bool = False) -> Iterator[bytes]:
    """Inputs that are right, from which fuzzing begins; those that take no TensorFlow if quick."""
    with _folder() as folder:
        module = minimal_module(folder / "module")
        match target:
            case "archive":
                for name in ("m.tar", "m.tar.gz"):
                    pack(module, folder / name)
                    yield (folder / name).read_bytes()
            case "card":
                yield CARD.encode()
            case "handle":
                yield from _HANDLES
            case "lock_file":
                entry = {"digest": "a" * 64, "resolved": "repo+/r//a/b/3"}
                document = {"version": 1, "modules": {"repo+/r//a/b": entry}}
                yield json.dumps(document).encode()
            case "manifest":
                yield Manifest.of_directory(module).to_json().encode()
            case "saved_model":
                yield (module / "saved_model.pb").read_bytes()
                for kind in () if quick else ("saved_model", "tf1_hub"):
                    made = text_module(folder / kind, kind, dim=2)
                    yield (made / "saved_model.pb").read_bytes()
            case "saved_model_text":
                yield b'meta_graphs { meta_info_def { tags: "serve" } signature_def { key: "x" } }'


_HANDLES = (
    b"https://user:pw@hub.test:443/acme/text/1?a=1&b=",
    b"repo+gs://bucket/x//acme/text@stable",
    b"file:///a/../b",
    b"hf://acme/text@main",
    b"gs://bucket/a.tar.gz",
    b"http://[::1]:80/x",
)


def _folder() -> "tempfile.TemporaryDirectory[str]":
    return _Folder(dir=_MEMORY if os.path.isdir(_MEMORY) else None)


class _Folder(tempfile.TemporaryDirectory):  # type: ignore[type-arg]
    def __enter__(self) -> Path:  # type: ignore[override]
        return Path(super().__enter__())
