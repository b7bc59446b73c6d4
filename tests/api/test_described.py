"""Requests made up from the API's own description, valid ones and others, the same each time: none
fails, each answer is as it is described, and nobody comes in who may not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation, BaseSchema

from novacron_collector.api.app import create_app
from novacron_collector.api.services import Services
from novacron_contract.access import Role
from principals import access_of, signed_in

pytestmark = [
    pytest.mark.parametrize("state_kind", ["sqlite"]),  # no matter here
    pytest.mark.timeout(300),
]

SEED = 20261201
CONFIG = SchemathesisConfig(seed=SEED)
EXAMPLES = 12  # of each operation, valid; as many invalid
LEFT_OUT = {
    # What a description in JSON Schema cannot say: a name that is in use, a metric nobody sent, a
    # range of which the end comes first.
    "positive_data_acceptance",
    # Routes ignore parameters that they do not know, as those of HTTP do.
    "negative_data_rejection",
    # They follow links from one operation to the next, and there are none in the description.
    "use_after_free",
    "ensure_resource_availability",
    "object_level_authorization",
}
load_all_checks()
EACH: tuple[Any, ...] = tuple(
    CHECKS.get_one(name) for name in CHECKS.get_all_names() if name not in LEFT_OUT
)


@pytest.fixture
def closed(filled: Services) -> Services:
    """It lets nobody in without a credential."""
    return replace(filled, access=access_of(filled.access.users.engine, anonymous=False))


def described(services: Services) -> BaseSchema:
    """As it is where nobody comes in without a credential: none of them may be left out."""
    schema = schemathesis.openapi.from_wsgi("/v1/openapi.json", create_app(services), config=CONFIG)
    for item in schema.raw_schema["paths"].values():
        for method, operation in item.items():
            if method != "parameters" and any(operation["security"]):
                operation["security"] = [one for one in operation["security"] if one]
    return schema


def operations(schema: BaseSchema) -> Iterator[APIOperation[Any, Any, Any, Any]]:
    for found in schema.get_all_operations():
        assert isinstance(found, Ok)
        yield found.ok()


def trouble(
    operation: APIOperation[Any, Any, Any, Any], mode: GenerationMode, headers: dict[str, str]
) -> str:
    """What is wrong with its answers; "": nothing."""

    @seed(SEED)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],  # a failure is told as it is
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Case[Any]) -> None:
        case.call_and_validate(headers=headers, checks=list(EACH))

    try:
        ask()
    except Unsatisfiable:
        assert mode is GenerationMode.NEGATIVE, operation.label
        return ""  # it takes nothing that could be wrong
    except (FailureGroup, Failure) as err:
        return f"{operation.label} ({mode.value}): {err}"
    return ""


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_answers_are_as_described_whatever_is_asked(closed: Services, mode: GenerationMode) -> None:
    headers = signed_in(closed.access.users.engine, Role.ADMIN)
    found = [trouble(operation, mode, headers) for operation in operations(described(closed))]
    assert len(found) > 30
    assert len(EACH) == 9
    assert "\n\n".join(filter(None, found)) == ""


def test_a_door_that_is_open_is_found(filled: Services) -> None:
    """By what is asked above, of an API that lets in who has no credential."""
    headers = signed_in(filled.access.users.engine, Role.ADMIN)
    (hosts,) = (one for one in operations(described(filled)) if one.label == "GET /v1/hosts")
    assert "uthentication" in trouble(hosts, GenerationMode.POSITIVE, headers)
