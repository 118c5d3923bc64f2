"""What docs/api.md says of the API is what the API does."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from jsonschema import Draft202012Validator

from spleeter_microservice.access.principal import Scope
from spleeter_microservice.bootstrap.api import api_config
from spleeter_microservice.jobs.job import State
from spleeter_microservice.settings import Settings
from spleeter_microservice.web.app import create_app
from spleeter_microservice.web.separations import schemas
from spleeter_microservice.web.services import Services
from spleeter_microservice.web.submit.options import SubmissionForm
from spleeter_microservice.webhooks.signature import DELAYS

TEXT = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")

REPORTS = ("getHealth", "getReadiness", "getServing")
"""Operations whose 503 is a report of the parts."""


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    services = cast(Services, SimpleNamespace(config=api_config(Settings()), version="1"))
    return create_app(services).openapi()


def operations(document: dict[str, Any]) -> set[str]:
    return {f"{method.upper()} {path}" for path, item in document["paths"].items() for method in item}


def test_every_call_is_documented_and_no_other(document: dict[str, Any]) -> None:
    named = re.findall(r"`((?:GET|HEAD|OPTIONS|POST|PATCH|DELETE) /[^`]*)`", TEXT)
    assert set(named) - {"GET /openapi.json"} == operations(document)


def test_every_example_calls_what_there_is(document: dict[str, Any]) -> None:
    examples = re.findall(r"\$SPLEETER(/[^\"?]*)", TEXT)
    paths = {path.replace("{id}", "$ID") for path in document["paths"]}
    patterns = [re.sub(r"{\w+}", r"\\w+", path).replace("$", r"\$") for path in paths]
    for example in examples:
        assert any(re.fullmatch(pattern, example) for pattern in patterns), example
    assert len(examples) >= len(document["paths"]) - 3


def test_every_state_and_scope_is_documented() -> None:
    section = TEXT[TEXT.index("## Get a separation") : TEXT.index("## List")]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == [*State]
    for scope in Scope:
        assert f"`{scope}`" in TEXT


def test_what_a_separation_has_is_documented() -> None:
    section = TEXT[TEXT.index("## Get a separation") : TEXT.index("## List")]
    for field in {*schemas.Separation.model_fields, *schemas.StemFile.model_fields}:
        assert (
            f'"{field}"' in section or f"`{field}`" in section or field.endswith("_at") or field == "url"
        ), field


def test_the_numbers_are_those_in_force() -> None:
    assert len(DELAYS) + 1 == 10
    assert "ten times" in TEXT
    assert SubmissionForm.model_fields["metadata"].metadata[0].max_length == 50
    assert api_config(Settings()).default_retention.total_seconds() == 24 * 3600


def test_every_json_example_is_json() -> None:
    for example in re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL):
        assert json.loads(example)


def test_every_operation_can_be_generated_and_understood(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for item in document["paths"].values() for operation in item.values()]
    assert len(set(names)) == len(names)
    for item in document["paths"].values():
        for operation in item.values():
            assert re.fullmatch(r"[a-z][A-Za-z]+", operation["operationId"])
            assert operation["tags"]
            assert operation["summary"]
            assert operation["description"]
            for status, answer in operation["responses"].items():
                assert answer["description"]
                if int(status) >= 400 and operation["operationId"] not in REPORTS:
                    assert "application/problem+json" in answer["content"]
    assert set(document["components"]["securitySchemes"]) == {"ApiKey", "Bearer"}


def test_every_example_in_the_document_fits_its_schema(document: dict[str, Any]) -> None:
    checked = 0
    for item in document["paths"].values():
        for operation in item.values():
            for answer in operation["responses"].values():
                for content in answer.get("content", {}).values():
                    examples = [entry["value"] for entry in content.get("examples", {}).values()]
                    for example in examples + ([content["example"]] if "example" in content else []):
                        if "schema" in content:
                            validator(document, content["schema"]).validate(example)
                            checked += 1
    assert checked > 100


def test_every_example_of_a_schema_or_field_fits_it(document: dict[str, Any]) -> None:
    for schema in document["components"]["schemas"].values():
        for example in schema.get("examples", []):
            validator(document, schema).validate(example)
        for field in schema.get("properties", {}).values():
            for example in field.get("examples", []):
                validator(document, field).validate(example)


def validator(document: dict[str, Any], schema: dict[str, Any]) -> Draft202012Validator:
    return Draft202012Validator(schema | {"components": document["components"]})
