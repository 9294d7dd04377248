"""Requests that OpenAPI allows, and many that it does not: no 5xx, no answer that differs from the schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import positive_data_acceptance
from schemathesis.generation import GenerationMode

from api.security.principal import Role
from tests.unit.api_app.test_owasp import ROUTES

if TYPE_CHECKING:
    from tests.unit.api_app.conftest import World

NOT_SAID = [positive_data_acceptance]
"""That a moment lies in the past and a list begins before it ends is not for a schema to say."""


@pytest.fixture(scope="module")
def schema(world: World) -> Any:
    return schemathesis.openapi.from_asgi("/v1/openapi.json", world.app)


@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize("operation", ROUTES)
def test_no_request_makes_an_answer_that_is_not_documented(
    schema: Any, keys: dict[Role, str], operation: str, mode: GenerationMode
) -> None:
    strategy = schema.find_operation_by_id(operation).as_strategy(generation_mode=mode)

    @settings(max_examples=20, deadline=None, database=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(st.data())
    def ask(data: st.DataObject) -> None:
        case = data.draw(strategy)
        case.call_and_validate(headers={"x-api-key": keys[Role.PRIVACY]}, excluded_checks=NOT_SAID)

    ask()
