"""HttpFetcher against a real server on the loopback."""

import gzip
import shutil
import socket
import threading
import traceback
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from hub_tfx.errors import (
    ArchiveError,
    DigestMismatchError,
    FetchError,
    HubTfxError,
    NotAModuleError,
    RefusedError,
    TransientFetchError,
    UnsafeArchiveError,
)
from hub_tfx.module.handle import ModuleHandle
from hub_tfx.module.manifest import Manifest, hash_file
from hub_tfx.store.archive import Limits
from hub_tfx.store.cache import ModuleCache
from hub_tfx.store.fetch.access import Access, using
from hub_tfx.store.fetch.http import HttpFetcher, request_urls
from hub_tfx.store.fetch.promises import repr_digest, verify_promises
from hub_tfx.store.fetch.web import redirect_target

_FETCHER = HttpFetcher(connect_timeout_s=2, read_timeout_s=2, attempts=3, max_wait_s=0.01)

Server = Any
Answer = Any


@pytest.fixture
def into(tmp_path: Path) -> Path:
    (tmp_path / "work" / "module").mkdir(parents=True)
    return tmp_path / "work" / "module"


def _fetch(url: str, into: Path, fetcher: HttpFetcher = _FETCHER) -> Manifest:
    fetcher.fetch(ModuleHandle.parse(url), into)
    assert [p.name for p in into.parent.iterdir()] == ["module"]
    return Manifest.of_directory(into)


def _fails(
    error_type: type[HubTfxError], url: str, into: Path, fetcher: HttpFetcher = _FETCHER
) -> str:
    """The message; checks that nothing stays behind and no secret gets out."""
    with pytest.raises(error_type) as caught:
        fetcher.fetch(ModuleHandle.parse(url), into)
    assert list(into.iterdir()) == []
    assert [p.name for p in into.parent.iterdir()] == ["module"]
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))
    assert str(caught.value).startswith(str(ModuleHandle.parse(url)))
    return str(caught.value)


def test_a_module_arrives_as_it_was_packed(
    server: Server, answer: Answer, archive: Path, module_dir: Path, into: Path
) -> None:
    url = server.on("/acme/text/1", answer(body=archive.read_bytes()))
    assert _fetch(url, into) == Manifest.of_directory(module_dir)
    assert server.targets == ["/acme/text/1?tf-hub-format=compressed"]
    assert server.headers[0]["accept-encoding"] == "identity"
    assert "x-hub-tfx-request-target" not in server.headers[0]


@pytest.mark.parametrize(
    "target",
    [
        "/m.tar.gz?X-Amz-Signature=a%2fb%2FC+d&empty=&bare&tilde=~'()*!$;x={y}|^`\"<>[]",
        "/m.tar.gz",
        "/a%7eb/%41/../m.tgz?s=1",
        "/m.tar?",
    ],
)
def test_the_url_of_an_archive_is_sent_byte_for_byte(
    target: str, server: Server, answer: Answer, archive: Path, into: Path
) -> None:
    url = server.on(target.partition("?")[0], answer(body=archive.read_bytes()))
    _fetch(url + target[len(target.partition("?")[0]) :], into)
    assert server.targets == [target.removesuffix("?")]


@pytest.mark.parametrize(
    ("handle", "urls"),
    [
        ("https://tfhub.dev/a/b/1", ["https://tfhub.dev/a/b/1?tf-hub-format=compressed"]),
        ("https://tfhub.dev/a/b/", ["https://tfhub.dev/a/b?tf-hub-format=compressed"]),
        ("https://h", ["https://h/?tf-hub-format=compressed"]),
        ("https://h/a?sig=%2f&x=", ["https://h/a?sig=%2f&x="]),
        ("https://h/a?x=&X-Amz-Signature=%2f", ["https://h/a?x=&X-Amz-Signature=%2f"]),
        ("https://h/a?t=%2f", ["https://h/a?t=%2f", "https://h/a?t=%2f&tf-hub-format=compressed"]),
        ("https://h/a?tf-hub-format=compressed", ["https://h/a?tf-hub-format=compressed"]),
        ("https://u:p@h:8443/a.tar.gz?b", ["https://h:8443/a.tar.gz?b"]),
        ("https://h/A.TGZ", ["https://h/A.TGZ"]),
    ],
)
def test_what_is_asked_for(handle: str, urls: list[str]) -> None:
    assert list(request_urls(ModuleHandle.parse(handle))) == urls


