"""A process ends with the right exit code while one of its threads is in native code.

Python ends a daemon thread that requests the GIL after the interpreter began to shut down. Each test starts
processes, which takes seconds.
"""

import os
import subprocess
import sys

import pytest

from charloom.engines import native_problem

if native_problem() is not None:
    pytest.skip(f"{native_problem()}", allow_module_level=True)

TRIES = 2  # without the remedy every try fails

# A daemon thread calls one function of the engine again and again; the second call has begun, and
# takes a few hundredths of a second, when `end` is run.
PROGRAM = """
import os, sys, threading
import numpy as np
from charloom.engines import Plan, Sampler, open_engine
from charloom.model import new_learner, zero_state
from charloom.recipes import configure
from charloom.text import Vocabulary

K, T, B = 60, 20, 4
config = configure("classic", cell="lstm", hidden_size=256, seq_length=T, batch_size=B)
learner = new_learner(config, Vocabulary(map(chr, range(65, 65 + K))))
engine = open_engine("native", {threads})
ids = np.random.default_rng(0).integers(0, K, 4000).astype(np.uint8)
plan = Plan(np.full(10, 0.01), np.zeros(B, np.int64))
side_by_side = ids[: 200 * B].reshape(200, B)
uniforms = np.random.default_rng(0).random(200)

def train():
    learner.position = 0
    engine.train(learner, ids, plan)

calls = dict(
    train=train,
    loss_and_gradients=lambda: engine.loss_and_gradients(learner, side_by_side, side_by_side),
    score=lambda: engine.score(learner, side_by_side, zero_state(config, B)),
    step=lambda: engine.step(learner, np.tile(ids, 2), zero_state(config, 8000)),
    activations=lambda: engine.activations(learner, ids[:1000], zero_state(config)),
    generate=lambda: engine.generate(learner, ids[:1], Sampler(), uniforms, zero_state(config)),
)
begun = threading.Semaphore(0)

def work():
    while True:
        begun.release()
        calls["{function}"]()

threading.Thread(target=work, daemon=True).start()
begun.acquire()
begun.acquire()
{end}
"""
FUNCTIONS = ["train", "loss_and_gradients", "score", "step", "activations", "generate"]


def ended(function: str, threads: int, end: str) -> tuple[int, str, str]:
    """Run a native function in threads of a process. Return its exit code, output and messages."""
    program = PROGRAM.format(function=function, threads=threads, end=end)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_process_exits_with_its_own_code_and_no_message(function, threads):
    for _ in range(TRIES):
        assert ended(function, threads, "sys.exit(3)") == (3, "", "")


@pytest.mark.parametrize("threads", [1, 2])
def test_a_process_ends_immediately_with_os_exit(threads):
    assert ended("generate", threads, "os._exit(3)") == (3, "", "")


@pytest.mark.parametrize("threads", [1, 2])
def test_only_the_exception_of_the_main_thread_is_printed(threads):
    code, output, errors = ended("train", threads, "raise RuntimeError('of the main thread')")
    assert (code, output) == (1, "")
    assert errors.startswith("Traceback")
    assert errors.endswith("RuntimeError: of the main thread\n")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("threads", [1, 2])
def test_a_forked_process_computes_and_exits_on_its_own(threads):
    fork = """
child = os.fork()
if child == 0:
    learner.state = zero_state(config, B)
    calls["train"]()
    sys.exit(4)
_, status = os.waitpid(child, 0)
sys.exit(os.waitstatus_to_exitcode(status))
"""
    assert ended("train", threads, fork) == (4, "", "")
