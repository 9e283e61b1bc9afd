"""Files and folders on any Beam filesystem, for libraries that know this machine's only."""

import atexit
import hashlib
import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, cast

from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions

from hub_tfx._files import odd_name, open_regular, replacing, why
from hub_tfx.errors import DigestMismatchError, InputError, RefusedError
from hub_tfx.module.manifest import hash_file, is_inside

_CHUNK_BYTES = 1 << 20

# Outside a pipeline nobody else gives Beam any, without which it does not ask S3 at all.
if FileSystems._pipeline_options is None:
    FileSystems.set_options(PipelineOptions([]))


def is_local(path: str) -> bool:
    """Whether a path is one of this machine, and not the URL of a remote filesystem."""
    return FileSystems.get_scheme(path) is None


def open_file(path: str) -> IO[bytes]:
    """A file on any filesystem, byte for byte and seekable.

    Raises:
      OSError: it cannot be opened, or is a device, a FIFO or another thing that may have no end.
    """
    if is_local(path):  # Beam would unzip it.
        return open_regular(path)
    remote = FileSystems.open(path, compression_type="uncompressed")
    return cast("IO[bytes]", io.BufferedReader(remote, _CHUNK_BYTES))


@contextmanager
def local_copy(path: str) -> Iterator[str]:
    """The path itself where it is local, else a copy of the file that goes afterwards."""
    if is_local(path):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = _place(folder, path, FileSystems.split(path)[1])
        _download(path, copy)
        yield str(copy)


@contextmanager
def verified_copy(path: str, sha256: str, fix: str) -> Iterator[str]:
    """The ``local_copy`` of a file of an output.

    Args:
      path: of the file.
      sha256: what its manifest says, in hex.
      fix: what to do where it is another.

    Raises:
      DigestMismatchError: the file has changed since it was written.
      InputError: the file cannot be read.
    """
    with ExitStack() as stack:
        try:
            copy = stack.enter_context(local_copy(path))
            _, actual = hash_file(Path(copy))
        except OSError as error:
            raise InputError(f"{path} cannot be read: {why(error)}; {fix}") from error
        check_sha256(path, actual, sha256, fix)
        yield copy


def check_sha256(path: str, actual: str, expected: str, fix: str) -> None:
    """Raises DigestMismatchError where a file is not the one its manifest names."""
    if actual != expected:
        raise DigestMismatchError(f"{path} has other bytes than its manifest says: {fix}")


def local_directory(path: str) -> str:
    """The path itself where it is local, else a copy that lasts as long as this process.

    Raises:
      RefusedError: an object's name leads out of the folder; nothing was copied.
      InputError: an object cannot be copied.
    """
    if is_local(path):
        return path
    copy = tempfile.mkdtemp(prefix="hub_tfx-")
    atexit.register(shutil.rmtree, copy, ignore_errors=True)
    prefix = path.rstrip("/") + "/"
    found = FileSystems.match([prefix + "**"])[0].metadata_list
    # Consoles of buckets show folders by empty objects of this name.
    named = [file.path for file in found if file.size_in_bytes or not file.path.endswith("/")]
    targets = {name: _place(copy, name, name.removeprefix(prefix)) for name in named}
    for name, target in targets.items():
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            _download(name, target)
        except OSError as error:
            raise InputError(f"{name} cannot be copied to this machine: {why(error)}") from error
    return copy


def _place(folder: str, path: str, relative: str) -> Path:
    """Where a file of a remote filesystem is copied to: below a folder of this machine.

    Raises:
      RefusedError: its name leads elsewhere. Buckets take any name.
    """
    if not is_inside(relative) or odd_name(relative) is not None:
        raise RefusedError(
            f"{path}: refused: an object of that name would be written outside the folder that it "
            "is copied to: rename or remove it"
        )
    return Path(folder, relative)


def copy_directory(source: Path, destination: str) -> None:
    """Copies a local folder's files to a folder on any filesystem."""
    for path in sorted(p for p in source.rglob("*") if p.is_file()):
        target = FileSystems.join(destination, *path.relative_to(source).parts)
        make_folder(FileSystems.split(target)[0])
        upload(path, target)


def delete_folder(path: str) -> None:
    """Deletes a folder and all in it, if it is there."""
    if is_local(path):
        shutil.rmtree(path, ignore_errors=True)
        return
    # File by file: to Beam a bucket has no folder of that name.
    found = FileSystems.match([FileSystems.join(path, "**")])[0].metadata_list
    if found:
        FileSystems.delete([file.path for file in found])


