"""`charloom.resume` reads each file of a run once, and calls functions of few modules.

From the call of `charloom.resume` to the first update, an audit hook observes opened files and a profile
function observes calls. The hook cannot be removed, so they run in another process.
"""

import json
import subprocess
import sys

import pytest

from charloom.engines.reference import ReferenceEngine
from charloom.training import train_run
from small_runs import create

MOST_MODULES = 6

# Prints the files of the run that were opened to be read, and the modules of the store and of
# api/training that were given the path of the run.
OBSERVED = """
import json, os, sys
from pathlib import Path

import charloom
from charloom.engines.reference import ReferenceEngine

run = Path(sys.argv[1])
opened, modules, watching = [], set(), [True]


class FirstUpdate(BaseException):
    pass


def hear(event, arguments):
    if event != "open" or not watching[0] or not isinstance(arguments[0], (str, bytes, os.PathLike)):
        return
    path, writes = Path(os.fsdecode(arguments[0])), arguments[2] & (os.O_WRONLY | os.O_CREAT)
    if path.is_relative_to(run) and path != run and not path.is_dir() and not writes:
        opened.append(str(path.relative_to(run)))


def follow(frame, event, argument):
    module = frame.f_globals.get("__name__", "")
    if event == "call" and (module.startswith("charloom.store.") or module == "charloom.api.training"):
        code = frame.f_code
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        if any(isinstance(frame.f_locals.get(name), Path | str) and
               str(frame.f_locals[name]) == str(run) for name in names):
            modules.add(module.removeprefix("charloom."))


def train(self, *arguments, **more):
    sys.setprofile(None)
    watching[0] = False
    raise FirstUpdate


ReferenceEngine.train = train
sys.addaudithook(hear)
sys.setprofile(follow)
try:
    charloom.resume(run, engine="reference")
except FirstUpdate:
    print(json.dumps({"opened": opened, "modules": sorted(modules)}))
"""


@pytest.fixture
def observed(tmp_path):
    """Return what was observed while a run whose best checkpoint is not its latest was resumed."""
    run = tmp_path / "run"
    writer, learner, corpus = create(run, validation=0.2, judge_every=20)

    def after_the_best():
        return "SIGINT" if learner.update > (learner.best_update or learner.update) else None

    with writer:
        list(train_run(writer, learner, corpus, ReferenceEngine(), after_the_best))
    command = [sys.executable, "-c", OBSERVED, str(run)]
    process = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return json.loads(process.stdout.splitlines()[-1])


def test_resuming_opens_no_file_of_a_run_twice(observed):
    opened = observed["opened"]
    expected = {"config.json", "metrics.jsonl", "samples.jsonl", "events.jsonl", "status.json"}
    expected |= {"text.txt", "checkpoints/latest", "checkpoints/best"}
    assert expected <= set(opened)
    assert len({path for path in opened if path.endswith("/model.safetensors")}) == 2
    assert sorted(opened) == sorted(set(opened))


def test_the_path_of_a_run_passes_few_modules(observed):
    assert "store.run_inspection" in observed["modules"]
    assert len(observed["modules"]) <= MOST_MODULES, observed["modules"]
