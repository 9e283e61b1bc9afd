"""The servers that tests start: without them tests skip, unless they are required."""

import pytest
from databases import _found


def test_without_a_program_a_test_skips_and_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("HUB_TFX_REQUIRE_DATABASES", raising=False)
    with pytest.raises(pytest.skip.Exception, match="apt-get install some-package"):
        _found("no-such-program", "some-package")


def test_where_databases_are_required_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_TFX_REQUIRE_DATABASES", "1")
    with pytest.raises(pytest.fail.Exception, match="make system-deps"):
        _found("no-such-program", "some-package")
