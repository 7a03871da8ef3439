"""The page's server held to its own OpenAPI: thousands of requests made of it, right and wrong ones.

    python benchmarks/fuzz.py [--cases 5000] [--seed 0] [--json]

schemathesis makes the requests, half of them as the schema says and half in some way not. No answer
may have a status from 500 up, all must be as the schema says, and what is wrong must be refused. The
route that never ends, /api/stream, is left out. It needs the extra test.
"""

import argparse
import collections
import json
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import hypothesis
import schemathesis
from hypothesis import HealthCheck, Phase
from schemathesis import GenerationMode
from schemathesis.checks import load_all_checks, not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import runs
from web import Live

ENDLESS = "/api/stream"
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cases", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs.train(Path(folder) / "book", cell="lstm", validation=0.2)
        with Live(Path(folder)) as live:
            told = fuzz(live.url, given.cases, given.seed)
    print(json.dumps(told, indent=2))
    raise SystemExit(bool(told["failures"]))


def fuzz(url: str, cases: int, seed: int = 0) -> dict:
    """Make at least so many requests; how many there were, their statuses, and what failed."""
    load_all_checks()
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    operations = [operation for operation in operations if operation.path != ENDLESS]
    statuses: collections.Counter[str] = collections.Counter()
    failures: list[str] = []
    count = 0
    while count < cases and not failures:  # of some operations there are few requests
        each = -(-(cases - count) // (2 * len(operations)))
        for operation in operations:
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                count += tried(operation, mode, each, seed, statuses, failures)
        seed += 1
    return {
        "cases": count,
        "operations": len(operations),
        "statuses": dict(sorted(statuses.items())),
        "failures": failures,
    }


def tried(operation, mode, each, seed, statuses, failures) -> int:
    """Make requests to one operation, all right or all wrong; how many."""
    count = 0

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=each,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        derandomize=False,
    )
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def one(case) -> None:
        nonlocal count
        count += 1
        if mode is GenerationMode.POSITIVE and count % 2:
            make_real(case)
        response = case.call(timeout=30)
        statuses[str(response.status_code)] += 1
        try:
            case.validate_response(response, checks=CHECKS)
        except (FailureGroup, AssertionError) as error:
            failures.append(f"{operation.label}, {mode.value}: {error}"[:1_500])

    with suppress(hypothesis.errors.Unsatisfiable):  # nothing of this operation could be wrong
        one()
    return count


def make_real(case) -> None:
    """Let a request that is right name what is there, so that it is answered and not refused."""
    if case.operation.path.endswith("/resume"):
        return  # it would train
    for name in ("run", "model"):
        if name in (case.path_parameters or {}):
            case.path_parameters[name] = "book"
    body = case.body if isinstance(case.body, dict) else {}
    if "model" in body:
        body["model"] = "book"
    if "models" in body:
        body["models"] = ["book", "book@best"]
    if isinstance(body.get("prompt"), str):
        body["prompt"] = runs.TEXT[: len(body["prompt"])]
    if "layer" in case.operation.label or "inside" in case.operation.path:
        body["text"] = runs.TEXT[:300]
        body |= {key: 0 for key in ("layer", "unit") if key in body}
    elif case.operation.path in ("/api/score", "/api/next"):
        body["text"] = runs.TEXT[:50]


if __name__ == "__main__":
    main()
