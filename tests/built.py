"""What `make engines` builds."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def require(path: Path) -> Path:
    """Skips a test that needs what `make engines` has not built; in CI that is a failure."""
    if not path.exists():
        reason = f"no {path.relative_to(ROOT)}: run `make engines` (it needs Go)"
        if os.environ.get("HUB_TFX_REQUIRE_ENGINES"):
            pytest.fail(reason)
        pytest.skip(reason)
    return path
