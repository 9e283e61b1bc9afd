"""Requests that schemathesis makes of the OpenAPI document: no 5xx, and what is documented.

The checks: not_a_server_error, status_code_conformance, content_type_conformance,
response_headers_conformance, response_schema_conformance, unsupported_method.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hubs import serving
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
]
TOKEN = "a-token-of-ann-1"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}
CALM = {"deadline": None, "suppress_health_check": list(HealthCheck), "derandomize": True}
schemathesis.serializer.alias("application/gzip", "application/octet-stream")


@pytest.fixture(scope="module")
def api(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The document of a server of the repository, to which one may also publish."""
    options = {"tokens": {"ANN": TOKEN}, "allow_publish": True, "max_upload_bytes": 1 << 16}
    with serving(repository, tmp_path_factory.mktemp("api") / "index", **options) as address:
        yield schemathesis.openapi.from_url(f"{address}/-/openapi.json", headers=HEADERS)


@pytest.mark.parametrize("mode", GenerationMode)
def test_a_few_requests_of_each_operation(mode: GenerationMode, api: Any) -> None:
    fuzz(api, mode, 2)


@pytest.mark.slow
@pytest.mark.parametrize("mode", GenerationMode)
def test_many_requests_of_each_operation(mode: GenerationMode, api: Any) -> None:
    fuzz(api, mode, 100)


def fuzz(api: Any, mode: GenerationMode, examples: int) -> None:
    """Calls every operation with values that the document allows, or that it does not."""
    for found in api.get_all_operations():
        operation = found.ok()

        @settings(max_examples=examples, **CALM)
        @given(case=operation.as_strategy(generation_mode=mode))
        def call(case: Any) -> None:
            case.call_and_validate(checks=CHECKS, headers=HEADERS)

        with suppress(Unsatisfiable):  # Without a parameter nothing can be wrong.
            call()
