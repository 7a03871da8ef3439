"""How the native engine is built, loaded and run beside other threads."""

import ctypes
import errno
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from charloom.engines import Plan, native_problem, open_engine
from charloom.errors import EngineError, MissingPartError

if native_problem() is not None:
    pytest.skip(f"{native_problem()}", allow_module_level=True)

from charloom.engines.native import NativeEngine
from native_networks import ONE_STREAM, SETS, make_learner, make_tokens

CALLS_WITH_TOO_FEW_THREADS = """
import resource
import numpy as np
from charloom.config import Config
from charloom.engines.native import NativeEngine, open_kernels
from charloom.model import new_learner, zero_state
from charloom.text import Vocabulary
learner = new_learner(Config(hidden_size=2, batch_size=200), Vocabulary("ab"))
kilobytes = next(line.split()[1] for line in open("/proc/self/status") if "VmSize" in line)
room = int(kilobytes) * 1024 + 2**27
resource.setrlimit(resource.RLIMIT_STACK, (2**23, 2**23))
resource.setrlimit(resource.RLIMIT_AS, (room, room))
tokens = np.zeros((3, 200), np.uint8)
for threads in (200, 2, 200):
    try:
        NativeEngine(threads).score(learner, tokens, zero_state(learner.config, 200))
        print("done")
    except OSError as error:
        print(error.strerror)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux limits memory so")
def test_refused_threads_are_an_error_and_are_not_waited_for():
    found = subprocess.run(
        [sys.executable, "-c", CALLS_WITH_TOO_FEW_THREADS],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    refused = os.strerror(errno.EAGAIN)
    assert found.stdout.splitlines() == [refused, "done", refused]


def test_an_unknown_instruction_set_is_named(monkeypatch):
    monkeypatch.setenv("CHARLOOM_ISA", "sse9")
    with pytest.raises(EngineError, match="sse9"):
        open_engine("native")


def test_a_missing_native_engine_is_reported_and_replaced(monkeypatch):
    monkeypatch.setattr(
        "charloom.engines.native_problem", lambda: "the native engine was not built"
    )
    assert open_engine("auto").name == "reference"
    with pytest.raises(MissingPartError, match="C\\+\\+20 compiler"):
        open_engine("native")


@pytest.fixture
def runs_of_another_thread():
    """Return a function that counts the runs of another thread while a call runs.

    Threads are not made to take turns: the other thread runs only while this thread has released the
    GIL. The function repeats the call, because a busy processor may not run the other thread at first.
    """
    interval, runs, stop = sys.getswitchinterval(), 0, threading.Event()

    def run() -> None:
        nonlocal runs
        while not stop.is_set():
            runs += 1
            time.sleep(0)  # releases the GIL

    def count(call: Callable[[], object]) -> int:
        for _ in range(200):
            before = runs
            call()
            if runs > before:
                break
        return runs - before

    thread = threading.Thread(target=run)
    thread.start()
    sys.setswitchinterval(1e6)
    yield count
    stop.set()
    thread.join()
    sys.setswitchinterval(interval)


def test_other_threads_run_while_the_engine_trains(runs_of_another_thread):
    learner = make_learner(dtype="float32")
    tokens, engine = make_tokens(learner, 50_001), NativeEngine()

    def train() -> None:
        learner.position = 0
        engine.train(learner, tokens, Plan(np.full(2000, 0.1), ONE_STREAM))

    assert runs_of_another_thread(train) > 0


def test_a_call_that_keeps_the_gil_lets_no_other_thread_run(runs_of_another_thread):
    wait = ctypes.PyDLL(None).usleep  # a function of C that is called with the GIL
    assert runs_of_another_thread(lambda: wait(1_000)) == 0


def test_no_weak_symbol_leaves_the_kernels(tmp_path):
    # A weak symbol compiled for AVX-512 could be the one that an older processor is linked to.
    # Compiled at -O0, which is quicker and has the same linkage.
    root = Path(__file__).parent.parent.parent
    compiler, nm = shutil.which("g++"), shutil.which("nm")
    if compiler is None or nm is None or not (root / "cpp").is_dir():
        pytest.skip("needs g++, nm and the sources")

    def exported(source: Path) -> list[str]:
        flags = "-std=c++20 -O0 -fno-exceptions -fno-rtti -march=x86-64-v3"
        names = ("-DCHARLOOM_ISA=v3", "-DCHARLOOM_TYPE=float")
        subprocess.run(
            [
                compiler,
                *flags.split(),
                *names,
                f"-I{root / 'cpp'}",
                "-c",
                source,
                "-o",
                tmp_path / "k.o",
            ],
            check=True,
        )
        listing = subprocess.run(
            [nm, "-C", "--defined-only", tmp_path / "k.o"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        return [line for line in listing.splitlines() if line.split()[1] not in "trbdn"]

    if "v3" not in SETS:
        pytest.skip("needs an x86-64 processor")
    assert [line.split()[-1] for line in exported(root / "cpp" / "kernels.cpp")] == [
        "charloom::kernels_v3_float"
    ]
    planted = tmp_path / "planted.cpp"
    planted.write_text(
        "template <typename T> T twice(T x) { return x + x; }\ntemplate int twice<int>(int);\n"
    )
    assert any(" W " in line for line in exported(planted))
