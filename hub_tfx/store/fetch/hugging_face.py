"""SavedModels in model repositories of Hugging Face, ``hf://owner/repository@revision/folder``.

A revision becomes a commit first, whose files are listed and downloaded one by one; each is
compared with the hash by which the commit knows it.
"""

import hashlib
import logging
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from hub_tfx._files import open_regular
from hub_tfx.errors import (
    DigestMismatchError,
    FetchError,
    HandleError,
    NotAModuleError,
    UnsafeArchiveError,
)
from hub_tfx.module.files import SAVED_MODEL, SAVED_MODEL_TEXT
from hub_tfx.module.handle import ModuleHandle
from hub_tfx.store.fetch.access import Access, bearer, endpoint, is_ours, token_of
from hub_tfx.store.fetch.answers import CHECK
from hub_tfx.store.fetch.part import new_part
from hub_tfx.store.fetch.places import HuggingFaceRepo, hugging_face_repo
from hub_tfx.store.fetch.web import Web, WebSettings
from hub_tfx.store.member_names import MemberNames

_log = logging.getLogger(__name__)
_COMMIT = re.compile(r"[0-9a-f]{40,64}")
_PARTS_OF_A_MODULE = frozenset(
    (
        SAVED_MODEL,
        SAVED_MODEL_TEXT,
        "assets",
        "assets.extra",
        "fingerprint.pb",
        "keras_metadata.pb",
        "tfhub_module.pb",
        "variables",
    )
)
"""What belongs to a SavedModel: a repository holds other things, and other formats' weights."""
_CREDENTIALS = "set HF_TOKEN, and accept the model's terms on its page if it has any"
_HINTS = {401: _CREDENTIALS, 403: _CREDENTIALS}


@dataclass(frozen=True)
class _File:
    """A file of a commit; ``path`` is within the module."""

    path: tuple[str, ...]
    url: str
    size_bytes: int
    sha256: str
    git_sha1: str


@dataclass(frozen=True)
class HuggingFaceFetcher(WebSettings):
    """Downloads the files of a SavedModel from one commit."""

    def fetch(self, handle: ModuleHandle, into: Path) -> None:
        repo = _repo(handle)
        with self.asking(handle, _authorization) as web:
            commit = _commit(web, repo)
            _log.info("%s: the commit is %s", handle, commit)
            files = _files(web, repo, commit)
            with web.downloading(sum(file.size_bytes for file in files)):
                for file in files:
                    _download(web, file, into.joinpath(*file.path))

    def entity_tag(self, handle: ModuleHandle) -> str:
        return self.commit(handle)

    def commit(self, handle: ModuleHandle) -> str:
        """The commit that the handle's revision stands for now, in hex."""
        with self.asking(handle, _authorization) as web:
            return _commit(web, _repo(handle))


def _endpoint() -> str:
    return endpoint("HF_ENDPOINT", "https://huggingface.co")


def _repo(handle: ModuleHandle) -> HuggingFaceRepo:
    repo = hugging_face_repo(handle)
    if repo is None:
        raise HandleError(
            f"{handle} names no repository of Hugging Face: give hf://owner/repository"
        )
    return repo


def _authorization(access: Access, url: str) -> Mapping[str, str]:
    if not is_ours(url, _endpoint()):
        return {}
    token = access.token(url) or (token_of("HF_TOKEN") if os.environ.get("HF_TOKEN") else "")
    return bearer(token, url) if token else {}


def _commit(web: Web, repo: HuggingFaceRepo) -> str:
    url = f"{_endpoint()}/api/models/{repo.name}/revision/{quote(repo.revision, safe='')}"
    answer = web.document(url, _HINTS)[0]
    commit = answer.get("sha") if isinstance(answer, dict) else None
    if not isinstance(commit, str) or not _COMMIT.fullmatch(commit):
        raise FetchError(f"{web.handle}: the server does not say which commit it is: {CHECK}")
    return commit


