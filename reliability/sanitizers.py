"""Checks the native engine with sanitizers for invalid memory accesses, undefined behaviour and data races.

The extension is built with GCC's sanitizers (CMake: CHARLOOM_SANITIZE) into a separate folder under build/.
The tests of the native engine run on it, and then networks of random shapes on every instruction set. With
the thread sanitizer, several threads train and sample at the same time. A build takes minutes, so the test
suite only builds a small program with a planted fault, to see that the sanitizer reports it.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from charloom.cpu_limits import ONE_THREAD
from reliability import LONG, Figures

if TYPE_CHECKING:
    from hypothesis import strategies as st

    from charloom.config import Config

ROOT = Path(__file__).parent.parent
NUMBER = 9
PROMISE = (
    "AddressSanitizer, UndefinedBehaviorSanitizer and ThreadSanitizer find nothing in the "
    "native engine: in its tests, on networks of random shapes, and during training while "
    "other threads train and sample."
)

SHAPES = 400
SEED = 9
SECONDS = 20.0  # for which threads train and sample at the same time
TESTS = ("tests/native_engine", "tests/test_native_networks.py", "tests/test_ngram_counts.py")
# Tests that measure the machine, check the symbols of the build, which sanitizers change, or replace the
# functions for threads, as sanitizers do too.
LEFT_OUT = (
    "not weak_symbol and not other_threads_run and not threads_that_the_system_refuses "
    "and not thread_that_never_runs"
)
BUILDS = {"address": "address,undefined", "thread": "thread"}
# Names that an extension built with the sanitizer contains.
SYMBOLS = {"address": (b"__asan_", b"__ubsan_"), "thread": (b"__tsan_",)}
RUNTIMES = {"address": ("libasan.so", "libubsan.so", "libstdc++.so"), "thread": ("libtsan.so",)}
FOUND = 66  # the exit code after a finding

FAULTS = {
    "address": "int main(int n, char** a) { int* p = new int[4]; int x = p[3 + n]; delete[] p; return x & 0; }",
    "undefined": "int main(int n, char** a) { int x = 2147483647; x += n; return x & 0; }",
    "thread": "#include <thread>\nint x; int main() { std::thread t([] { ++x; }); ++x; t.join(); }",
}


def check(scale: str) -> Figures:
    """Build and run everything; the short version only checks that planted faults are reported."""
    if shutil.which("c++") is None:
        return {"findings": "no compiler here"}
    for name in FAULTS:
        assert tells_of(name), f"the {name} sanitizer does not tell of its fault"
    figures: Figures = {"planted_faults_reported": len(FAULTS)}
    if scale != LONG:
        return figures
    for kind, flags in BUILDS.items():
        build(kind, flags)
    passed = pytest_under("address")
    shapes = under("address", ["-m", "reliability.sanitizers", "shapes", str(SHAPES)])
    calls = under("thread", ["-m", "reliability.sanitizers", "threads", str(SECONDS)])
    return {
        **figures,
        "findings": 0,
        "tests_passed_under_address_and_undefined": passed,
        "random_networks": int(shapes.split()[-1]),
        "concurrent_calls_under_thread": int(calls.split()[-1]),
        "seed": SEED,
    }


# Building and running


def tells_of(fault: str) -> bool:
    """Build and run a small program with the fault; return True if the sanitizer reports it."""
    with tempfile.TemporaryDirectory() as folder:
        source, program = Path(folder) / "fault.cpp", Path(folder) / "fault"
        source.write_text(FAULTS[fault], encoding="ascii")
        flags = [f"-fsanitize={fault}", "-fno-sanitize-recover=all", "-O0", "-pthread"]
        subprocess.run(["c++", *flags, str(source), "-o", str(program)], check=True)
        done = subprocess.run(
            [str(program)], capture_output=True, text=True, check=False, env=options()
        )
        return done.returncode != 0 and (
            "Sanitizer" in done.stderr or "runtime error" in done.stderr
        )


def site(kind: str) -> Path:
    """Return the folder of the package that is built with a sanitizer."""
    return ROOT / "build" / "sanitizers" / kind


def build(kind: str, flags: str) -> None:
    """Build the whole package with a sanitizer."""
    place = site(kind)
    shutil.rmtree(place, ignore_errors=True)
    command = [
        sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(place),
        "--config-settings", f"cmake.define.CHARLOOM_SANITIZE={flags}",
        "--config-settings", f"build-dir=build/sanitizers/{kind}-objects", str(ROOT),
    ]  # fmt: skip
    subprocess.run(command, check=True)
    require_instrumented(kind, place)
    # Remove the finders of an editable install, which would find its own package first.
    (place / "sitecustomize.py").write_text(
        "import sys\n"
        "sys.meta_path[:] = [f for f in sys.meta_path if 'Editable' not in repr(f) "
        "and 'Redirecting' not in repr(f)]\n",
        encoding="ascii",
    )


def require_instrumented(kind: str, place: Path) -> None:
    """Raise AssertionError if the extension was built without its sanitizers, which would then find nothing."""
    extensions = list((place / "charloom").glob("_native*.so"))
    assert len(extensions) == 1, f"the {kind} build has no extension"
    built = extensions[0].read_bytes()
    missing = [name.decode() for name in SYMBOLS[kind] if name not in built]
    assert not missing, f"the {kind} build calls nothing of {', '.join(missing)}"


def options() -> dict[str, str]:
    """Return an environment in which every finding ends the process."""
    return {
        **os.environ,
        "ASAN_OPTIONS": f"detect_leaks=0:halt_on_error=1:exitcode={FOUND}",
        "UBSAN_OPTIONS": f"halt_on_error=1:print_stacktrace=1:exitcode={FOUND}",
        "TSAN_OPTIONS": f"halt_on_error=1:report_signal_unsafe=0:exitcode={FOUND}",
        **ONE_THREAD,
        "PYTHONMALLOC": "malloc",
    }


def under(kind: str, words: Sequence[str]) -> str:
    """Run Python with the build for a sanitizer, and return its output.

    Raises:
        AssertionError: the sanitizer found something, or the command failed.
    """
    preloaded = [
        subprocess.run(["c++", f"-print-file-name={name}"], capture_output=True, text=True,
                       check=True).stdout.strip()
        for name in RUNTIMES[kind]
    ]  # fmt: skip
    where = os.pathsep.join([str(site(kind)), str(ROOT), str(ROOT / "tests")])
    environment = {**options(), "LD_PRELOAD": " ".join(preloaded), "PYTHONPATH": where}
    done = subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    output = done.stderr[-6000:] + done.stdout[-3000:]
    assert "Sanitizer" not in done.stderr and "runtime error" not in done.stderr, output
    assert done.returncode == 0, output
    return done.stdout


def pytest_under(kind: str) -> int:
    """Run the tests of the native engine under a sanitizer, and return how many passed."""
    proof = "import charloom._native as n; assert 'sanitizers' in n.__file__, n.__file__"
    under(kind, ["-c", proof])
    output = under(
        kind,
        ["-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS, "-k", LEFT_OUT, "-W", "default"],
    )
    return int(output.rsplit(" passed", 1)[0].split()[-1])


# The work that runs under the sanitizers


def shapes(count: int) -> int:
    """Call every engine function on `count` networks of random shapes and instruction sets; return how many.

    The sizes include 1 and sizes that are not multiples of a vector's length.
    """
    from hypothesis import HealthCheck, given, seed, settings
    from hypothesis import strategies as st

    from charloom import _native
    from charloom.cell_table import CELL_NAMES
    from charloom.config import OPTIMIZERS, Config

    def sizes(*often: int, most: int) -> "st.SearchStrategy[int]":
        return st.sampled_from(often) | st.integers(min(often), most)

    networks = st.builds(
        Config,
        cell=st.sampled_from(CELL_NAMES),
        layers=st.integers(1, 3),
        hidden_size=sizes(1, 2, 3, 7, 8, 15, 16, 17, 31, 33, most=120),
        seq_length=sizes(1, 2, 3, 5, most=30),
        batch_size=sizes(1, 2, 3, 7, 8, 9, most=20),
        optimizer=st.sampled_from(OPTIMIZERS),
        clip_by=st.sampled_from(["value", "norm"]),
        dropout=st.sampled_from([0.0, 0.3]),
        dtype=st.sampled_from(["float32", "float64"]),
        learning_rate=st.just(0.01),
        sigma=st.just(0.1),
        reduction=st.sampled_from(["sum", "mean"]),
        ngram_order=st.sampled_from([0, 0, 1, 2, 5, 16]),
        input_pairs=st.sampled_from([0, 0, 1, 4, 30, 500]),
        averaging=st.sampled_from([0.0, 0.01, 1.0]),
    )
    tried = 0

    @seed(SEED)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(
        networks,
        sizes(2, 3, 5, 16, 17, 33, most=150),
        st.integers(1, 3),
        st.sampled_from([0.0, 1e-6, 1.0, 1e6]),
        st.sampled_from([0, 1, 3]),
        st.sampled_from(_native.instruction_sets()),
    )
    def network(
        config: Config, characters: int, crew: int, temperature: float, top_k: int, isa: str
    ) -> None:
        nonlocal tried
        tried += 1
        os.environ["CHARLOOM_ISA"] = isa
        ask_for_everything(config, characters, crew, temperature, top_k)

    network()
    return tried


def ask_for_everything(
    config: "Config", characters: int, crew: int, temperature: float, top_k: int
) -> None:
    """Create a network with these settings, and call every function of the native engine."""
    import numpy as np

    from charloom.engines import Plan, Sampler
    from charloom.engines.native import NativeEngine
    from charloom.model import new_learner, zero_state
    from charloom.model.input_pairs import PAIRS, most_frequent_pairs
    from charloom.text import Vocabulary

    K, B, T = characters, config.batch_size, config.seq_length
    learner = new_learner(config, Vocabulary(map(chr, range(97, 97 + K))))
    engine = NativeEngine(crew)
    length = T * 3 + 1
    rows = np.random.default_rng(K)
    tokens = rows.integers(0, K, length * B).astype(learner.vocabulary.id_dtype)
    segments = np.array([[0, len(tokens) // 2], [len(tokens) // 2, len(tokens)]])
    if learner.pairs:
        learner.pairs = most_frequent_pairs(
            lambda start, end: tokens[start:end], segments.tolist(), len(learner.pairs.ids), K
        )
        learner.parameters[PAIRS][...] = 0.1
    if config.ngram_order:
        learner.ngrams = engine.count_ngrams(config, K, tokens, segments)
    engine.train(learner, tokens, Plan(np.full(3, 0.01), np.arange(B, dtype=np.int64) * length))
    window = tokens[: (T + 1) * B].reshape(-1, B)
    engine.loss_and_gradients(learner, window[:-1], window[1:], 1)
    engine.score(learner, window, zero_state(config, B))
    engine.step(learner, window[0], zero_state(config, B))
    engine.activations(learner, tokens[:3], zero_state(config))
    sampler = Sampler(temperature, top_k, 0.9, 0.0, 1.1)
    engine.generate(learner, tokens[:1], sampler, rows.random(9), zero_state(config))


def threads(seconds: float) -> int:
    """Let two threads train, one sample and one score with a shared engine; return the number of calls.

    Each has its own copy of the learner, and the engine itself uses two threads.
    """
    import time

    import numpy as np

    from charloom.config import Config
    from charloom.engines import Plan, Sampler
    from charloom.engines.native import NativeEngine
    from charloom.model import copy_learner, new_learner, zero_state
    from charloom.model.input_pairs import most_frequent_pairs
    from charloom.text import Vocabulary

    config = Config(
        cell="lstm", layers=2, hidden_size=20, seq_length=8, batch_size=4, optimizer="adam",
        ngram_order=4, input_pairs=20,
    )  # fmt: skip
    first = new_learner(config, Vocabulary("abcdefg"))
    tokens = np.random.default_rng(1).integers(0, 7, 4_000).astype(np.uint8)
    first.ngrams = NativeEngine().count_ngrams(config, 7, tokens, np.array([[0, 4_000]]))
    first.pairs = most_frequent_pairs(lambda start, end: tokens[start:end], [(0, 4_000)], 20, 7)
    plan = Plan(np.full(5, 0.01), np.arange(4, dtype=np.int64) * 1_000)
    shared, calls, end = NativeEngine(2), [0, 0, 0, 0], time.monotonic() + seconds
    problems: list[BaseException] = []

    def repeat(place: int, action: object) -> None:
        try:
            while time.monotonic() < end:
                action()  # type: ignore[operator]
                calls[place] += 1
        except BaseException as error:
            problems.append(error)

    def train() -> object:
        learner = copy_learner(first)
        return lambda: (shared.train(learner, tokens, plan), setattr(learner, "position", 0))

    def sample() -> object:
        learner = copy_learner(first)
        numbers = np.random.default_rng(2).random(50)
        return lambda: shared.generate(learner, tokens[:1], Sampler(), numbers, zero_state(config))

    def score() -> object:
        learner = copy_learner(first)
        rows = tokens[:400].reshape(-1, 4)
        return lambda: shared.score(learner, rows, zero_state(config, 4))

    crew = [
        threading.Thread(target=repeat, args=(place, action))
        for place, action in enumerate((train(), train(), sample(), score()))
    ]
    for thread in crew:
        thread.start()
    for thread in crew:
        thread.join()
    if problems:
        raise problems[0]
    assert all(calls), calls
    return sum(calls)


if __name__ == "__main__":
    print(shapes(int(sys.argv[2])) if sys.argv[1] == "shapes" else threads(float(sys.argv[2])))
