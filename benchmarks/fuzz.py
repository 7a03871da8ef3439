"""Checks the server against its OpenAPI schema with thousands of valid and invalid requests.

    python benchmarks/fuzz.py [--cases 5000] [--seed 0] [--json]

schemathesis generates the requests; half of them are valid. No response may have a status of 500 or more, each
must fit the schema, and invalid requests must be refused. Nine of ten valid requests name something that
exists: a run, a model, a text, known characters. Instead of training, requests start a process that ends
immediately, and /api/stream ends after its first events. It needs the extra "test".
"""

import argparse
import collections
import json
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import aclosing, contextmanager, suppress
from pathlib import Path
from unittest.mock import patch

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

sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import small_runs
from charloom.store.control_files import write_status
from charloom.studies import begin_study
from charloom.studies.results import FINISHED, RunResult
from charloom.web import run_routes as followed
from charloom.web import training_jobs
from charloom.web.body_rules import BYTES
from web_servers import LiveServer

TOO_LONG = (413, 414)  # refusals, which schemathesis does not count as such


def wrong_data_is_refused(context, response, case):
    """Check that requests that violate the schema are refused, including those that are too long."""
    if response.status_code in TOO_LONG:
        return None
    return negative_data_rejection(context, response, case)


FIRST_EVENTS = 4  # of a stream
REAL = {"control": "taught", "dismiss": "ghost", "remove": "unwanted", "rename": "unnamed"}
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    wrong_data_is_refused,
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cases", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        told = fuzz(Path(folder), given.cases, given.seed)
    print(json.dumps(told, indent=2))
    raise SystemExit(bool(told["failures"]))


def fuzz(folder: Path, cases: int, seed: int = 0, under: str = "/") -> dict:
    """Send at least this many requests, to paths with this prefix, to a server of a folder.

    Return the number of requests, their statuses, the responses per operation, and the failures.
    """
    small_runs.train(folder / "book", cell="lstm", validation=0.2)
    for name in (REAL["remove"], REAL["rename"]):
        shutil.copytree(folder / "book", folder / name)
    writer, _, _ = small_runs.create(
        folder / "taught"
    )  # which a process trains, so that it can be steered
    one_run_study(folder / "tiny")
    (folder / ".jobs").mkdir()
    ghost = {
        "pid": 2**31,
        "time": time.time(),
        "text": "cat",
        "recipe": "quick",
    }  # can be dismissed
    (folder / ".jobs" / "ghost.json").write_text(json.dumps(ghost))
    with writer, harmless(), LiveServer(folder) as live:
        write_status(folder / "taught" / "status.json", "training", 0, 10, None)
        return fuzzed(live.url, cases, seed, under)


def one_run_study(directory: Path) -> None:
    """Create a study whose only run has finished."""
    directory.mkdir()
    text = directory / "book.txt"
    text.write_text(small_runs.TEXT)
    spec = {"text": str(text), "settings": {"updates": 2}}
    study = begin_study(spec, directory)
    result = RunResult(study.plan[0].key, FINISHED, updates=2, seconds=1.0, train_nats=2.0)
    study.files.new_journal(0).write_text(json.dumps(result.to_dict()) + "\n")


@contextmanager
def harmless():
    """Replace training processes by a short process, and end every stream after its first events."""
    real = followed.follow

    async def first(run_index, paths, limit):
        if not (paths or limit):
            return
        told = real(run_index, paths, limit)
        async with aclosing(told):
            for _ in range(FIRST_EVENTS):
                yield await anext(told)
                if not paths:
                    return  # nothing else would come for seconds

    def spawn(_, said):
        return subprocess.Popen(["true"], stdout=said, stderr=said)

    with patch.object(training_jobs, "spawn", spawn), patch.object(followed, "follow", first):
        yield


def fuzzed(url: str, cases: int, seed: int, under: str) -> dict:
    """Do the same as `fuzz` with a server that listens on a port."""
    load_all_checks()
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    operations = [operation for operation in operations if operation.path.startswith(under)]
    answered: collections.Counter[str] = collections.Counter()
    statuses: collections.Counter[str] = collections.Counter()
    failures: list[str] = []
    count = 0
    while count < cases and not failures:  # of some operations there are few requests
        each = -(-(cases - count) // (2 * len(operations)))
        for operation in operations:
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                count += tried(operation, mode, each, seed, statuses, answered, failures)
        seed += 1
    return {
        "cases": count,
        "operations": len(operations),
        "statuses": dict(sorted(statuses.items())),
        "answered": {operation.label: answered[operation.label] for operation in operations},
        "failures": failures,
    }


def tried(operation, mode, each, seed, statuses, answered, failures) -> int:
    """Send valid or invalid requests to one operation, and return how many."""
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
        if mode is GenerationMode.POSITIVE and count % 10 != 2:
            make_real(case)
        response = case.call(timeout=30)
        statuses[str(response.status_code)] += 1
        answered[operation.label] += response.status_code < 400
        try:
            case.validate_response(response, checks=CHECKS)
        except (FailureGroup, AssertionError) as error:
            failures.append(f"{operation.label}, {mode.value}: {error}"[:1_500])

    with suppress(hypothesis.errors.Unsatisfiable):  # nothing of this operation could be wrong
        one()
    return count


def make_real(case) -> None:
    """Change a valid request to name things that exist, so that it is not refused."""
    path = case.operation.path
    for name in ("run", "model"):
        if name in (case.path_parameters or {}):
            case.path_parameters[name] = REAL.get(path.rpartition("/")[2], "book")
    if "study" in (case.path_parameters or {}):
        case.path_parameters["study"] = "tiny"
    if path in ("/api/stream", "/api/comparison"):
        case.query = {"run": ["book", "taught"]}
    if case.media_type == BYTES:
        case.query, case.body = {"name": "book"}, small_runs.TEXT.encode()
    body = case.body if isinstance(case.body, dict) else {}
    if "model" in body:
        body["model"] = "book"
    if "models" in body:
        body["models"] = ["book", "book@best"]
    if "prompt" in body:
        body["prompt"] = small_runs.TEXT[: len(body["prompt"] or "")]
    if "length" in body:
        body["length"] = min(body["length"], 500)  # a long one is no other case
    if "inside" in path:
        body["text"] = small_runs.TEXT[:300]
        body |= {key: 0 for key in ("layer", "unit") if key in body}
        body |= {"what": "h"} if "what" in body else {}
        body |= (
            {"marks": [sorted([*mark, 0])[:2] for mark in body["marks"]]} if "marks" in body else {}
        )
    elif path in ("/api/score", "/api/next"):
        body["text"] = small_runs.TEXT[:50]
    elif path == "/api/runs":
        body["text"] = "builtin.python-docs"
        body.pop("recipe", None)
        settings = body.get("settings") or {}
        for end in [name for name in ("epochs", "updates", "minutes") if name in settings][1:]:
            del settings[end]
        if settings.get("find_learning_rate"):
            settings.pop("learning_rate", None)
    elif path.endswith("/rename"):
        body["name"] = "named"
    elif path.endswith("/resume"):
        body |= {"epochs": 9, "updates": None}
    elif path == "/v1/completions":
        for name in ("suffix", "best_of", "presence_penalty", "frequency_penalty", "logit_bias"):
            body.pop(name, None)
        body |= {"n": 1, "max_tokens": min(body.get("max_tokens") or 16, 200)}


if __name__ == "__main__":
    main()
