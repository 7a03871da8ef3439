"""If memory runs out, charloom reports a clear error and does not crash, and it can still save.

Each test limits the address space of processes, which takes seconds.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import charloom
from charloom.__main__ import main
from charloom.config import Config
from charloom.cpu_limits import ONE_THREAD
from charloom.engines import native_problem
from charloom.errors import ConfigError
from charloom.model import memory_limit
from small_runs import ENGINES, TEXT

if not Path("/proc/self/statm").exists():
    pytest.skip("limits of the address space are only known on Linux", allow_module_level=True)

# NumPy's threads reserve address space of their own, the more the more processors there are.
ALONE = {**ONE_THREAD, "MALLOC_ARENA_MAX": "1"}
MEGABYTE = 1 << 20

LIMIT = """
import os, resource

def limit(megabytes):
    "Let this process take so much more memory than it has now; None ends the limit."
    most = resource.getrlimit(resource.RLIMIT_AS)[1]
    if megabytes is not None:
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + int(megabytes * 2**20), most))
    else:
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
"""

LEARNER = """
from charloom.config import Config
from charloom.model import new_learner
from charloom.text import Vocabulary
learner = new_learner(Config(hidden_size=1500, dtype="float64"), Vocabulary("ab"))  # 18 MB
"""


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a separate process."""
    return subprocess.run(
        [sys.executable, "-c", LIMIT + code, *map(str, arguments)],
        capture_output=True, text=True, timeout=300, env={**os.environ, **ALONE},
    )  # fmt: skip


def test_a_checkpoint_is_saved_without_memory_for_a_copy(tmp_path):
    code = """
import sys
from pathlib import Path
from charloom.store import load_checkpoint, save_checkpoint
path = Path(sys.argv[1])
limit(8)
save_checkpoint(path, learner, {"metrics.jsonl": 0, "samples.jsonl": 0}, "0" * 64)
limit(None)
assert (load_checkpoint(path).learner.parameters["V"] == learner.parameters["V"]).all()
"""
    done = run(LEARNER + code, tmp_path / "checkpoint")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_model_is_saved_without_memory_for_a_copy(tmp_path):
    code = """
import sys, charloom
from charloom.api import Model
from charloom.engines import open_engine
model = Model(learner, open_engine("reference"))
limit(8)
model.save(sys.argv[1])
limit(None)
assert (charloom.load(sys.argv[1]).parameters["V"] == learner.parameters["V"]).all()
"""
    done = run(LEARNER + code, tmp_path / "model")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("call", ["load", "train", "score", "step", "activations", "generate"])
@pytest.mark.skipif(native_problem() is not None, reason=f"{native_problem()}")
def test_every_call_of_the_native_engine_raises_memory_error(call, tmp_path):
    code = """
import sys
import numpy as np
from charloom.engines import Plan, Sampler, open_engine
from charloom.model import zero_state
from charloom.store import load_model, model_blocks, replace_file
from pathlib import Path
engine, state, one = open_engine("native"), zero_state(learner.config), np.zeros(1, np.int64)
ids, path = np.arange(100, dtype=np.uint8) % 2, Path(sys.argv[2])
replace_file(path, model_blocks(learner))
calls = dict(
    load=lambda: load_model(path),
    train=lambda: engine.train(learner, ids, Plan(np.full(1, 0.1), one)),
    score=lambda: engine.score(learner, ids[:, np.newaxis], state),
    step=lambda: engine.step(learner, ids[:1], state),
    activations=lambda: engine.activations(learner, ids, state),
    generate=lambda: engine.generate(learner, ids[:1], Sampler(), np.zeros(1), state),
)
limit(4)
try:
    calls[sys.argv[1]]()
except MemoryError:
    print("MemoryError")
limit(None)
calls[sys.argv[1]]()
"""
    done = run(LEARNER + code, call, tmp_path / "model")
    assert (done.returncode, done.stdout, done.stderr) == (0, "MemoryError\n", "")


COMMAND = """
import sys
import numpy as np
import charloom.api, charloom.cli.check_commands, charloom.cli.neurons_command, charloom.cli.model_commands, charloom.cli.run_commands
import typer._completion_classes, typer.main, rich.console
from charloom.__main__ import main
from charloom.engines import open_engine
open_engine("auto")
# Typer imports pydantic when it converts the first values, and Python cannot report that an import lacks memory.
commands = typer.main.get_command(charloom.cli.app).commands.values()
for each in commands:
    each.make_context("", [], resilient_parsing=True)
# OpenBLAS ends the process where a buffer of one of its threads does not fit. A small product uses one thread only.
np.ones((999, 999)) @ np.ones((999, 999))
limit(float(sys.argv.pop(1)))
main()
"""


def command(megabytes: float, *words: object) -> None:
    """Run a command with a limit of memory. Assert that it succeeds or prints one line about the problem."""
    done = run(COMMAND, megabytes, *words)
    if done.returncode:
        assert done.returncode == 2, done.stderr
        assert "Traceback" not in done.stderr
        assert "memory" in done.stderr.splitlines()[-1] or "GB" in done.stderr.splitlines()[-1]


