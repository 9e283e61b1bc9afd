"""ModuleHandle: one canonical form, back and forth, and no secret in sight."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hub_tfx.errors import HandleError
from hub_tfx.module.handle import ModuleHandle

parse = ModuleHandle.parse

_IN_REPOSITORIES = st.builds(
    "repo+{}//{}".format,
    st.text("ab/.~:s3@? é", max_size=10),
    st.text("ab/.@0129-%", max_size=12),
)
_URLS = st.builds(
    "{}://{}/{}".format,
    st.sampled_from(["http", "https", "HTTPS", "gs", "s3", "abfs", "hdfs", "hf", "file"]),
    st.text("ab.:@[]0189%Aé?=&;~", max_size=12),
    st.text("ab/.:@0129%A?=&;~ñ-", max_size=15),
)


@given(text=_URLS | _IN_REPOSITORIES | st.text() | st.text(alphabet=st.characters()))
@example("http://:80/")
@example("https://u@h//1//2/")
@example("//two/slashes")
@example("https://h/a/1?sig=/2/")
@example("repo+/r//a/b/3")
@example("repo+//two//a/b@x")
@example("repo+s3://bucket//a/b")
@example("abfs://box@account/m/3/")
@example("hdfs:///m")
@example("hf://a/b@c/1/")
@example("gs://B/ /1")
def test_the_url_of_a_handle_is_the_handle(text: str) -> None:
    try:
        handle = parse(text)
    except HandleError:
        return
    assert parse(handle.url) == handle
    assert parse(handle.url).key == handle.key


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://tfhub.dev/google/nnlm/2", "https://tfhub.dev/google/nnlm/2"),
        ("HTTPS://TFHub.dev:443/Google/nnlm/2/", "https://tfhub.dev/Google/nnlm/2"),
        ("http://h:80", "http://h"),
        ("http://h:8080/a//", "http://h:8080/a"),
        ("https://h/a/?sig=%2f&b=", "https://h/a/?sig=%2f&b="),
        ("/a/./b/../c/", "/a/c"),
        ("file:///a/b", "/a/b"),
        ("file://localhost/a/b", "/a/b"),
        ("FILE:///a", "/a"),
    ],
)
def test_the_canonical_form(text: str, url: str) -> None:
    assert parse(text).url == url


@pytest.mark.parametrize(
    ("text", "url", "version", "alias"),
    [
        ("repo+/r//acme/words", "repo+/r//acme/words", None, ""),
        ("repo+/r/.//acme/words/3", "repo+/r//acme/words/3", 3, ""),
        ("repo+file:///r//acme/words@stable", "repo+/r//acme/words@stable", None, "stable"),
        ("repo+S3://Bucket/a///acme/words/3", "repo+s3://Bucket/a//acme/words/3", 3, ""),
    ],
)
def test_handles_into_a_repository(text: str, url: str, version: int | None, alias: str) -> None:
    handle = parse(text)
    assert handle.url == str(handle) == url
    assert (handle.path, handle.version, handle.alias) == ("acme/words", version, alias)
    assert handle.is_in_repository
    assert not handle.is_local


def test_relative_paths_are_made_absolute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    assert parse("models/1").path == str(Path.cwd() / "models" / "1")
    assert parse("~/models").path == "/home/ann/models"
    assert parse("models/1").is_local
    assert parse("repo+./r//a/b").authority == str(Path.cwd() / "r")
    assert parse("repo+~/r//a/b").authority == "/home/ann/r"


@pytest.mark.parametrize(
    ("text", "path", "version"),
    [
        ("https://h/a/b/12", "/a/b", 12),
        ("https://h/a/b/0/", "/a/b", 0),
        ("https://h/a/b", "/a/b", None),
        ("https://h/a/b/01", "/a/b/01", None),
        ("https://h/a/b/1a", "/a/b/1a", None),
        ("https://h/7", "", 7),
        ("https://h/a/1?sig=x", "/a/1", None),
        ("/a/b/1", "/a/b/1", None),
    ],
)
def test_versions(text: str, path: str, version: int | None) -> None:
    handle = parse(text)
    assert (handle.path, handle.version) == (path, version)
    assert handle.is_versioned == (version is not None)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"),
        (" \t", "empty"),
        ("https://", "no host"),
        ("https:///path", "no host"),
        ("https://:443/", "no host"),
        ("https://user:s3cret@/path", "no host"),
        ("https://h/a b", "percent-encode"),
        ("https://h/a\nb", "percent-encode"),
        ("https://h/a\\b", "percent-encode"),
        ("https://h/a#b", "percent-encode"),
        ("https://h:port/", "host and port"),
        ("https://u:s3cret@[::1/", "host and port"),
        ("https://u:s3cret@h℀st/", "host and port"),
        ("file://u:s3cret@host/a", "another host: 'host'"),
        ("/a\0b", "NUL"),
        ("repo+/r", "names no module of a repository: give repo"),
        ("repo+/r//acme", "names no module of a repository"),
        ("repo+//acme/words", "names no module of a repository"),
        ("repo+/r//acme/words/0", "names no module of a repository"),
        ("repo+/r//acme/words/1/x", "names no module of a repository"),
        ("repo+/r//acme/%2e%2e", "names no module of a repository"),
        ("repo+/r//acme/words@", "names no module of a repository"),
        ("repo+s3://bucket", "names no module of a repository"),
        ("repo+https://h/r//acme/words", "give the version's own URL"),
        ("repo+s3://key:s3cret@bucket//acme/words", "credentials come from"),
        ("repo+s3://bucket?x=s3cret//acme/words", "credentials come from"),
        ("repo+s3://key:s3cret@bucket//acme", "names no module of a repository"),
        ("repo+/caf\udce9//acme/words", "is not valid UTF-8"),
        ("/\ud800", "is not valid UTF-8: rename"),
        ("/caf\udce9", "is not valid UTF-8: rename"),
    ],
)
def test_what_is_no_handle(text: str, why: str) -> None:
    with pytest.raises(HandleError, match=why) as error:
        parse(text)
    assert "s3cret" not in str(error.value)
    assert error.value.__cause__ is None


_SECRET = st.text("abcXYZ0189%+/=", min_size=8).filter(lambda s: "=" not in s.strip("="))


@given(password=_SECRET, value=_SECRET)
def test_secrets_are_in_the_url_only(password: str, value: str) -> None:
    handle = parse(f"https://ann:zz{password.replace('/', '')}zz@h/m?sig=qq{value}qq&bare=")
    assert handle.may_hold_secret
    for text in (str(handle), repr(handle), f"{handle}"):
        assert "zz" not in text
        assert "qq" not in text
        assert "ann" not in text
    assert str(handle) == "https://h/m?sig=…&bare=…"


def test_a_bare_query_may_be_a_secret_itself() -> None:
    assert str(parse("https://h/m?s3cret")) == "https://h/m?…"
    assert str(parse("https://h/m?a=1&s3cret&=s3cret")) == "https://h/m?a=…&…&=…"


def test_a_plain_handle_holds_no_secret() -> None:
    assert not parse("https://h/m/1").may_hold_secret
    assert str(parse("https://h/m/1")) == "https://h/m/1"


def test_keys_differ_where_handles_do() -> None:
    texts = ["https://h/m", "https://h/m/1", "http://h/m", "https://h/m?a", "https://u@h/m", "/h/m"]
    assert len({parse(text).key for text in texts}) == len(texts)
    assert parse("https://H/m/").key == parse("https://h:443/m").key
