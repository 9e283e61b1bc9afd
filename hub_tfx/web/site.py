"""What answering a request needs: the repository, its index, and how the server was started."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from starlette.requests import Request

from hub_tfx.errors import ConfigError, HubTfxError
from hub_tfx.module.policy import SafetyPolicy
from hub_tfx.repository.catalogue import Catalogue
from hub_tfx.repository.storage import Storage

if TYPE_CHECKING:
    from hub_tfx.lineage.connection import Connection

_NEAREST = 3


@dataclass(frozen=True)
class ServeOptions:
    """How the server was started.

    Attributes:
      tokens: name -> secret of every bearer token; without any, everybody may read.
      allow_publish: whether whoever has a token may publish.
      cors_origins: origins whose pages may read what is served; ``*`` for all.
      accel_prefix: internal location of an nginx in front, which then sends the archives itself.
      public_url: URL under which people reach the server; that of each request if None.
      max_downloads: number of archives that are sent at the same time.
      max_upload_bytes: size of the body of a publication.
      policy: which modules that others publish are refused for what is in their graphs.
      refresh_s: seconds between two looks at the repository.

    Raises:
      ConfigError: everybody could publish.
    """

    tokens: Mapping[str, str] = field(default_factory=dict, repr=False)
    allow_publish: bool = False
    cors_origins: tuple[str, ...] = ()
    accel_prefix: str | None = None
    public_url: str | None = None
    max_downloads: int = 64
    max_upload_bytes: int = 4 << 30
    policy: SafetyPolicy = field(default_factory=SafetyPolicy)
    refresh_s: float = 5.0

    def __post_init__(self) -> None:
        if self.allow_publish and not self.tokens:
            raise ConfigError(
                "--allow-publish needs --token-env: name a variable that holds a token"
            )


@dataclass(frozen=True)
class Site:
    """All that a request handler needs.

    Attributes:
      storage: the repository.
      catalogue: the index of it.
      metadata: where ML Metadata is, which is opened when a page asks for it; None where there is
        none.
      options: how the server was started.
    """

    storage: Storage
    catalogue: Catalogue
    metadata: "Connection | None" = None
    options: ServeOptions = field(default_factory=ServeOptions)

    def base_url(self, request: Request) -> str:
        """URL of the server as whoever asks reaches it, without a slash at its end.

        The header ``Host`` in it has been checked: see ``guard``.
        """
        if self.options.public_url is not None:
            return self.options.public_url.rstrip("/")
        return f"{request.url.scheme}://{request.url.netloc}"

    def nearest(self, text: str) -> tuple[str, ...]:
        """Handles of modules that look like a text."""
        with suppress(HubTfxError):  # A hint is not worth an error.
            return tuple(self.catalogue.nearest(text, _NEAREST))
        return ()