def test_a_command_without_memory_to_start_prints_an_error(monkeypatch, capsys):
    def refuse(*_):
        raise MemoryError

    monkeypatch.setattr("charloom.cli.main", refuse)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().err == "charloom: there is not enough memory to start.\n"


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """Write a text to a file, and return its path."""
    path = tmp_path_factory.mktemp("memory") / "book.txt"
    path.write_text(TEXT * 3)
    return path


# PyTorch's libraries alone do not fit into these limits.
@pytest.mark.parametrize("engine", [name for name in ENGINES if name != "torch"])
def test_a_run_that_runs_out_of_memory_keeps_its_last_checkpoint(engine, book, tmp_path):
    settings = ("--recipe", "classic", "--hidden-size", 400, "--updates", 3, "--engine", engine)
    saved = 0
    for megabytes in (12, 24, 48, 200):
        path = tmp_path / str(megabytes)
        command(megabytes, "train", book, "--run", path, *settings)
        if (path / "checkpoints" / "latest").exists():
            saved += 1
            charloom.load(path)  # raises an error if the checkpoint is damaged
    assert saved


def test_a_network_above_the_address_space_limit_is_refused_before_it_is_allocated():
    code = """
from charloom.errors import ConfigError
from charloom.config import Config
from charloom.model import new_learner
from charloom.text import Vocabulary
limit(64)
try:
    new_learner(Config(hidden_size=3000, dtype="float64"), Vocabulary("ab"))
except ConfigError as error:
    print(error)
"""
    done = run(code)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Use a smaller network" in done.stdout


def test_the_smallest_limit_of_the_control_groups_applies(tmp_path):
    groups, own = tmp_path / "groups", tmp_path / "own"
    (groups / "a" / "b").mkdir(parents=True)
    (groups / "a" / "memory.max").write_text("5000\n")
    (groups / "a" / "b" / "memory.max").write_text("max\n")
    (groups / "memory" / "c").mkdir(parents=True)
    (groups / "memory" / "c" / "memory.limit_in_bytes").write_text("4000\n")
    own.write_text("0::/a/b\n")
    assert min(memory_limit.group_limits(groups, own)) == 5000
    own.write_text("3:cpu:/x\n2:memory:/c\n")
    assert min(memory_limit.group_limits(groups, own)) == 4000
    assert list(memory_limit.group_limits(groups, tmp_path / "none")) == []


def test_a_network_that_needs_more_than_the_free_memory_is_refused():
    config = Config(hidden_size=1000, dtype="float64")
    needed = 8 * 3 * memory_limit.parameter_count(config, 50)
    memory_limit.require_memory(config, 50, needed)
    with pytest.raises(ConfigError, match="hidden_size 1,000"):
        memory_limit.require_memory(config, 50, needed - 1)


def test_unused_memory_is_what_this_process_has_not_taken(monkeypatch):
    monkeypatch.setattr(memory_limit, "physical_memory", lambda: 3e9)
    monkeypatch.setattr(memory_limit, "group_limits", lambda: iter([2e9]))
    monkeypatch.setattr(memory_limit, "process_limits", lambda: iter([1.9e9]))
    monkeypatch.setattr(memory_limit, "resident_memory", lambda: 0.5e9)
    assert memory_limit.unused_memory() == 1.5e9
    monkeypatch.setattr(memory_limit, "process_limits", lambda: iter([1e9]))
    assert memory_limit.unused_memory() == 1e9
    monkeypatch.setattr(memory_limit, "group_limits", lambda: iter([0.1e9]))
    assert memory_limit.unused_memory() == 0
    monkeypatch.undo()
    assert 10 * MEGABYTE < memory_limit.resident_memory() < memory_limit.physical_memory()


COUNTING = """
import sys
import numpy as np
from charloom.config import Config
from charloom.engines import open_engine

engine, ids, characters = open_engine(sys.argv[1]), np.zeros(int(sys.argv[2]), np.uint8), 256
random = np.random.default_rng(0)
if sys.argv[3] == "random":
    ids = random.integers(0, characters, len(ids)).astype(np.uint8)
if sys.argv[3] == "words":
    words = random.integers(0, 26, (200, 6)).astype(np.uint8)
    words[:, -1] = 26
    ids = words[random.integers(0, 200, len(ids) // 6)].ravel()

def memory(name):
    lines = open("/proc/self/status").read().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(name)).split()[1])

def count(**limit):
    engine.count_ngrams(Config(ngram_order=8), characters, ids, np.array([[0, len(ids)]]), **limit)

before = memory("VmRSS")
count()
needed = memory("VmHWM") - before
count(most_memory=int(1.6 * needed))
try:
    count(most_memory=int(0.8 * needed))
except MemoryError:
    print("refused")
"""


@pytest.mark.parametrize(
    ("engine", "characters", "text"),
    [
        ("native", 1_000_000, "random"),
        ("native", 3_000_000, "equal"),
        ("reference", 30_000, "words"),
    ],
)
def test_counting_n_grams_is_refused_if_it_would_need_more_memory(engine, characters, text):
    """Compares the estimate with the highest memory of a process that counts."""
    if engine not in ENGINES:
        pytest.skip("there is no native engine")
    done = run(COUNTING, engine, characters, text)
    assert (done.stdout, done.stderr, done.returncode) == ("refused\n", "", 0)
