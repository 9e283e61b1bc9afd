"""OutputManifest: what an output is made of, and how it was made. The last file of a commit."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from hub_tfx.module.manifest import is_inside

OutputFormat = Literal["parquet", "tfrecord"]
MADE_BY = "hub_tfx"
_FILES = ("files", "dead_letter_files")


@dataclass(frozen=True)
class ModuleRef:
    """A module by name: its handle, and the digest of its manifest in hex."""

    handle: str
    digest: str


@dataclass(frozen=True)
class WrittenColumn:
    """A column of outputs; see columns.OutputColumn.

    Attributes:
      output: key of the module's output.
      dtype: type of a value, as it is packed.
      shape: shape of a row, with -1 for an axis that differs from row to row.
      scale: name of the column of scales, for int8.
      shapes: name of the column of shapes, where several axes are open.
    """

    output: str
    dtype: str
    shape: tuple[int, ...]
    scale: str | None = None
    shapes: str | None = None

    @property
    def names(self) -> list[str]:
        """Names of the columns beside it that belong to it."""
        return [name for name in (self.scale, self.shapes) if name is not None]


@dataclass(frozen=True)
class WrittenFile:
    """A committed part file.

    Attributes:
      name: name in the folder of its kind.
      rows, size_bytes, sha256: number of rows, size and hash of the file.
      digests_sha256: SHA-256 of the file with its rows' digests; None for dead letters.
    """

    name: str
    rows: int
    size_bytes: int
    sha256: str
    digests_sha256: str | None = None


@dataclass(frozen=True)
class OutputManifest:
    """One output. ``from_json(m.to_json()) == m``; unknown keys are refused.

    Attributes:
      version: version of the hub_tfx that wrote it.
      module, preprocessor: modules that it was made with.
      signature: name of the signature that was called.
      made_with: what its vectors depend on, other than the rows: see
        reuse.previous.vectors_fingerprint. None in an output without digests of its rows.
      embedding_dim: size of its one column of vectors, if there is just one.
      columns: column of outputs -> what it holds.
      config: the EmbedConfig, as JSON.
      format: format of its part files.
      rows, dead_letters: how many rows were embedded, and rejected.
      reused, duplicates: how many rows were copied; see rows.EmbeddedRows.
      row_bytes: (least bytes of a size, rows), ascending; see rows.count_sizes.
      resumed_records: records that an earlier run had finished.
      working_s: seconds from the first read to the last complete part.
      files, dead_letter_files: its part files, in the order of the rows.
      inputs: path of an input file -> its records.
      run: id of the run that wrote it; empty in outputs of hub_tfx 0.1.0.
    """

    version: str
    module: ModuleRef
    preprocessor: ModuleRef | None
    signature: str
    made_with: Mapping[str, Any] | None
    embedding_dim: int | None
    columns: Mapping[str, WrittenColumn]
    config: Mapping[str, Any]
    format: OutputFormat
    rows: int = 0
    dead_letters: int = 0
    reused: int = 0
    duplicates: int = 0
    row_bytes: tuple[tuple[int, int], ...] = ()
    resumed_records: int = 0
    working_s: float = 0.0
    files: tuple[WrittenFile, ...] = ()
    dead_letter_files: tuple[WrittenFile, ...] = ()
    inputs: Mapping[str, int] = field(default_factory=dict)
    run: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The manifest as plain JSON."""
        document = asdict(self)
        document["columns"] = self.columns_dict()
        for name in _FILES:
            document[name] = [_given(asdict(file)) for file in getattr(self, name)]
        if not self.run:
            del document["run"]
        return {"made_by": MADE_BY, **document}

    def columns_dict(self) -> dict[str, Any]:
        """``columns`` as plain JSON."""
        return {
            name: _given(asdict(column) | {"shape": list(column.shape)})
            for name, column in self.columns.items()
        }

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=2)

    @classmethod
    def from_json(cls, text: str | bytes) -> "OutputManifest":
        """Raises ValueError for anything but what ``to_json`` writes, now or in the past."""
        try:
            document = json.loads(text)
            if not isinstance(document, dict) or document.pop("made_by", None) != MADE_BY:
                raise ValueError("it was not made by hub_tfx")
            return cls(**{**{"made_with": None}, **_typed(document)})
        except (KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"not the manifest of an output: {error!r}") from error


def _given(document: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if value is not None}


def _typed(document: dict[str, Any]) -> dict[str, Any]:
    """The fields of a manifest, with the types that JSON lacks."""
    unknown = document.keys() - {of_class.name for of_class in fields(OutputManifest)}
    if unknown:
        raise ValueError(f"it has the unknown key {min(unknown)!r}: a later hub_tfx wrote it")
    names = [file["name"] for key in _FILES for file in document[key]]
    if odd := [name for name in names if not is_inside(name)]:
        raise ValueError(f"its part {odd[0]!r} is not in its folder")
    preprocessor = document["preprocessor"]
    columns = document["columns"].items()
    return {
        **document,
        "module": ModuleRef(**document["module"]),
        "preprocessor": preprocessor and ModuleRef(**preprocessor),
        "columns": {
            name: WrittenColumn(**{**column, "shape": tuple(column["shape"])})
            for name, column in columns
        },
        "row_bytes": tuple((size, rows) for size, rows in document.get("row_bytes", ())),
        "files": tuple(WrittenFile(**file) for file in document["files"]),
        "dead_letter_files": tuple(WrittenFile(**file) for file in document["dead_letter_files"]),
    }
