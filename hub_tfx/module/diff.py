"""What is different between two modules, and whether one can take the place of the other.

    diff = compare(old, new)
    diff.verdict                # 'drop-in: same inputs, 512→512'
    diff.breaking               # what callers of the old one would stumble over

Everything is read from files; nothing is run, and TensorFlow is not needed. Vectors of two modules
that are drop-in are still not comparable with each other.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from hub_tfx.module.manifest import FileEntry, Manifest
from hub_tfx.module.resolved import ResolvedModule
from hub_tfx.module.spec import ModuleSpec, SignatureSpec, TensorInfo


class Described(Protocol):
    """What is compared of a module: a ResolvedModule, or what a repository says of a version."""

    @property
    def handle(self) -> str: ...
    @property
    def digest(self) -> str: ...
    @property
    def spec(self) -> ModuleSpec: ...
    @property
    def size_bytes(self) -> int: ...


@dataclass(frozen=True)
class Change:
    """Something that is not the same.

    Attributes:
      what: what it is, such as ``input text of signature default``.
      left, right: what the modules have; None where one has no such thing.
      breaks: whether what works with the left one may fail with the right one.
    """

    what: str
    left: str | None
    right: str | None
    breaks: bool = False


@dataclass(frozen=True)
class FileChange:
    """A file that is not the same; a size is None where there is no such file."""

    path: str
    left_bytes: int | None
    right_bytes: int | None


@dataclass(frozen=True)
class ModuleDiff:
    """The differences of two modules.

    Attributes:
      left, right: the modules; the question is whether the right one can replace the left one.
      changes: of format, graphs and signatures; those that break callers first.
      files: files that were added, removed or changed, by path.
    """

    left: Described
    right: Described
    changes: tuple[Change, ...]
    files: tuple[FileChange, ...]

    @property
    def breaking(self) -> tuple[Change, ...]:
        return tuple(change for change in self.changes if change.breaks)

    @property
    def is_drop_in(self) -> bool:
        """Whether every call of the left module is one of the right module, too."""
        return not self.breaking

    @property
    def verdict(self) -> str:
        """One line for a person."""
        if self.left.digest == self.right.digest:
            return "identical: the same bytes"
        if count := len(self.breaking):
            return f"not drop-in: {count} breaking change{'s' if count > 1 else ''}"
        inputs = "more inputs" if _has_changed(self.changes, "input ") else "same inputs"
        return f"drop-in: {inputs}, {self._outputs}"

    @property
    def _outputs(self) -> str:
        dims = [module.spec.embedding_dim for module in (self.left, self.right)]
        if None not in dims:
            return "→".join(map(str, dims))
        return "other outputs" if _has_changed(self.changes, "output ") else "same outputs"

    def to_dict(self) -> dict[str, Any]:
        return {
            "left": _module(self.left),
            "right": _module(self.right),
            "verdict": self.verdict,
            "drop_in": self.is_drop_in,
            "changes": [asdict(change) for change in self.changes],
            "files": [asdict(change) for change in self.files],
        }


def compare(left: ResolvedModule, right: ResolvedModule) -> ModuleDiff:
    """Compares two modules; their files are read again.

    Raises:
      NotAModuleError, InputError: a directory is no longer a module that can be read.
    """
    manifests = [Manifest.of_directory(module.path) for module in (left, right)]
    return difference(left, right, *manifests)


def difference(
    left: Described, right: Described, left_files: Manifest, right_files: Manifest
) -> ModuleDiff:
    """Compares two modules of which all is known already; no file is read."""
    changes = (*_formats(left.spec, right.spec), *_graphs(left.spec, right.spec))
    breaking_first = sorted(changes, key=lambda change: not change.breaks)
    files = tuple(_files(left_files, right_files))
    return ModuleDiff(left, right, tuple(breaking_first), files)


def _module(module: Described) -> dict[str, Any]:
    return {
        "handle": module.handle,
        "digest": module.digest,
        "format": module.spec.format,
        "size_bytes": module.size_bytes,
        "embedding_dim": module.spec.embedding_dim,
    }


def _has_changed(changes: tuple[Change, ...], kind: str) -> bool:
    return any(change.what.startswith(kind) for change in changes)


# --- Signatures -----------------------------------------------------------------------------------


def _formats(left: ModuleSpec, right: ModuleSpec) -> Iterator[Change]:
    if left.format != right.format:
        yield Change("format", left.format, right.format, breaks=True)
    if left.image_size != right.image_size:
        yield Change("image size", _size(left), _size(right))


def _size(spec: ModuleSpec) -> str | None:
    return spec.image_size and "×".join(map(str, spec.image_size))


def _graphs(left: ModuleSpec, right: ModuleSpec) -> Iterator[Change]:
    """The variants for inference are compared whatever their tags are, the others by tags."""
    if left.tags[0] != right.tags[0]:
        yield Change("tags for inference", _tags(left.tags[0]), _tags(right.tags[0]), breaks=True)
    yield from _signatures("", left.signatures, right.signatures)
    lefts, rights = ({v.tags: v for v in spec.variants[1:]} for spec in (left, right))
    for tags in sorted(lefts.keys() | rights.keys()):
        old, new = lefts.get(tags), rights.get(tags)
        if old is None or new is None:
            shown = [None if variant is None else _tags(tags) for variant in (old, new)]
            yield Change("graph", shown[0], shown[1], breaks=new is None)
        else:
            yield from _signatures(f" of graph {_tags(tags)}", old.signatures, new.signatures)


def _tags(tags: tuple[str, ...]) -> str:
    return "{" + ", ".join(tags) + "}"


def _signatures(
    where: str, left: Mapping[str, SignatureSpec], right: Mapping[str, SignatureSpec]
) -> Iterator[Change]:
    for name in sorted(left.keys() | right.keys()):
        old, new = left.get(name), right.get(name)
        if old is None or new is None:
            what = f"signature {name}{where}"
            yield Change(what, _signature(old), _signature(new), breaks=new is None)
        elif old != new:
            yield from _tensors(f" of signature {name}{where}", old, new)


def _signature(signature: SignatureSpec | None) -> str | None:
    if signature is None:
        return None
    sides = (signature.inputs, signature.outputs)
    return " → ".join(", ".join(f"{key} {info}" for key, info in side.items()) for side in sides)


def _tensors(where: str, left: SignatureSpec, right: SignatureSpec) -> Iterator[Change]:
    for key, old, new in _pairs(left.inputs, right.inputs):
        # An input that says whether this is training may be left out.
        is_fed = key in left.fed_inputs or key in right.fed_inputs
        breaks = is_fed and not (old and new and _takes(new, old))
        yield Change(f"input {key}{where}", _shown(old), _shown(new), breaks)
    for key, old, new in _pairs(left.outputs, right.outputs):
        breaks = old is not None and not (new and _takes(old, new))
        yield Change(f"output {key}{where}", _shown(old), _shown(new), breaks)


def _pairs(
    left: Mapping[str, TensorInfo], right: Mapping[str, TensorInfo]
) -> Iterator[tuple[str, TensorInfo | None, TensorInfo | None]]:
    for key in sorted(left.keys() | right.keys()):
        if left.get(key) != right.get(key):
            yield key, left.get(key), right.get(key)


def _shown(info: TensorInfo | None) -> str | None:
    return None if info is None else str(info)


def _takes(wide: TensorInfo, narrow: TensorInfo) -> bool:
    """Whether every tensor that is as ``narrow`` says is one as ``wide`` says, too."""
    if (wide.dtype, wide.kind) != (narrow.dtype, narrow.kind):
        return False
    if wide.kind == "ragged" and (wide.ragged_rank, wide.row_splits) != (
        narrow.ragged_rank,
        narrow.row_splits,
    ):
        return False
    if wide.shape is None or narrow.shape is None:
        return wide.shape is None
    return len(wide.shape) == len(narrow.shape) and all(
        size is None or size == other for size, other in zip(wide.shape, narrow.shape, strict=True)
    )


# --- Files ----------------------------------------------------------------------------------------


def _files(left: Manifest, right: Manifest) -> Iterator[FileChange]:
    lefts, rights = ({entry.path: entry for entry in manifest.files} for manifest in (left, right))
    for path in sorted(lefts.keys() | rights.keys()):
        if lefts.get(path) != rights.get(path):
            yield FileChange(path, _bytes(lefts.get(path)), _bytes(rights.get(path)))


def _bytes(entry: FileEntry | None) -> int | None:
    return None if entry is None else entry.size_bytes