def _files(web: Web, repo: HuggingFaceRepo, commit: str) -> list[_File]:
    """The files of the module, whose names and sizes are checked before anything is downloaded."""
    names, limits = (
        MemberNames(web.settings.limits.depth, web.settings.limits.members),
        web.settings.limits,
    )
    files, total_bytes = list[_File](), 0
    for entry in _tree(web, repo, commit):
        if entry.get("type") != "file":
            continue
        path = _below(web, repo, str(entry.get("path")))
        if path.partition("/")[0] not in _PARTS_OF_A_MODULE:
            continue
        try:
            parts = names.add_file(path)
        except UnsafeArchiveError as error:
            raise UnsafeArchiveError(f"{web.handle}: {error}; {CHECK}") from error
        files.append(_file(web, repo, commit, parts, entry))
        total_bytes += files[-1].size_bytes
        if len(files) > limits.members or total_bytes > limits.total_bytes:
            raise UnsafeArchiveError(
                f"{web.handle}: more than {limits.members} files or {limits.total_bytes} bytes: if "
                "you trust it, download it yourself, and give the directory"
            )
    if not any(file.path in ((SAVED_MODEL,), (SAVED_MODEL_TEXT,)) for file in files):
        raise NotAModuleError(
            f"{web.handle} is not a module: it does not hold {SAVED_MODEL}: give the folder that "
            "does, as in hf://owner/repository/folder"
        )
    return files


def _tree(web: Web, repo: HuggingFaceRepo, commit: str) -> Iterator[dict[str, Any]]:
    folder = f"/{quote(repo.folder)}" if repo.folder else ""
    url = f"{_endpoint()}/api/models/{repo.name}/tree/{commit}{folder}?recursive=1"
    pages = 0
    while url:
        page, url = web.document(url, _HINTS)
        pages += 1
        if not isinstance(page, list) or not all(isinstance(entry, dict) for entry in page):
            raise FetchError(f"{web.handle}: the server's list of files cannot be read: {CHECK}")
        yield from page
        if url and (not is_ours(url, _endpoint()) or pages > web.settings.limits.members):
            raise FetchError(f"{web.handle}: the server's list of files does not end: {CHECK}")


def _below(web: Web, repo: HuggingFaceRepo, path: str) -> str:
    """The path of a file within the folder of the module."""
    if not repo.folder:
        return path
    if not path.startswith(f"{repo.folder}/"):
        raise UnsafeArchiveError(f"{web.handle}: member {path[:200]!r} is not in it: {CHECK}")
    return path.removeprefix(f"{repo.folder}/")


def _file(
    web: Web, repo: HuggingFaceRepo, commit: str, parts: tuple[str, ...], entry: dict[str, Any]
) -> _File:
    large = entry.get("lfs") or {}
    size, sha256, sha1 = entry.get("size"), large.get("oid", ""), entry.get("oid", "")
    if type(size) is not int or size < 0 or not (sha256 or sha1):
        raise FetchError(f"{web.handle}: the server's list of files cannot be read: {CHECK}")
    within = "/".join((*filter(None, [repo.folder]), *parts))
    url = f"{_endpoint()}/{repo.name}/resolve/{commit}/{quote(within)}"
    return _File(parts, url, size, str(sha256), "" if sha256 else str(sha1))


def _download(web: Web, file: _File, target: Path) -> None:
    with new_part(target) as part:
        web.retried(lambda: web.download(file.url, part, hints=_HINTS, max_bytes=file.size_bytes))
        size_bytes = part.size_bytes
    if size_bytes != file.size_bytes or not _is_whole(file, target):
        raise DigestMismatchError(
            f"{web.handle}: {PurePosixPath(*file.path)} is not the file that the commit names: do "
            "not use it until you know why, or try again"
        )


def _is_whole(file: _File, path: Path) -> bool:
    """Whether a file has the hash by which its commit knows it."""
    # Git hashes a header before the content.
    hashed = hashlib.sha256() if file.sha256 else hashlib.sha1(b"blob %d\0" % file.size_bytes)
    with open_regular(path, follow_link=False) as opened:
        while chunk := opened.read(1 << 20):
            hashed.update(chunk)
    return hashed.hexdigest() == (file.sha256 or file.git_sha1)