@pytest.mark.parametrize("query", ["X-Goog-Signature=a%2fb&e=", "sig=a%2fb", "token=a%2fb&e="])
def test_a_url_that_may_be_signed_is_sent_byte_for_byte_whatever_its_ending(
    query: str, server: Server, answer: Answer, archive: Path, into: Path
) -> None:
    url = server.on("/download", answer(body=archive.read_bytes()))
    _fetch(f"{url}?{query}", into)
    assert server.targets == [f"/download?{query}"]


def test_a_page_at_a_url_with_a_query_is_asked_for_the_module(
    server: Server, answer: Answer, archive: Path, into: Path
) -> None:
    page = answer(body=b"<!DOCTYPE html><title>A module</title>")
    url = server.on("/acme/text/1", page, answer(body=archive.read_bytes()))
    _fetch(f"{url}?lang=de", into)
    asked = ["lang=de", "lang=de&tf-hub-format=compressed"]
    assert server.targets == [f"/acme/text/1?{query}" for query in asked]


def test_letters_that_are_not_ascii_are_encoded(
    server: Server, answer: Answer, archive: Path, into: Path
) -> None:
    server.on("/caf%C3%A9.tgz", answer(body=archive.read_bytes()))
    _fetch(server.url + "/café.tgz", into)
    assert server.targets == ["/caf%C3%A9.tgz"]


# --- Redirects ----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed_as_they_are_written(
    status: int, server: Server, answer: Answer, archive: Path, into: Path
) -> None:
    location = {"Location": "../real/m?sig=a%2fb&e="}
    url = server.on("/acme/text/1", answer(status, b"x" * 99, location))
    server.on("/acme/real/m", answer(body=archive.read_bytes()))
    _fetch(url, into)
    assert server.targets[1] == "/acme/real/m?sig=a%2fb&e="


def test_credentials_go_to_their_own_host_only(
    server: Server, other_server: Server, answer: Answer, archive: Path, into: Path
) -> None:
    server.on("/m", answer(302, headers={"Location": "/here"}))
    server.on("/here", answer(302, headers={"Location": f"{other_server.url}/there"}))
    back = server.url.replace("//", "//eve:x@")
    other_server.on("/there", answer(302, headers={"Location": f"{back}/back"}))
    server.on("/back", answer(body=archive.read_bytes()))
    _fetch(server.url.replace("//", "//ann:s3c%40ret@") + "/m", into)
    sent = [headers.get("authorization") for headers in server.headers]
    assert sent == ["Basic YW5uOnMzY0ByZXQ="] * 3
    assert "authorization" not in other_server.headers[0]


def test_redirect_loops_end(server: Server, answer: Answer, into: Path) -> None:
    url = server.on("/m.tar", answer(302, headers={"Location": "/n.tar"}))
    server.on("/n.tar", answer(302, headers={"Location": "/m.tar"}))
    assert "loop" in _fails(FetchError, url, into)
    assert len(server.targets) == 2


def test_redirects_are_bounded(server: Server, answer: Answer, into: Path) -> None:
    for i in range(20):
        server.on(f"/{i}.tar", answer(302, headers={"Location": f"/{i + 1}.tar"}))
    assert "more than 10 redirects" in _fails(FetchError, server.url + "/0.tar", into)
    assert len(server.targets) == 11


@pytest.mark.parametrize(
    ("location", "error", "why"),
    [
        ("http://h/m?t=s3cret", RefusedError, r"from https to http://h/m\?t=…"),
        ("file:///etc/passwd", RefusedError, "not HTTP"),
        ("ftp://h/m", RefusedError, "not HTTP"),
        ("javascript:alert(1)", RefusedError, "not HTTP"),
        ("", FetchError, "redirected without saying where to"),
        ("https://:443/", FetchError, "redirected to an invalid URL"),
        ("https://h:port/", FetchError, "redirected to an invalid URL"),
        ("https://h\\evil/", FetchError, "redirected to an invalid URL"),
    ],
)
def test_redirects_that_are_not_followed(location: str, error: type[Exception], why: str) -> None:
    with pytest.raises(error, match=why) as caught:
        redirect_target(ModuleHandle.parse("https://h/m"), "https://h/m", location)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("//cdn/m", "https://cdn/m"),
        ("/a b\xc3\xa9#part", "https://h/a%20b%C3%A9"),
        ("https://eve:pw@cdn/m?a=%2f", "https://cdn/m?a=%2f"),
        ("HTTPS://CDN/m/", "https://CDN/m/"),
    ],
)
def test_redirect_targets(location: str, target: str) -> None:
    assert redirect_target(ModuleHandle.parse("https://h/m"), "https://h/x/m", location) == target


