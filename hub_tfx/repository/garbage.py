"""What a repository holds in vain: half-done work of dead publishers, and blobs of no version."""

from hub_tfx.repository.storage import Garbage, Storage
from hub_tfx.repository.versions import check_repository, modules, numbers, read_version


def collect_garbage(storage: Storage, *, execute: bool, forget: bool = False) -> Garbage:
    """Plans what can go, or removes it; never a version, a card or a record.

    Args:
      storage: the place of the repository.
      execute: whether to remove it.
      forget: whether publishers that seem to be at work are known to be dead.

    Raises:
      InputError: there is no repository.
      DigestMismatchError: a marker is damaged, so that nobody knows what it names.
      OutputError: another process collects.
    """
    check_repository(storage)
    return storage.collect(lambda: _named(storage), execute=execute, forget=forget)


def _named(storage: Storage) -> set[str]:
    return {
        entry.sha256
        for name in modules(storage)
        for number in numbers(storage, name)
        for entry in read_version(storage, name, number).entries
    }
