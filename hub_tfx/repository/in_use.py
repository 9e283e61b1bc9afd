"""The version of a module that is in use: the one of an alias, otherwise the newest."""

from hub_tfx.module.handle import IN_REPOSITORY, ModuleHandle
from hub_tfx.repository import layout
from hub_tfx.repository.names import ModuleName, Reference
from hub_tfx.repository.storage import open_storage
from hub_tfx.repository.versions import check_repository, in_use


def handle_in_use(handle: ModuleHandle) -> str | None:
    """Handle, with its number, of the version that is in use now.

    Args:
      handle: leads into a repository. Without a version it stands for that of its alias; without
        an alias, or where the alias is not set yet, for the newest one that is not yanked.

    Returns:
      None where there is no such version yet, and no repository either.

    Raises:
      HandleError: the name breaks a rule.
      InputError: the place is a repository of another layout, or cannot be read.
      TransientFetchError: the place cannot be read, and trying again may help.
    """
    storage, name = open_storage(handle.authority), ModuleName.parse(handle.path)
    if storage.read(layout.REPOSITORY) is not None:
        check_repository(storage)
    number = handle.version or in_use(storage, name, handle.alias or None)
    return None if number is None else f"{IN_REPOSITORY}{storage.url}//{Reference(name, number)}"