def test_no_credentials_without_any() -> None:
    assert Access().authorization(ModuleHandle.parse("https://h/m"), "https://h/m") == {}


def test_a_redirect_to_nowhere_fails(server: Server, answer: Answer, into: Path) -> None:
    url = server.on("/m", answer(302))
    assert "redirected without saying where to" in _fails(FetchError, url + "?token=s3cret", into)


# --- What servers answer ------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_a_refusal_is_not_asked_for_again(
    status: int, server: Server, answer: Answer, into: Path
) -> None:
    url = server.on("/m", answer(status, b"no"))
    message = _fails(FetchError, url + "?token=s3cret", into)
    assert str(status) in message
    assert "token=…" in message
    assert len(server.targets) == 1


@pytest.mark.parametrize("status", [403, 404])
def test_only_where_nothing_is_found_the_other_form_is_asked_for(
    status: int, server: Server, answer: Answer, into: Path
) -> None:
    url = server.on("/m", answer(status, b"no"))
    assert str(status) in _fails(FetchError, url, into)
    forms = [target.partition("tf-hub-format=")[2] for target in server.targets]
    assert forms == ["compressed", "uncompressed"][: 1 + (status == 404)]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_busy_server_is_asked_again(
    status: int, server: Server, answer: Answer, archive: Path, into: Path
) -> None:
    url = server.on("/m", answer(status), answer(status), answer(body=archive.read_bytes()))
    _fetch(url, into)
    assert len(server.targets) == 3


def test_retries_are_bounded(server: Server, answer: Answer, into: Path) -> None:
    url = server.on("/m", answer(503, b"busy"))
    assert "503" in _fails(TransientFetchError, url + "?token=s3cret", into)
    assert len(server.targets) == 3


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        (200, b"", "with nothing"),
        (200, b" \n<!DOCTYPE html><p>" + b"x" * 1000, "HTML page"),
        (200, b'{"error": "s3cret"}', "bytes that are not a .tar"),
        (206, b"\x1f\x8b", "206"),
        (204, b"", "204"),
    ],
)
def test_what_is_no_archive_is_no_module(
    status: int, body: bytes, why: str, server: Server, answer: Answer, into: Path
) -> None:
    url = server.on("/m", answer(status, body))
    message = _fails(NotAModuleError, url, into)
    assert "is not a module" in message
    assert why in message
    assert [target.endswith("=compressed") for target in server.targets] == [True, False]


@pytest.mark.parametrize("promise", ["Repr-Digest", "hub-tfx-digest"])
def test_a_server_is_held_to_the_digest_that_it_promises(
    promise: str, server: Server, answer: Answer, archive: Path, into: Path, module_dir: Path
) -> None:
    true = {
        "Repr-Digest": repr_digest(hash_file(archive)[1]),
        "hub-tfx-digest": Manifest.of_directory(module_dir).digest.upper(),
    }
    lie = {"Repr-Digest": f"md5=:AA==:, {repr_digest('0' * 64)}", "hub-tfx-digest": "f" * 64}
    _fetch(server.on("/m", answer(body=archive.read_bytes(), headers=true)), into)
    shutil.rmtree(into)
    into.mkdir()
    headers = {**true, promise: lie[promise]}
    url = server.on("/m", answer(body=archive.read_bytes(), headers=headers))
    with pytest.raises(DigestMismatchError, match="and the server promised "):
        _fetch(url, into)
    assert len(server.targets) == 2  # It is not asked again.


@pytest.mark.parametrize(
    "value", ["sha-256=", "sha-256=:x:", "sha-256=:AAAA:", "sha-512=:AAAA:", "", "md5=x, \xe9"]
)
def test_a_promise_that_cannot_be_read_is_none(value: str, archive: Path, module_dir: Path) -> None:
    headers = {"Repr-Digest": value, "Hub-Tfx-Digest": value}
    verify_promises(headers, "handle", archive, module_dir)


