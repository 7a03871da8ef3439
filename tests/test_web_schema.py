"""The server's OpenAPI schema is complete and bounded, and its responses follow it.

benchmarks/fuzz.py is the long version. Here each operation gets a few generated requests.
"""

import importlib.util
import re
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra web is not installed")

from charloom.web.server import make_app
from web_servers import app_state

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def schema(tmp_path_factory):
    """Return the server's OpenAPI schema."""
    return make_app(app_state(tmp_path_factory.mktemp("schema"))).app.openapi()


def operations(schema):
    """Return method, path and description of every operation."""
    return [
        (method.upper(), path, operation)
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    ]


def test_every_operation_is_described(schema):
    found = operations(schema)
    assert len(found) >= 24
    for method, path, operation in found:
        assert operation.get("description"), f"{method} {path}"
        assert {"4XX", "503"} <= set(operation["responses"]), f"{method} {path}"


def named_routes(markdown):
    """Return method and path of each route in the table of docs/spec/server.md.

    A route may be given by the end of its path. It then shares the beginning with the route before it.
    """
    found = set()
    for row in re.findall(r"^\| (`(?:GET|POST) .*?) \|", markdown, re.MULTILINE):
        method, before = "", ""
        for name in re.findall(r"`([^`]+)`", row):
            if " " in name:
                method, name = name.split(" ")
            elif not name.startswith(("/api", "/v1", "/static")):
                name = before.rsplit("/", 1)[0] + name
            before = name.partition("?")[0]
            found.add((method, before))
    return found


def test_the_specification_names_every_route(schema):
    named = named_routes((ROOT / "docs" / "spec" / "server.md").read_text(encoding="utf-8"))
    routes = {(method, path) for method, path, _ in operations(schema)}
    assert {pair for pair in named if pair[1].startswith(("/api", "/v1"))} == routes


def unbounded(schema, name, part):
    """Return the places in a request's schema where a string, a list or a number has no bound."""
    found = []
    for key in ("anyOf", "oneOf", "allOf"):
        for n, option in enumerate(part.get(key, [])):
            found += unbounded(schema, f"{name}.{n}", option)
    if "$ref" in part:
        return found + unbounded(
            schema, name, schema["components"]["schemas"][part["$ref"].rsplit("/", 1)[1]]
        )
    kind = part.get("type")
    if "enum" in part or "const" in part:
        return found
    if kind == "string" and "maxLength" not in part:
        found.append(name)
    if kind == "array":
        found += [] if "maxItems" in part else [name]
        found += unbounded(schema, f"{name}[]", part["items"])
    if kind in ("integer", "number"):
        low = {"minimum", "exclusiveMinimum"} & set(part)
        high = {"maximum", "exclusiveMaximum"} & set(part)
        # A place in a text needs no upper bound of its own: it is held to the text.
        found += [] if low and (high or name.endswith("marks[][]")) else [name]
    for inner, values in part.get("properties", {}).items():
        found += unbounded(schema, f"{name}.{inner}", values)
    return found


def test_every_field_of_every_request_has_a_limit(schema):
    found = []
    for _, path, operation in operations(schema):
        for parameter in operation.get("parameters", []):
            found += unbounded(schema, f"{path} {parameter['name']}", parameter["schema"])
        for content in operation.get("requestBody", {}).get("content", {}).values():
            found += unbounded(schema, path, content["schema"])
    assert [name for name in found if not name.endswith("logit_bias.0")] == []


@pytest.mark.parametrize(
    "planted",
    [
        {"type": "string"},
        {"type": "array", "items": {"type": "boolean"}},
        {"type": "integer", "minimum": 0},
        {"anyOf": [{"type": "number", "maximum": 1}, {"type": "null"}]},
        {"type": "object", "properties": {"a": {"type": "string"}}},
    ],
)
def test_a_planted_field_without_a_limit_is_noticed(planted):
    assert len(unbounded({}, "x", planted)) == 1


def fuzzing():
    """Return benchmarks/fuzz.py as a module."""
    pytest.importorskip("schemathesis", reason="schemathesis is not installed")
    spec = importlib.util.spec_from_file_location("fuzz", ROOT / "benchmarks" / "fuzz.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_requests_generated_from_the_schema_get_the_responses_it_specifies(tmp_path):
    fuzz = fuzzing()
    problems = fuzz.fuzz(tmp_path, 1, seed=1)  # one right and one wrong request of each
    assert problems["failures"] == []
    assert problems["cases"] >= 40
    assert problems["operations"] >= 25
    assert [name for name, count in problems["answered"].items() if not count] == []
    assert not any(status.startswith("5") for status in problems["statuses"])


def test_a_planted_wrong_response_is_noticed(tmp_path, monkeypatch):
    fuzz = fuzzing()

    def broken(self):
        raise ZeroDivisionError("planted")

    monkeypatch.setattr("charloom.web.playground_routes.models_in", broken)
    problems = fuzz.fuzz(tmp_path, 1, seed=1, under="/api/models")
    assert problems["statuses"]["500"] >= 1
    assert any("/api/models" in failure for failure in problems["failures"])
