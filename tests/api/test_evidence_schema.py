"""The routes of evidence answer as the OpenAPI document says, whatever they are asked."""

from typing import Any

import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, settings
from hypothesis import given as examples
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api.dependencies import ApiDependencies
from tests.api.keeping import keep

PATHS = "^/v1/(evidence|incidents/[^/]+/evidence/[^/]+)"
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


def test_every_route_of_evidence_keeps_to_its_document(application: FastAPI, dependencies: ApiDependencies) -> None:
    keep(dependencies, b"a line\n" * 100, kind="logs", name="auth.log")
    token = dependencies.tokens.create("root", ("admin",)).token
    schema = schemathesis.openapi.from_asgi("/openapi.json", application).include(path_regex=PATHS)
    tried = set()
    for result in schema.get_all_operations():
        assert isinstance(result, Ok)
        operation = result.ok()
        tried.add(f"{operation.method.upper()} {operation.path}")

        @settings(max_examples=8, suppress_health_check=list(HealthCheck), database=None)
        @examples(operation.as_strategy(), st.booleans())
        def ask(case: "schemathesis.Case[Any]", known: bool) -> None:
            if known and "evidence_id" in case.path_parameters:
                case.path_parameters |= {"incident_id": "inc-1", "evidence_id": "web-id-web.packets-1"}
            case.call_and_validate(headers={"Authorization": f"Bearer {token}"}, checks=CHECKS)

        ask()
    assert "GET /v1/evidence-links/{token}" in tried
    assert len(tried) >= 8
