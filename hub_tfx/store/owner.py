"""Whose a cache may be: whoever may write to it decides what is run.

A cache is its user's. Folders and files of the same user and of root are used; those of others, and
those that others may write, are refused. With ``HUB_TFX_SHARED_CACHE=1`` whoever owns the cache's
folder is trusted as well, and so is the group of that folder. What every user may write is refused
always, and so are links inside of a cache.
"""

import grp
import os
import pwd
import stat
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NoReturn

from hub_tfx.errors import RefusedError

SHARED = "HUB_TFX_SHARED_CACHE"


def is_shared() -> bool:
    """Whether the user says that several users write to the cache."""
    return os.environ.get(SHARED, "").lower() not in ("", "0", "false")


@dataclass(frozen=True)
class Trust:
    """Who may write what is used from a cache.

    Attributes:
      root: the cache, for messages.
      users: ids of the users.
      group: id of a group that may write, too; None for none.
    """

    root: Path
    users: frozenset[int]
    group: int | None

    @classmethod
    def of(cls, root: Path, base: Path) -> "Trust":
        """Whom the cache in ``base``, a folder in ``root``, trusts."""
        users = {os.geteuid(), 0}
        if not is_shared():
            return cls(root, frozenset(users), None)
        try:
            status = base.lstat()
        except OSError:
            return cls(root, frozenset(users), None)
        return cls(root, frozenset({*users, status.st_uid}), status.st_gid)

    def check(self, path: Path, status: os.stat_result, *, sticky: bool = False) -> None:
        """Checks what a path in the cache is, by its own status and not that of a link's target.

        Args:
          path: the path.
          status: what ``lstat`` says of it.
          sticky: whether everyone may write where nobody may rename what others own.

        Raises:
          RefusedError: somebody else may have made it or may change it, or it is a link.
        """
        mode = status.st_mode
        if stat.S_ISLNK(mode):
            self._refuse(path, "is a symbolic link, which is not followed inside of a cache")
        if status.st_uid not in self.users and not self._is_by_group(status):
            self._refuse(
                path, f"belongs to the user {_user(status.st_uid)}, who could change what you run"
            )
        if sticky and mode & stat.S_ISVTX:
            return
        if mode & stat.S_IWOTH:
            self._refuse(path, "may be written by every user")
        if mode & stat.S_IWGRP and status.st_gid != self.group and not _is_own(status.st_gid):
            self._refuse(path, f"may be written by the group {_group(status.st_gid)}")

    def _is_by_group(self, status: os.stat_result) -> bool:
        return self.group is not None and status.st_gid == self.group

    def _refuse(self, path: Path, why: str) -> NoReturn:
        trusted = "" if is_shared() else f", or {SHARED}=1 if you trust whoever may write there"
        raise RefusedError(
            f"the cache {self.root} is refused: {path} {why}: set TFHUB_CACHE_DIR or --cache-dir "
            f"to a directory that is yours alone{trusted}"
        )


@cache
def _is_own(gid: int) -> bool:
    """Whether a group is that of this user alone, as many systems make one for each user."""
    try:
        user, group = pwd.getpwuid(os.geteuid()), grp.getgrgid(gid)
    except KeyError:
        return False
    alone = set(group.gr_mem) <= {user.pw_name}
    return gid == user.pw_gid and group.gr_name == user.pw_name and alone


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
