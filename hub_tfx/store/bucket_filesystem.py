"""Opens buckets and HDFS through fsspec, and says what is missing where that fails."""

import os
import re
import warnings
from typing import Any

from hub_tfx.errors import ConfigError

_EXTRAS = {
    "abfs": "az",
    "abfss": "az",
    "az": "az",
    "gcs": "gcs",
    "gs": "gcs",
    "s3": "s3",
    "s3a": "s3",
}
"""Scheme -> the extra of our package that has what reaches it."""
_STORE = "how the store's own tools are told of accounts and credentials"
_HDFS = "that Java and Hadoop's libhdfs are here: JAVA_HOME, HADOOP_HOME, CLASSPATH"
_QUERY = re.compile(r"\?[^\s'\"]+")
_MAX_CHARS = 300


def open_bucket(url: str) -> tuple[Any, str]:
    """The fsspec filesystem of a URL and the path in it; nothing that it lists is remembered.

    Credentials are found by the store's own library, where its tools look for them.

    Raises:
      ConfigError: what reaches this kind of store is not installed, or not configured.
    """
    if "STORAGE_EMULATOR_HOST" in os.environ:
        # Otherwise gcsfs asks a server that is not Google's by gRPC over TLS, without end.
        os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    from fsspec.core import url_to_fs

    scheme = url.partition("://")[0]
    try:
        with warnings.catch_warnings():  # Google's libraries warn of this Python, each by itself.
            warnings.simplefilter("ignore", FutureWarning)
            filesystem, root = url_to_fs(url, use_listings_cache=False)
    except ImportError as error:
        extra = _EXTRAS.get(scheme)
        package = f"'hub-tfx[{extra}]'" if extra else f"what fsspec needs for {scheme}"
        raise ConfigError(
            f"{url}: what reaches {scheme}:// is not installed: install it with "
            f"`pip install {package}`"
        ) from error
    except (OSError, ValueError) as error:
        how = _HDFS if scheme == "hdfs" else _STORE
        raise ConfigError(
            f"{url}: {scheme}:// cannot be reached as this machine is set up: {told_by(error)}; "
            f"see {how}"
        ) from None
    return filesystem, str(root)


def told_by(error: BaseException) -> str:
    """What a store's library says, in a line, without the queries of URLs, which may be signed."""
    text = _QUERY.sub("?…", " ".join(str(error).split()))
    return text[:_MAX_CHARS] or type(error).__name__
