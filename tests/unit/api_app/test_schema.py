"""Requests that OpenAPI allows, and many that it does not: no 5xx, no answer that differs from the schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from schemathesis.checks import positive_data_acceptance
from schemathesis.generation import GenerationMode

from api.security.principal import Role
from api.tracing import Tracing
from c360.lakehouse import Lakehouse
from c360.settings import Settings
from tests.unit.api_app.conftest import World
from tests.unit.api_app.test_owasp import ROUTES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from opentelemetry.sdk.trace import ReadableSpan

NOT_SAID = [positive_data_acceptance]
"""That a moment lies in the past and a list begins before it ends is not for a schema to say."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """With traces, so that the spans of odd requests are searched for what they should not say, as the answers are."""
    settings = Settings(home=tmp_path_factory.mktemp("schema"))
    with Lakehouse(settings) as lake:
        world = World(settings, lake, Tracing(at_once=[Nowhere()]))
        with world.client:
            yield world


class Nowhere(SpanExporter):
    """Keeps nothing."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.SUCCESS


@pytest.fixture(scope="module")
def schema(world: World) -> Any:
    return schemathesis.openapi.from_asgi("/v1/openapi.json", world.app)


@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize("operation", ROUTES)
def test_no_request_makes_an_answer_that_is_not_documented(
    schema: Any, keys: dict[Role, str], operation: str, mode: GenerationMode
) -> None:
    strategy = schema.find_operation_by_id(operation).as_strategy(generation_mode=mode)

    @examples(max_examples=20, deadline=None, database=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(st.data())
    def ask(data: st.DataObject) -> None:
        case = data.draw(strategy)
        case.call_and_validate(headers={"x-api-key": keys[Role.PRIVACY]}, excluded_checks=NOT_SAID)

    ask()