def test_a_short_body_is_asked_for_again(
    server: Server, answer: Answer, archive: Path, into: Path
) -> None:
    body = archive.read_bytes()
    short = answer(body=body[:-50], headers={"Content-Length": str(len(body))})
    url = server.on("/m", short, answer(body=body))
    _fetch(url, into)
    server.on("/m", short)
    shutil.rmtree(into)
    into.mkdir()
    assert "broke off" in _fails(TransientFetchError, url, into)


def test_a_short_body_of_unknown_length_is_asked_for_again(
    server: Server, answer: Answer, archive: Path, into: Path
) -> None:
    """Only the archive itself shows that it is cut; the whole one comes at the second attempt."""
    body = archive.read_bytes()
    short = answer(body=body[:-50], headers={"Content-Length": ""})
    url = server.on("/m", short, answer(body=body))
    _fetch(url, into)
    server.on("/m", short)
    shutil.rmtree(into)
    into.mkdir()
    assert "cut short" in _fails(ArchiveError, url, into)


def test_a_page_that_is_packed_unasked_is_a_page(
    server: Server, answer: Answer, into: Path
) -> None:
    page = gzip.compress(b"<!DOCTYPE html><title>Sign in</title>" + bytes(range(256)) * 20)
    url = server.on("/m.tgz", answer(body=page, headers={"Content-Encoding": "gzip"}))
    assert "HTML page" in _fails(NotAModuleError, url, into)
    assert len(server.targets) == 1


def test_a_broken_chunked_body_is_asked_for_again(
    server: Server, answer: Answer, archive: Path, into: Path
) -> None:
    def cut(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4000\r\n\x1f\x8b"
        )

    url = server.on("/m", answer(act=cut), answer(body=archive.read_bytes()))
    _fetch(url, into)
    assert len(server.targets) == 2


def test_a_chunked_body_arrives(server: Server, answer: Answer, archive: Path, into: Path) -> None:
    body = archive.read_bytes()

    def chunked(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for i in range(0, len(body), 100):
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(body[i : i + 100]), body[i : i + 100]))
        handler.wfile.write(b"0\r\n\r\n")

    _fetch(server.on("/m", answer(act=chunked)), into)


def test_an_archive_that_is_labelled_as_encoded_arrives(
    server: Server, answer: Answer, archive: Path, into: Path
) -> None:
    """Some servers take the .gz of a .tar.gz for a content encoding."""
    headers = {"Content-Encoding": "gzip"}
    _fetch(server.on("/m", answer(body=archive.read_bytes(), headers=headers)), into)


def test_a_download_beyond_the_limit_is_stopped(
    server: Server, answer: Answer, archive: Path, into: Path
) -> None:
    url = server.on("/m", answer(body=archive.read_bytes() + bytes(5000)))
    fetcher = HttpFetcher(limits=Limits(total_bytes=4000))
    assert "more than 4000" in _fails(UnsafeArchiveError, url, into, fetcher)
    assert len(server.targets) == 1