def make_folder(path: str) -> None:
    """Creates a folder that may exist; remote filesystems have none to create."""
    if is_local(path):
        os.makedirs(path, exist_ok=True)


def upload(source: Path, destination: str) -> None:
    """Copies a local file to a path on any filesystem, byte for byte."""
    with source.open("rb") as file, _create(destination) as remote:
        shutil.copyfileobj(file, remote, _CHUNK_BYTES)


def paths_in(folder: str) -> list[str]:
    """Paths of what is in a folder, which need not be there, sorted."""
    if is_local(folder):  # Whose name may hold characters that a glob gives a meaning.
        return sorted(str(path) for path in Path(folder).glob("*"))
    found = FileSystems.match([FileSystems.join(folder, "*")])[0].metadata_list
    return sorted(metadata.path for metadata in found)


def paths_below(folder: str) -> list[tuple[str, ...]]:
    """What is in a folder at any depth, by the parts of each path below it, sorted.

    Files, links, which are not followed, and with a last part that is empty, empty folders.
    """
    if not is_local(folder):
        prefix = FileSystems.join(folder, "")
        found = FileSystems.match([f"{prefix.rstrip('/')}/**"])[0].metadata_list
        return sorted(tuple(f.path.removeprefix(prefix).split("/")) for f in found)
    below = []
    for path, folders, names in os.walk(folder):
        above = Path(path).relative_to(folder).parts
        links = [name for name in folders if os.path.islink(os.path.join(path, name))]
        below += [(*above, name) for name in (*names, *links)]
        if above and not names and not folders:
            below.append((*above, ""))
    return sorted(below)


def sha256_of(path: str) -> str | None:
    """SHA-256, in hex, of a file on any filesystem; None where there is none."""
    sha256 = hashlib.sha256()
    try:
        with open_file(path) as file:
            while chunk := file.read(_CHUNK_BYTES):
                sha256.update(chunk)
    except OSError:
        return None
    return sha256.hexdigest()


def delete_file(path: str) -> None:
    """Deletes a file on any filesystem, if it is there."""
    if is_local(path):  # Beam would take characters of the name for a glob.
        Path(path).unlink(missing_ok=True)
    elif FileSystems.exists(path):
        FileSystems.delete([path])


def read_bytes(path: str) -> bytes:
    """What a file on any filesystem holds."""
    with open_file(path) as file:
        return file.read()


def write_bytes(path: str, content: bytes) -> None:
    """Writes a file on any filesystem; not atomic."""
    with _create(path) as file:
        file.write(content)


def replace_file(path: str, content: bytes) -> None:
    """Writes a whole file on any filesystem: a reader sees the old one or the new one."""
    if is_local(path):
        with replacing(Path(path)) as temporary:
            temporary.write_bytes(content)
    else:  # Buckets replace an object as a whole.
        write_bytes(path, content)


def create_new(path: str, content: bytes) -> bool | None:
    """Writes a file on any filesystem, unless there is one; of several who try, one succeeds.

    Returns:
      Whether it was written; None, and nothing is done, where the filesystem cannot tell.
    """
    create = _CREATE_NEW.get(FileSystems.get_scheme(path))
    return None if create is None else create(path, content)


def _create_local(path: str, content: bytes) -> bool:
    try:
        with open(path, "xb") as file:
            file.write(content)
    except FileExistsError:
        return False
    return True


def _create_in_gcs(path: str, content: bytes) -> bool:
    from apache_beam.io.gcp import gcsio
    from google.api_core.exceptions import PreconditionFailed

    bucket, name = gcsio.parse_gcs_path(path)
    blob = gcsio.GcsIO().client.bucket(bucket).blob(name)
    try:
        blob.upload_from_string(content, if_generation_match=0)
    except PreconditionFailed:
        return False
    return True


# Beam has no such call, and its clients of other buckets no precondition.
_CREATE_NEW: dict[str | None, Callable[[str, bytes], bool]] = {
    None: _create_local,
    "gs": _create_in_gcs,
}


def _download(source: str, destination: Path) -> None:
    remote = FileSystems.open(source, compression_type="uncompressed")
    with remote, destination.open("wb") as file:
        shutil.copyfileobj(remote, file, _CHUNK_BYTES)


def _create(path: str) -> Any:
    # Beam would gzip what is named *.gz, which our part files already are.
    return FileSystems.create(path, compression_type="uncompressed")
