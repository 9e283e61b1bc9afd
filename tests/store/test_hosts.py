"""The policy of hosts: on names, and on the addresses that are connected to."""

import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_tfx.errors import ConfigError, FetchError, RefusedError
from hub_tfx.module.handle import ModuleHandle
from hub_tfx.module.manifest import Manifest
from hub_tfx.store.fetch import dialing
from hub_tfx.store.fetch.access import Access, using
from hub_tfx.store.fetch.hosts import HostPolicy, Reach, literal, reach_of
from hub_tfx.store.fetch.http import HttpFetcher

Server = Any
Answer = Any
_FETCHER = HttpFetcher(connect_timeout_s=2, read_timeout_s=2, attempts=2, max_wait_s=0.01)


@pytest.fixture
def into(tmp_path: Path) -> Path:
    (tmp_path / "work" / "module").mkdir(parents=True)
    return tmp_path / "work" / "module"


def _refused(url: str, into: Path, why: str, policy: HostPolicy | None = None) -> None:
    with using(Access(policy or HostPolicy())), pytest.raises(RefusedError, match=why) as error:
        _FETCHER.fetch(ModuleHandle.parse(url), into)
    assert str(error.value).startswith(f"{ModuleHandle.parse(url)}: refused: ")
    assert list(into.iterdir()) == []


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "2852039166",
        "0xA9FEA9FE",
        "0251.0376.0251.0376",
        "169.254.43518",
        "169.254.169.254.",
        "[::ffff:169.254.169.254]",
        "[::ffff:a9fe:a9fe]",
        "[::169.254.169.254]",
        "[64:ff9b::a9fe:a9fe]",
        "[2002:a9fe:a9fe::1]",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "100.100.100.200",
        "0.0.0.0",
        "0",
        "[::]",
        "224.0.0.1",
        "255.255.255.255",
    ],
)
def test_addresses_of_metadata_servers_are_refused_in_every_spelling(
    host: str, into: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("it was connected to"))
    _refused(f"http://{host}/latest/m.tgz", into, "check the handle", HostPolicy(private="allow"))


@pytest.mark.parametrize(
    ("address", "reach"),
    [
        ("8.8.8.8", Reach.PUBLIC),
        ("2606:4700::1", Reach.PUBLIC),
        ("::ffff:8.8.8.8", Reach.PUBLIC),
        ("10.0.0.1", Reach.PRIVATE),
        ("192.168.1.1", Reach.PRIVATE),
        ("172.16.0.1", Reach.PRIVATE),
        ("100.64.0.1", Reach.PRIVATE),
        ("fc00::1", Reach.PRIVATE),
        ("::ffff:10.0.0.1", Reach.PRIVATE),
        ("127.0.0.1", Reach.LOOPBACK),
        ("127.9.9.9", Reach.LOOPBACK),
        ("::1", Reach.LOOPBACK),
        ("::ffff:127.0.0.1", Reach.LOOPBACK),
        ("fe80::1%eth0", Reach.NEVER),
        ("240.0.0.1", Reach.NEVER),
        ("0.0.0.1", Reach.NEVER),
    ],
)
def test_how_far_an_address_is_known(address: str, reach: Reach) -> None:
    assert reach_of(address) == reach


@given(st.ip_addresses())
def test_every_address_has_a_reach(address: Any) -> None:
    assert reach_of(str(address)) in Reach
    assert literal(str(address)) == str(address)


def _resolving(monkeypatch: pytest.MonkeyPatch, names: dict[str, list[str]]) -> None:
    """Has names of tests lead to addresses: the next one each time, and the last one for ever."""
    real = socket.getaddrinfo

    def found(host: str, *arguments: Any) -> Any:
        if host not in names:
            return real(host, *arguments)
        addresses = names[host]
        return real(addresses.pop(0) if len(addresses) > 1 else addresses[0], *arguments)

    monkeypatch.setattr(dialing.socket, "getaddrinfo", found)