def test_a_server_that_is_not_there(into: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://ann:s3cret@127.0.0.1:{unused.getsockname()[1]}/m?token=s3cret"
        assert "refused" in _fails(TransientFetchError, url, into)


def test_a_host_that_has_no_address(into: Path) -> None:
    url = "http://no-such-host.invalid/m?token=s3cret"
    _fails(TransientFetchError, url, into, HttpFetcher(attempts=1))


def test_a_reset_is_tried_again(server: Server, answer: Answer, into: Path, archive: Path) -> None:
    def reset(handler: BaseHTTPRequestHandler) -> None:
        handler.connection.shutdown(socket.SHUT_RDWR)

    url = server.on("/m", answer(act=reset), answer(body=archive.read_bytes()))
    _fetch(url, into)


def test_a_stalled_server_is_given_up(server: Server, answer: Answer, into: Path) -> None:
    over = threading.Event()
    url = server.on("/m", answer(act=lambda _: over.wait(60)))
    fetcher = HttpFetcher(read_timeout_s=0.1, attempts=2, max_wait_s=0.01)
    assert "timed out" in _fails(TransientFetchError, url + "?token=s3cret", into, fetcher)
    over.set()
    assert len(server.targets) == 2


def test_a_trickle_meets_the_deadline(server: Server, answer: Answer, into: Path) -> None:
    def trickle(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n\x1f\x8b")
        for _ in range(100):
            if over.wait(0.05):
                return
            handler.wfile.write(b"x")

    over = threading.Event()
    url = server.on("/m", answer(act=trickle))
    assert "0.3 s" in _fails(TransientFetchError, url, into, HttpFetcher(total_timeout_s=0.3))
    over.set()


# --- Certificates -------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["true", "1", "TRUE"])
def test_unverified_certificates_are_refused(
    value: str, monkeypatch: pytest.MonkeyPatch, server: Server, into: Path
) -> None:
    monkeypatch.setenv("TFHUB_DISABLE_CERT_VALIDATION", value)
    message = _fails(RefusedError, server.url + "/m?token=s3cret", into)
    assert "TFHUB_DISABLE_CERT_VALIDATION" in message
    assert server.targets == []


def test_only_a_certificate_of_a_known_authority_is_trusted(
    tls: Path,
    server: Server,
    answer: Answer,
    archive: Path,
    into: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = server.on("/m.tgz", answer(body=archive.read_bytes())).replace("http:", "https:")
    message = _fails(RefusedError, url + "?token=s3cret", into)
    assert "certificate is not to be trusted" in message
    assert server.targets == []
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tls))
    _fetch(url + "?a=%2f", into)
    assert server.targets == ["/m.tgz?a=%2f"]
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/none.pem")
    with using(Access(ca_bundle=str(tls))):
        assert _FETCHER.entity_tag(ModuleHandle.parse(url)) == ""


def test_a_proxy_gets_the_url_byte_for_byte(
    server: Server,
    answer: Answer,
    archive: Path,
    into: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A proxy is asked with the whole URL, which is the path as far as this server knows."""
    monkeypatch.setenv("HTTP_PROXY", server.url)
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    server.on("http://modules.test/m.tgz", answer(body=archive.read_bytes()))
    _fetch("http://ann:s3cret@modules.test/m.tgz?a=%2f&b=", into)
    assert server.targets == ["http://modules.test/m.tgz?a=%2f&b="]


def test_netrc_is_not_read(
    server: Server,
    answer: Answer,
    archive: Path,
    into: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login ann password s3cret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    _fetch(server.on("/m", answer(body=archive.read_bytes())), into)
    assert "authorization" not in server.headers[0]


def test_a_disk_that_is_full_is_named(
    server: Server,
    answer: Answer,
    archive: Path,
    into: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from hub_tfx.errors import OutputError
    from hub_tfx.store.fetch import part

    def full(*_: object, **__: object) -> Callable[[], None]:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(part, "NamedTemporaryFile", full)
    url = server.on("/m", answer(body=archive.read_bytes()))
    with pytest.raises(OutputError, match="No space left"):
        _FETCHER.fetch(ModuleHandle.parse(url), into)


def test_a_strong_entity_tag_saves_the_second_download(
    server: Server, answer: Answer, archive: Path, tmp_path: Path
) -> None:
    body = archive.read_bytes()
    answers = [answer(body=body, headers={"ETag": tag}) for tag in ('"1"', '"1"', '"1"', '"2"')]
    url = server.on("/m.tar.gz", *answers)
    cache = ModuleCache(tmp_path / "cache", fetcher=HttpFetcher())
    assert not cache.resolve(url, new_bytes="refuse").cache_hit  # A look, and a download.
    assert cache.resolve(url, new_bytes="refuse").cache_hit
    assert len(server.targets) == 3
    assert not cache.resolve(url, new_bytes="refuse").cache_hit
    assert len(server.targets) == 5


@pytest.mark.parametrize("tag", ["", 'W/"1"', "1", '"' + "1" * 300 + '"'])
def test_what_is_not_a_strong_entity_tag_vouches_for_nothing(
    tag: str, server: Server, answer: Answer, archive: Path, tmp_path: Path
) -> None:
    url = server.on("/m.tar.gz", answer(body=archive.read_bytes(), headers={"ETag": tag}))
    assert HttpFetcher().entity_tag(ModuleHandle.parse(url)) == ""
    cache = ModuleCache(tmp_path / "cache", fetcher=HttpFetcher())
    assert not any(cache.resolve(url, new_bytes="follow").cache_hit for _ in range(2))
