"""Models on Kaggle, ``https://www.kaggle.com/models/owner/model/framework/variation/version``.

By the interface that the kagglehub library uses, in one way: the archive of a version. Credentials
are those of that library: KAGGLE_API_TOKEN, or KAGGLE_USERNAME and KAGGLE_KEY.
"""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hub_tfx.errors import FetchError, HandleError
from hub_tfx.module.handle import ModuleHandle
from hub_tfx.store.fetch.access import (
    Access,
    basic,
    bearer,
    check_private,
    endpoint,
    is_ours,
    token_of,
)
from hub_tfx.store.fetch.answers import CHECK
from hub_tfx.store.fetch.http import fetch_archive
from hub_tfx.store.fetch.places import KaggleModel, kaggle_model
from hub_tfx.store.fetch.web import Web, WebSettings

_log = logging.getLogger(__name__)
_CREDENTIALS = (
    "set KAGGLE_USERNAME and KAGGLE_KEY, or KAGGLE_API_TOKEN, and accept the model's terms there"
)
_TOKEN = "KAGGLE_API_TOKEN"
_HINTS = {401: _CREDENTIALS, 403: _CREDENTIALS}


@dataclass(frozen=True)
class KaggleFetcher(WebSettings):
    """Downloads the archive of a version and unpacks it."""

    def fetch(self, handle: ModuleHandle, into: Path) -> None:
        model = _model(handle)
        with self.asking(handle, _authorization) as web:
            version = _version(web, model)
            fetch_archive(web, f"{_api(model)}/{version}/download", into, _HINTS)

    def entity_tag(self, handle: ModuleHandle) -> str:
        """The number of the version, whose files Kaggle never changes."""
        with self.asking(handle, _authorization) as web:
            return f"version {_version(web, _model(handle))}"


def _model(handle: ModuleHandle) -> KaggleModel:
    model = kaggle_model(handle)
    if model is None:
        raise HandleError(
            f"{handle} is not the URL of a model on Kaggle: give "
            "https://www.kaggle.com/models/owner/model/framework/variation/version"
        )
    return model


def _version(web: Web, model: KaggleModel) -> int:
    """The version of a model: the one that its URL has, otherwise the latest."""
    if model.version is not None:
        return model.version
    answer = web.document(f"{_api(model)}/get", _HINTS)[0]
    version = answer.get("versionNumber") if isinstance(answer, dict) else None
    if type(version) is not int or version < 1:
        raise FetchError(f"{web.handle}: Kaggle does not say which version it is: {CHECK}")
    _log.info("%s: the latest version is %d", web.handle, version)
    return version


def _api(model: KaggleModel) -> str:
    return f"{_endpoint()}/api/v1/{model.path}"


def _endpoint() -> str:
    return endpoint("KAGGLE_API_ENDPOINT", "https://www.kaggle.com")


def _own_token() -> str:
    return token_of(_TOKEN) if os.environ.get(_TOKEN) else ""


def _authorization(access: Access, url: str) -> Mapping[str, str]:
    if not is_ours(url, _endpoint()):
        return {}
    if token := access.token(url) or _own_token():
        return bearer(token, url)
    user, key = os.environ.get("KAGGLE_USERNAME", ""), os.environ.get("KAGGLE_KEY", "")
    if not (user and key):
        return {}
    check_private(url)
    return basic(user.encode(), key.encode())
