"""Credentials by the names of variables, netrc on request, and whose certificates are trusted."""

import base64
import os
import traceback
from pathlib import Path
from typing import Any

import pytest

from hub_tfx.cli.main import run
from hub_tfx.errors import ConfigError, HubTfxError, RefusedError
from hub_tfx.module.handle import ModuleHandle
from hub_tfx.store.fetch import access
from hub_tfx.store.fetch.access import Access, using
from hub_tfx.store.fetch.http import HttpFetcher

Server = Any
Answer = Any
_FETCHER = HttpFetcher(connect_timeout_s=2, read_timeout_s=2, attempts=1)


@pytest.fixture
def into(tmp_path: Path) -> Path:
    (tmp_path / "work" / "module").mkdir(parents=True)
    return tmp_path / "work" / "module"


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    for name in ("HUB_TFX_TOKEN_ENV", "HUB_TFX_NETRC", *access._CA_BUNDLES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MY_TOKEN", "s3cret")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    return "Bearer s3cret"


def _fails(kind: type[HubTfxError], url: str, into: Path, asking: Access | None = None) -> str:
    with using(asking or Access.from_environment()), pytest.raises(kind) as error:
        _FETCHER.fetch(ModuleHandle.parse(url), into)
    assert "s3cret" not in "".join(traceback.format_exception(error.value))
    return str(error.value)


def _sent(server: Server) -> list[str | None]:
    return [headers.get("authorization") for headers in server.headers]


def test_a_token_goes_to_the_host_of_the_handle_and_to_no_other(
    server: Server, other_server: Server, answer: Answer, archive: Path, into: Path, token: str
) -> None:
    url = server.on("/m.tgz", answer(302, headers={"Location": "/n.tgz"}))
    server.on("/n.tgz", answer(302, headers={"Location": f"{other_server.url}/o.tgz"}))
    other_server.on("/o.tgz", answer(body=archive.read_bytes()))
    with using(Access(token_env="MY_TOKEN")):
        _FETCHER.fetch(ModuleHandle.parse(url), into)
    assert _sent(server) == [token, token]
    assert _sent(other_server) == [None]


def test_the_environment_says_which_host_gets_which_token(
    server: Server,
    answer: Answer,
    archive: Path,
    into: Path,
    token: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = server.on("/m.tgz", answer(404))
    for tokens in ("hub.example=MY_TOKEN", "hub.example=OTHER, 127.0.0.1=MY_TOKEN"):
        monkeypatch.setenv("HUB_TFX_TOKEN_ENV", tokens)
        _fails(HubTfxError, url, into)
    assert _sent(server) == [None, token]


@pytest.mark.parametrize("value", ["MY_TOKEN", "hub.example=", "=MY_TOKEN", "h=s3cret-value!"])
def test_a_token_for_every_host_is_refused(
    value: str, server: Server, into: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUB_TFX_TOKEN_ENV", value)
    with pytest.raises(ConfigError, match=r"HUB_TFX_TOKEN_ENV takes HOST=VARIABLE") as error:
        _FETCHER.fetch(ModuleHandle.parse(server.url + "/m"), into)
    assert "s3cret" not in str(error.value)
    assert server.targets == []


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("NO_SUCH_TOKEN", None, "the variable NO_SUCH_TOKEN is not set: set it"),
        ("hf_s3cret", None, "the variable that is named for a token is not set"),
        ("MY_TOKEN", "a s3cret", "does not hold a token"),
        ("MY_TOKEN", "s3cret\nX-Header: 1", "does not hold a token"),
        ("MY_TOKEN", "s3crét", "does not hold a token"),
    ],
)
def test_what_is_not_a_token(
    name: str,
    value: str | None,
    why: str,
    server: Server,
    into: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if value is not None:
        monkeypatch.setenv(name, value)
    assert why in _fails(ConfigError, server.url + "/m", into, Access(token_env=name))
    assert server.targets == []


def test_a_token_is_not_sent_without_tls(into: Path) -> None:
    url = "http://hub.example/m"
    assert "without TLS: use its https" in _fails(
        RefusedError, url, into, Access(token_env="MY_TOKEN")
    )


def test_netrc_is_read_on_request_and_its_default_is_not(
    server: Server, answer: Answer, into: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = server.on("/m.tgz", answer(404))
    _fails(HubTfxError, url, into, Access(netrc=True))  # There is none.
    (tmp_path / "netrc").write_text("default login eve password x\n")
    _fails(HubTfxError, url, into, Access(netrc=True))
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login ann password s3cret\n")
    _fails(HubTfxError, url, into, Access(netrc=True))
    monkeypatch.setenv("HUB_TFX_NETRC", "1")
    _fails(HubTfxError, url, into)
    basic = "Basic " + base64.b64encode(b"ann:s3cret").decode()
    assert _sent(server) == [None, None, basic, basic]


def test_a_netrc_that_cannot_be_read_is_named(into: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "netrc")
    asking, url = Access(netrc=True), "http://127.0.0.1:9/m"
    assert "it is a FIFO" in _fails(ConfigError, url, into, asking)
    (tmp_path / "netrc").unlink()
    (tmp_path / "netrc").write_text("machine s3cret nonsense")
    assert "not a netrc file" in _fails(ConfigError, url, into, asking)


@pytest.mark.parametrize("content", [None, "not a certificate"])
def test_a_ca_bundle_that_cannot_be_read_is_named(
    content: str | None, into: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "ca.pem"
    if content is not None:
        bundle.write_text(content)
    asking = Access(ca_bundle=str(bundle))
    assert f"the CA bundle {bundle} cannot" in _fails(ConfigError, "https://h/m", into, asking)
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    assert f"the CA bundle {bundle} cannot" in _fails(ConfigError, "https://h/m", into)


def test_the_options_of_resolve_say_how_servers_are_asked(
    server: Server,
    answer: Answer,
    archive: Path,
    token: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    url = server.on("/m.tgz", answer(body=archive.read_bytes()))
    resolve = ["resolve", url, "--cache-dir", str(tmp_path / "cache")]
    assert run([*resolve, "--allow-host", "hub.example"]) == 5
    assert run([*resolve, "--deny-host", "127.0.0.0/8"]) == 5
    assert run([*resolve, "--ca-bundle", str(tmp_path / "none.pem")]) == 2
    assert run([*resolve, "https://other.example/m", "--token-env", "MY_TOKEN"]) == 2
    assert server.targets == []
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login ann password s3cret\n")
    assert run([*resolve, "--netrc", "--sha256", "0" * 64]) == 5
    assert run([*resolve, "--token-env", "MY_TOKEN"]) == 0
    assert str(_sent(server)[0]).startswith("Basic ")
    assert _sent(server)[1] == token
    kept = [p.read_bytes() for p in (tmp_path / "cache").rglob("*") if p.is_file()]
    assert not [content for content in kept if b"s3cret" in content or b"MY_TOKEN" in content]
    assert "s3cret" not in str(capsys.readouterr())
