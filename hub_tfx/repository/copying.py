"""The copy of a published version from one repository to another, of which export and import are
made."""

from hub_tfx.repository.names import ModuleName
from hub_tfx.repository.storage import Storage
from hub_tfx.repository.versions import found, prepare, read_version, taken


def copy(source: Storage, target: Storage, name: ModuleName, number: int) -> bool:
    """Copies a version as it is: with its number, its card and who published it when.

    Returns:
      Whether it was copied; False where the target has it already.

    Raises:
      FetchError: the source does not have it.
      TakenError: the target has other bytes under this number.
      DigestMismatchError: what the source has is damaged.
    """
    version = read_version(source, name, number)
    if found(target, name, number) is None:
        with source.content(version) as content, target.work() as work:
            target.push(version, content, work)
            prepare(target, name)
            if target.commit(version, work):
                return True
    there = read_version(target, name, number)
    if there.digest != version.digest:
        raise taken(target, there)
    target.finish(there)
    return False