def test_a_name_that_leads_to_a_metadata_server_is_refused(
    into: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _resolving(monkeypatch, {"metadata.example": ["169.254.169.254"]})
    _refused("http://metadata.example/m", into, "metadata.example leads to 169.254.169.254")


def test_a_hub_on_this_machine_is_asked_when_the_handle_names_it(
    server: Server, answer: Answer, archive: Path, module_dir: Path, into: Path
) -> None:
    url = server.on("/m.tgz", answer(302, headers={"Location": "/n.tgz"}))
    server.on("/n.tgz", answer(body=archive.read_bytes()))
    _FETCHER.fetch(ModuleHandle.parse(url), into)
    assert Manifest.of_directory(into) == Manifest.of_directory(module_dir)


def test_a_redirect_from_a_public_host_to_this_machine_is_refused_before_a_byte_is_sent(
    public_server: Server, server: Server, answer: Answer, archive: Path, into: Path
) -> None:
    inside = server.on("/admin", answer(body=archive.read_bytes()))
    url = public_server.on("/m.tgz", answer(302, headers={"Location": f"{inside}?t=s3cret"}))
    _refused(url, into, "leads from a public host to the private address 127.0.0.1: name it")
    assert server.targets == []


@pytest.mark.parametrize(
    "policy", [HostPolicy(private="allow"), HostPolicy(allow=("127.0.0.0/8",))], ids=str
)
def test_a_policy_may_allow_such_a_redirect(
    policy: HostPolicy,
    public_server: Server,
    server: Server,
    answer: Answer,
    archive: Path,
    into: Path,
) -> None:
    inside = server.on("/m.tgz", answer(body=archive.read_bytes()))
    url = public_server.on("/m.tgz", answer(302, headers={"Location": inside}))
    with using(Access(policy)):
        _FETCHER.fetch(ModuleHandle.parse(url), into)
    assert server.targets == ["/m.tgz"]


def test_a_name_that_leads_elsewhere_at_the_next_look_is_refused(
    public_server: Server,
    server: Server,
    answer: Answer,
    into: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The address that was checked is the one that is connected to, at every attempt."""
    _resolving(monkeypatch, {"rebinding.example": ["127.0.0.2", "127.0.0.1"]})
    public_server.on("/m.tgz", answer(503))
    url = f"http://rebinding.example:{public_server.server_port}/m.tgz"
    _refused(url, into, "rebinding.example leads from a public host to the private address")
    assert len(public_server.targets) == 1


def test_a_link_local_address_beside_a_good_one_is_passed_over(
    server: Server, answer: Answer, archive: Path, into: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = socket.getaddrinfo

    def both(host: str, *arguments: Any) -> Any:
        return real("169.254.7.7", *arguments) + real("127.0.0.1", *arguments)

    monkeypatch.setattr(dialing.socket, "getaddrinfo", both)
    server.on("/m.tgz", answer(body=archive.read_bytes()))
    url = f"http://hub.local:{server.server_port}/m.tgz"
    _FETCHER.fetch(ModuleHandle.parse(url), into)


@pytest.mark.parametrize(
    ("policy", "why"),
    [
        (HostPolicy(deny=("127.0.0.1",)), "is denied"),
        (HostPolicy(deny=("127.*",)), "is denied"),
        (HostPolicy(deny=("127.0.0.0/8",)), "is denied"),
        (HostPolicy(allow=("hub.example.org",)), "not among the allowed hosts"),
        (HostPolicy(allow=("10.0.0.0/8",)), "not among the allowed hosts"),
        (HostPolicy(private="deny"), "leads to the private address"),
    ],
    ids=str,
)
def test_what_a_policy_refuses(policy: HostPolicy, why: str, server: Server, into: Path) -> None:
    _refused(server.url + "/m.tgz", into, why, policy)
    assert server.targets == []


def test_a_denied_address_is_denied_in_every_spelling(server: Server, into: Path) -> None:
    url = f"http://0x7f000001:{server.server_port}/m.tgz"
    _refused(url, into, "is denied", HostPolicy(deny=("127.0.0.1",)))


def test_names_are_compared_without_case_and_final_dot() -> None:
    policy = HostPolicy(allow=("*.Example.org",), deny=("bad.example.org", "gs://secret"))
    policy.check_name("HUB.example.ORG.")
    for name in ("bad.EXAMPLE.org.", "example.com", "gs://secret", "s3://models"):
        with pytest.raises(RefusedError):
            policy.check_name(name)


def test_with_a_proxy_names_and_spelled_addresses_are_checked(
    server: Server, into: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, server.url)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    _refused("http://0xA9FEA9FE/m", into, "check the handle")
    _refused("http://hub.example/m", into, "is denied", HostPolicy(deny=("hub.example",)))
    _refused("http://0x0a000001/m", into, "is denied", HostPolicy(deny=("10.0.0.0/8",)))
    _refused("http://hub.example/m", into, "not among", HostPolicy(allow=("10.0.0.0/8",)))
    assert server.targets == []


def test_the_policy_of_the_environment(server: Server, answer: Answer, into: Path) -> None:
    given = {
        "HUB_TFX_ALLOW_HOSTS": "a.example, 10.0.0.0/8",
        "HUB_TFX_DENY_HOSTS": "b.example",
        "HUB_TFX_PRIVATE_HOSTS": "deny",
    }
    policy = HostPolicy(("a.example", "10.0.0.0/8"), ("b.example",), "deny")
    assert HostPolicy.from_environment(given) == policy
    narrowed = HostPolicy.from_environment(given, allow=("c.example",), deny=("d.example",))
    assert narrowed == HostPolicy(("c.example",), ("b.example", "d.example"), "deny")
    assert HostPolicy.from_environment({}) == HostPolicy()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HUB_TFX_ALLOW_HOSTS", "https://hub.example/"),
        ("HUB_TFX_DENY_HOSTS", "a b"),
        ("HUB_TFX_DENY_HOSTS", "10.0.0.0/99"),
        ("HUB_TFX_PRIVATE_HOSTS", "yes"),
    ],
)
def test_a_policy_that_makes_no_sense_is_an_error(
    name: str, value: str, server: Server, into: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=r"give a name such as|set it to one of"):
        _FETCHER.fetch(ModuleHandle.parse(server.url + "/m"), into)


def test_no_address_of_a_host_is_an_ordinary_error(into: Path) -> None:
    with pytest.raises(FetchError, match="no connection"):
        _FETCHER.fetch(ModuleHandle.parse("http://no-such-host.invalid/m"), into)
