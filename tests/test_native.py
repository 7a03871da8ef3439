"""The native engine against the reference, on every instruction set that this processor has."""

import errno
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from charloom.engines import Plan, Sampler, native_problem, open_engine
from charloom.engines.reference import ReferenceEngine
from charloom.errors import EngineError, MissingPartError
from charloom.model import Learner, copy_learner, new_learner
from charloom.recipes import configure
from charloom.text import Vocabulary

if native_problem() is not None:
    pytest.skip(f"{native_problem()}", allow_module_level=True)

from charloom import _native
from charloom.engines.native import NativeEngine, open_kernels

REFERENCE = ReferenceEngine()
SETS = _native.instruction_sets()
ONE_STREAM = np.zeros(1, dtype=np.int64)


@pytest.fixture(params=SETS)
def native(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> NativeEngine:
    monkeypatch.setenv("CHARLOOM_ISA", request.param)
    engine = NativeEngine()
    assert engine.isa == request.param
    return engine


def make_learner(H=100, K=80, T=25, dtype="float64", sigma=0.1, **settings) -> Learner:
    config = configure(hidden_size=H, seq_length=T, dtype=dtype, sigma=sigma, **settings)
    learner = new_learner(config, Vocabulary(chr(0x100 + k) for k in range(K)))
    rng = np.random.default_rng(H + K + T)
    learner.state["h"][:] = rng.uniform(-1, 1, size=(1, 1, H))
    for name in ("layers.0.b", "c"):
        learner.parameters[name][:] = rng.normal(0, sigma, size=learner.parameters[name].shape)
    return learner


def make_tokens(learner: Learner, count: int) -> np.ndarray:
    K = len(learner.vocabulary)
    skewed = np.random.default_rng(1).random(count) ** 2.5
    return (K * skewed).astype(learner.vocabulary.id_dtype)


def window(learner: Learner) -> tuple[np.ndarray, np.ndarray]:
    T = learner.config.seq_length
    tokens = make_tokens(learner, T + 1)[:, np.newaxis]
    return tokens[:-1], tokens[1:]


def norm_relative(a: np.ndarray, b: np.ndarray) -> float:
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    scale = np.linalg.norm(a) + np.linalg.norm(b)
    return float(np.linalg.norm(a - b) / scale) if scale else 0.0


def as_float64(learner: Learner) -> Learner:
    copy = copy_learner(learner)
    copy.parameters = {name: p.astype(np.float64) for name, p in copy.parameters.items()}
    copy.state = {name: s.astype(np.float64) for name, s in copy.state.items()}
    return copy


SIZES = [(1, 2, 1), (5, 7, 3), (16, 16, 4), (17, 33, 2), (100, 80, 25), (130, 300, 9), (33, 2, 50)]


@pytest.mark.parametrize(("H", "K", "T"), SIZES)
@pytest.mark.parametrize(("dtype", "limit"), [("float64", 1e-12), ("float32", 1e-5)])
def test_each_named_gradient_agrees_with_the_float64_reference(native, H, K, T, dtype, limit):
    learner = make_learner(H, K, T, dtype)
    x, y = window(learner)
    loss, gradients, state = native.loss_and_gradients(learner, x, y)
    true_loss, true, true_state = REFERENCE.loss_and_gradients(as_float64(learner), x, y)
    assert loss == pytest.approx(true_loss, rel=limit)
    for name in true:
        assert norm_relative(gradients[name], true[name]) <= limit, name
        assert gradients[name].dtype == learner.parameters[name].dtype
    assert norm_relative(state["h"], true_state["h"]) <= limit


def test_a_scaled_gradient_is_caught_by_that_comparison(native):
    learner = make_learner()
    x, y = window(learner)
    _, gradients, _ = native.loss_and_gradients(learner, x, y)
    for name, gradient in gradients.items():
        assert norm_relative(gradient * 1.001, gradient) > 1e-5, name


def test_a_thousand_small_updates_follow_the_reference(native):
    ours, theirs = make_learner(sigma=0.01), make_learner(sigma=0.01)
    tokens = make_tokens(ours, 25_001)
    plan = Plan(np.full(1000, 0.01), ONE_STREAM)
    trace, truth = native.train(ours, tokens, plan), REFERENCE.train(theirs, tokens, plan)
    np.testing.assert_allclose(trace.losses, truth.losses, rtol=1e-12, atol=0)
    np.testing.assert_allclose(trace.gradient_norms, truth.gradient_norms, rtol=1e-10, atol=0)
    for name in ours.parameters:
        difference = np.abs(ours.parameters[name] - theirs.parameters[name]).max()
        assert difference <= 1e-10, name
    assert (ours.update, ours.position) == (theirs.update, theirs.position) == (1000, 25_000)


def test_a_changed_weight_is_caught_by_that_trajectory(native):
    ours, theirs = make_learner(sigma=0.01), make_learner(sigma=0.01)
    theirs.parameters["layers.0.W"][3, 4] += 1e-8
    tokens = make_tokens(ours, 501)
    plan = Plan(np.full(20, 0.01), ONE_STREAM)
    trace, truth = native.train(ours, tokens, plan), REFERENCE.train(theirs, tokens, plan)
    assert np.abs(trace.losses / truth.losses - 1).max() > 1e-12


def test_each_classic_update_agrees_from_the_references_own_state(native):
    # eta = 0.1 is chaotic, so that both start each update from the reference's state.
    theirs = make_learner(sigma=0.01)
    tokens = make_tokens(theirs, 5001)
    plan = Plan(np.array([0.1]), ONE_STREAM)
    for _ in range(200):
        ours = copy_learner(theirs)
        e = theirs.position
        x, y = tokens[e : e + 25, np.newaxis], tokens[e + 1 : e + 26, np.newaxis]
        _, gradients, _ = native.loss_and_gradients(ours, x, y)
        _, true, _ = REFERENCE.loss_and_gradients(theirs, x, y)
        native.train(ours, tokens, plan)
        REFERENCE.train(theirs, tokens, plan)
        for name in true:
            assert norm_relative(gradients[name], true[name]) <= 1e-12
            assert np.abs(ours.parameters[name] - theirs.parameters[name]).max() <= 1e-9


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_many_updates_in_one_call_have_the_bits_of_many_calls(native, dtype):
    once, often = make_learner(dtype=dtype), make_learner(dtype=dtype)
    tokens = make_tokens(once, 2501)
    whole = native.train(once, tokens, Plan(np.full(100, 0.1), ONE_STREAM))
    parts = [native.train(often, tokens, Plan(np.full(n, 0.1), ONE_STREAM)) for n in (1, 30, 69)]
    assert np.array_equal(whole.losses, np.concatenate([part.losses for part in parts]))
    for name in once.parameters:
        assert np.array_equal(once.parameters[name], often.parameters[name])
        assert np.array_equal(once.slots["accumulator"][name], often.slots["accumulator"][name])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_update_that_is_not_finite_is_not_applied(native, dtype):
    learner = make_learner(dtype=dtype)
    learner.parameters["V"][3, 3] = np.nan
    before = copy_learner(learner)
    tokens = make_tokens(learner, 251)
    trace = native.train(learner, tokens, Plan(np.full(10, 0.1), ONE_STREAM))
    assert trace.stopped == "non-finite"
    assert np.isnan(trace.failed_loss)
    assert len(trace.losses) == 0
    assert learner.update == 0
    for name in before.parameters:
        assert np.array_equal(learner.parameters[name], before.parameters[name], equal_nan=True)
        assert not learner.slots["accumulator"][name].any()


@pytest.mark.parametrize(("size", "finite"), [(1e145, True), (1e160, False)])
def test_huge_gradients_are_judged_before_any_weight_changes(native, size, finite):
    # Beyond the kernels' safe limit the whole gradient is looked at first: a finite norm is
    # applied as the reference applies it, one that overflows is refused as the reference does.
    learner = make_learner()
    learner.parameters["V"] *= size
    learner.parameters["V"][:, 1:] = 0
    theirs, before = copy_learner(learner), copy_learner(learner)
    tokens = make_tokens(learner, 26)
    plan = Plan(np.array([0.1]), ONE_STREAM)
    trace, truth = native.train(learner, tokens, plan), REFERENCE.train(theirs, tokens, plan)
    assert trace.stopped == truth.stopped == (None if finite else "non-finite")
    for name in before.parameters:
        assert np.allclose(learner.parameters[name], theirs.parameters[name], rtol=1e-9)
        if not finite:
            assert np.array_equal(learner.parameters[name], before.parameters[name])


@pytest.mark.parametrize("temperature", [0.0, 0.3, 1.0, 2.0])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_both_engines_write_the_same_text(native, temperature, dtype):
    # A recurrence of spectral radius 0.8 forgets rounding; one above 1 (untrained, no text would
    # do that) multiplies it at every character.
    learner = make_learner(dtype=dtype, sigma=0.08)
    learner.parameters["V"] *= 10
    uniforms = np.random.default_rng(5).random(300)
    sampler = Sampler(temperature)
    ids, state = native.generate(learner, np.array([3]), sampler, uniforms, learner.state)
    true_ids, true_state = REFERENCE.generate(
        learner, np.array([3]), sampler, uniforms, learner.state
    )
    assert np.array_equal(ids, true_ids)
    assert ids.dtype == true_ids.dtype
    np.testing.assert_allclose(
        state["h"], true_state["h"], atol=1e-4 if dtype == "float32" else 1e-12
    )


def test_generation_goes_on_where_it_stopped(native):
    learner = make_learner()
    uniforms = np.random.default_rng(5).random(100)
    whole, _ = native.generate(learner, np.array([3]), Sampler(), uniforms, learner.state)
    first, state = native.generate(learner, np.array([3]), Sampler(), uniforms[:37], learner.state)
    rest, _ = native.generate(learner, first, Sampler(), uniforms[37:], state)
    assert np.array_equal(whole, np.concatenate([first, rest]))


def test_logits_that_are_not_finite_are_an_error_not_a_crash(native):
    learner = make_learner()
    learner.parameters["c"][2] = np.inf
    for engine in (native, REFERENCE):
        with pytest.raises(EngineError, match="not finite"):
            engine.generate(learner, np.array([3]), Sampler(), np.full(3, 0.5), learner.state)


def test_score_step_and_activations_agree_with_the_reference(native):
    learner = make_learner()
    tokens = make_tokens(learner, 71)
    ours, state = native.score(learner, tokens[:, np.newaxis], learner.state)
    theirs, true_state = REFERENCE.score(learner, tokens[:, np.newaxis], learner.state)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    np.testing.assert_allclose(state["h"], true_state["h"], rtol=0, atol=1e-13)
    logits, _ = native.step(learner, tokens[:1], learner.state)
    true_logits, _ = REFERENCE.step(learner, tokens[:1], learner.state)
    np.testing.assert_allclose(logits, true_logits, rtol=0, atol=1e-13)
    values, last = native.activations(learner, tokens, learner.state)
    true_values, _ = REFERENCE.activations(learner, tokens, learner.state)
    np.testing.assert_allclose(values["h"], true_values["h"], rtol=0, atol=1e-13)
    assert np.array_equal(values["h"][-1], last["h"][:, 0])


def test_reading_a_learner_changes_nothing(native):
    learner = make_learner()
    before = copy_learner(learner)
    x, y = window(learner)
    native.loss_and_gradients(learner, x, y)
    native.score(learner, x, learner.state)
    native.generate(learner, np.array([0]), Sampler(), np.full(5, 0.5), learner.state)
    for name in before.parameters:
        assert np.array_equal(learner.parameters[name], before.parameters[name])
    assert np.array_equal(learner.state["h"], before.state["h"])


UNITS_IN_THE_LAST_PLACE = {
    "exp": 1.1,
    "tanh": 3.0,
    "sigmoid": 2.5,
    "reciprocal_root": 2.5,
    "reciprocal": 2.5,
    "root": 2.5,
}


@pytest.mark.parametrize("function", list(UNITS_IN_THE_LAST_PLACE))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_vector_functions_are_within_their_stated_error(native, function, dtype):
    rng = np.random.default_rng(3)
    x = {
        "exp": rng.uniform(-80 if dtype == np.float32 else -700, 0, 64_000),
        "tanh": rng.choice([-1, 1], 64_000) * 10 ** rng.uniform(-6, 1.5, 64_000),
        "sigmoid": rng.uniform(-80 if dtype == np.float32 else -700, 30, 64_000),
        "reciprocal_root": 10 ** rng.uniform(-8, 6, 64_000),
        "reciprocal": 10 ** rng.uniform(-8, 6, 64_000),
        "root": 10 ** rng.uniform(-30, 6, 64_000),
    }[function].astype(dtype)
    y = np.empty_like(x)
    open_kernels(np.dtype(dtype).name, native.isa).apply(function, x, y)
    exact = {
        "exp": np.exp,
        "tanh": np.tanh,
        "sigmoid": lambda v: 1 / (1 + np.exp(-v)),
        "reciprocal_root": lambda v: 1 / np.sqrt(v),
        "reciprocal": lambda v: 1 / v,
        "root": np.sqrt,
    }
    truth = exact[function](x.astype(np.longdouble))
    error = np.abs(y - truth) / np.spacing(np.abs(truth).astype(dtype))
    assert error.max() <= UNITS_IN_THE_LAST_PLACE[function]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_vector_functions_keep_nan_and_signs(native, dtype):
    x = np.array([np.nan, -np.nan, 0.0, -0.0, 300.0, -300.0, -np.inf, np.inf] * 2, dtype=dtype)
    kernels = open_kernels(np.dtype(dtype).name, native.isa)
    tanh, exp = np.empty_like(x), np.empty_like(x)
    kernels.apply("tanh", x, tanh)
    kernels.apply("exp", np.minimum(x, 0), exp)
    assert np.array_equal(tanh, np.tanh(x), equal_nan=True)
    assert np.array_equal(np.signbit(tanh[2:]), np.signbit(x[2:]))
    assert np.isnan(exp[:2]).all()
    assert exp[2] == exp[3] == 1
    assert exp[6] == 0
    root = np.empty(16, dtype=dtype)
    kernels.apply("root", np.zeros(16, dtype=dtype), root)
    assert not root.any()


def refuse(what: str, call) -> None:
    with pytest.raises(EngineError, match=what):
        call()


def test_arrays_that_do_not_fit_are_refused_at_the_door():
    engine, plan = NativeEngine(), Plan(np.full(3, 0.1), ONE_STREAM)
    tokens = make_tokens(make_learner(), 100)

    def changed(**changes) -> Learner:
        learner = make_learner()
        for name, value in changes.items():
            name = {"W": "layers.0.W", "b": "layers.0.b"}.get(name, name)
            if name == "h":
                learner.state["h"] = value
            else:
                learner.parameters[name] = value
        return learner

    wrong = {
        r"of shape \(99, 100\)": {"W": np.zeros((99, 100))},
        "float32": {"W": np.zeros((100, 100), dtype=np.float32)},
        "contiguous": {"W": np.zeros((100, 100)).T.copy().T},
        r"the state h is float64 of shape \(1, 2, 100\)": {"h": np.zeros((1, 2, 100))},
        "complex128": {"V": np.zeros((80, 100), dtype=np.complex128)},
    }
    for what, changes in wrong.items():
        learner = changed(**changes)
        refuse(what, lambda learner=learner: engine.train(learner, tokens, plan))
        refuse(
            what,
            lambda learner=learner: engine.score(learner, tokens[:, np.newaxis], learner.state),
        )
    read_only = make_learner()
    read_only.parameters["V"].flags.writeable = False
    refuse("V is read-only", lambda: engine.train(read_only, tokens, plan))
    deep, long = make_learner(H=2, layers=65), make_learner(H=2, T=2**24)
    refuse("65 layers, and the native engine takes 64", lambda: engine.train(deep, tokens, plan))
    refuse("takes 16,777,215 characters", lambda: engine.train(long, tokens, plan))
    good = make_learner()
    refuse("80 characters", lambda: engine.train(good, np.full(100, 80, np.uint8), plan))
    refuse(
        "starts", lambda: engine.train(good, tokens, Plan(plan.learning_rates, np.zeros(2, int)))
    )
    refuse("int64", lambda: engine.train(good, tokens.astype(np.int64), plan))
    refuse("76 characters; the text has 75|need 76", lambda: engine.train(good, tokens[:75], plan))
    refuse(
        "80 characters",
        lambda: engine.generate(good, np.array([80]), Sampler(), np.ones(1), good.state),
    )
    refuse(
        "80 characters",
        lambda: engine.generate(good, np.array([-1]), Sampler(), np.ones(1), good.state),
    )
    refuse(r"\(N, B\)", lambda: engine.score(good, tokens, good.state))
    refuse(r"\(N, B\)", lambda: engine.score(good, tokens[:0, np.newaxis], good.state))
    refuse(r"shape \(T, B\)", lambda: engine.loss_and_gradients(good, tokens, tokens))
    refuse("80 characters", lambda: engine.step(good, np.array([200]), good.state))


def test_the_compiled_door_refuses_what_slips_past_the_python_one():
    learner = make_learner()
    weights = tuple(learner.parameters.values())
    state, nats, ids = (np.zeros((1, 1, 100)),), np.zeros((9, 1)), np.zeros((10, 1), np.int32)
    kernels = open_kernels("float64", SETS[0])

    def shape(cell=_native.Cell.rnn, layers=1, K=80, H=100) -> _native.Shape:
        return _native.Shape(cell=cell, layers=layers, K=K, H=H)

    def score(shape=shape(), weights=weights, state=state, ids=ids, nats=nats, threads=1):  # noqa: B008
        kernels.score(
            shape=shape, weights=weights, state=state, tokens=ids, threads=threads, nats=nats
        )

    score()
    with pytest.raises(ValueError, match="not below K"):
        score(ids=np.full((10, 1), 80, np.int32))
    with pytest.raises(ValueError, match=r"\(N - 1, B\)"):
        score(nats=np.zeros((10, 1)))
    with pytest.raises(ValueError, match=r"\(L, B, H\)"):
        score(state=(np.zeros((1, 1, 99)),))
    with pytest.raises(ValueError, match="number of states"):
        score(state=(*state, *state))
    with pytest.raises(ValueError, match="shape that the network needs"):
        score(weights=(*weights[:4], np.zeros(79)))
    with pytest.raises(ValueError, match="shape that the network needs"):
        score(shape=shape(cell=_native.Cell.lstm), state=(*state, *state))
    with pytest.raises(ValueError, match="number of arrays"):
        score(shape=shape(layers=2))
    with pytest.raises(ValueError, match="thread"):
        score(threads=2)
    with pytest.raises((TypeError, RuntimeError)):
        score(state=(np.zeros((1, 1, 100), np.float32),))


def test_settings_out_of_range_are_refused_when_they_are_made():
    with pytest.raises(ValueError, match="layers"):
        _native.Shape(cell=_native.Cell.rnn, layers=65, K=80, H=100)
    with pytest.raises(ValueError, match="H or K"):
        _native.Shape(cell=_native.Cell.rnn, layers=1, K=80, H=0)
    with pytest.raises(ValueError, match="instruction set v9"):
        open_kernels("float64", "v9")
    shape = _native.Shape(cell=_native.Cell.rnn, layers=1, K=80, H=100)
    with pytest.raises(AttributeError):
        shape.H = 101


def test_windows_past_the_end_of_the_text_are_refused_at_the_compiled_door():
    learner = make_learner()
    weights = tuple(learner.parameters.values())
    engine = NativeEngine()
    with pytest.raises(ValueError, match="past the end"):
        open_kernels("float64", engine.isa).train(
            shape=engine._settings(learner).shape,
            weights=weights,
            slots=(weights,),
            state=tuple(learner.state.values()),
            updates=_native.Updates(
                ids=np.zeros(26, np.uint8),
                starts=np.array([1]),
                seq_length=25,
                learning_rates=np.array([0.1]),
                update=0,
            ),
            descent=engine._settings(learner).descent,
            threads=1,
            workspace=_native.Workspace(),
            losses=np.empty(1),
            norms=np.empty(1),
        )


def test_settings_follow_a_config_that_is_replaced():
    engine, learner = NativeEngine(), make_learner()
    first = engine._settings(learner)
    assert engine._settings(learner) is first
    learner.config = learner.config.replace(clip=0.25)
    assert engine._settings(learner).descent.clip == 0.25


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
def test_threads_that_the_system_refuses_are_an_error_and_nobody_waits_for_them():
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


def test_a_missing_native_engine_is_said_and_replaced(monkeypatch):
    monkeypatch.setattr(
        "charloom.engines.native_problem", lambda: "the native engine was not built"
    )
    assert open_engine("auto").name == "reference"
    with pytest.raises(MissingPartError, match="C\\+\\+20 compiler"):
        open_engine("native")


def test_other_threads_run_while_the_engine_trains():
    learner = make_learner(dtype="float32")
    tokens = make_tokens(learner, 50_001)
    counted = 0
    stop = threading.Event()

    def count() -> None:
        nonlocal counted
        while not stop.is_set():
            counted += 1

    thread = threading.Thread(target=count)
    thread.start()
    before = counted
    NativeEngine().train(learner, tokens, Plan(np.full(2000, 0.1), ONE_STREAM))
    during = counted - before
    stop.set()
    thread.join()
    assert during > 100


def test_no_weak_symbol_leaves_the_kernels(tmp_path):
    # A weak symbol compiled for AVX-512 could be the one that an older processor is linked to.
    # Two compilations: at -O0, which is quicker and has the same linkage.
    root = Path(__file__).parent.parent
    compiler, nm = shutil.which("g++"), shutil.which("nm")
    if compiler is None or nm is None or not (root / "cpp").is_dir():
        pytest.skip("needs g++, nm and the sources")

    def exported(source: Path) -> list[str]:
        flags = "-std=c++20 -O0 -fno-exceptions -fno-rtti -march=x86-64-v3 -DCHARLOOM_ISA=v3"
        subprocess.run(
            [compiler, *flags.split(), f"-I{root / 'cpp'}", "-c", source, "-o", tmp_path / "k.o"],
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
        "charloom::kernels_v3"
    ]
    planted = tmp_path / "planted.cpp"
    planted.write_text(
        '#include "kernels.cpp"\ntemplate <typename T> T twice(T x) { return x + x; }\n'
        "template int twice<int>(int);\n"
    )
    assert any(" W " in line for line in exported(planted))


@pytest.mark.parametrize(("dtype", "limit"), [("float32", 1e-4), ("float64", 1e-9)])
def test_every_part_of_an_update_agrees_with_the_float64_reference(native, dtype, limit):
    # The step itself is compared, not the parameter, whose size would hide a wrong one.
    ours = make_learner(dtype=dtype, clip=0.5)
    theirs, before = as_float64(ours), as_float64(ours)
    theirs.slots = {"accumulator": {n: np.zeros_like(p) for n, p in theirs.parameters.items()}}
    tokens = make_tokens(ours, 76)
    plan = Plan(np.array([0.01, 0.03, 0.002]), ONE_STREAM)
    trace, truth = native.train(ours, tokens, plan), REFERENCE.train(theirs, tokens, plan)
    np.testing.assert_allclose(trace.losses, truth.losses, rtol=limit)
    np.testing.assert_allclose(trace.gradient_norms, truth.gradient_norms, rtol=limit)
    for name in before.parameters:
        step = ours.parameters[name] - before.parameters[name]
        true_step = theirs.parameters[name] - before.parameters[name]
        assert norm_relative(step, true_step) <= 10 * limit, name
        slots = ours.slots["accumulator"][name], theirs.slots["accumulator"][name]
        assert norm_relative(*slots) <= limit, name
    assert norm_relative(ours.state["h"], theirs.state["h"]) <= limit


@pytest.mark.parametrize("id_type", [np.uint16, np.uint32])
def test_wider_ids_mean_the_same(native, id_type):
    narrow, wide = make_learner(), make_learner()
    tokens = make_tokens(narrow, 76)
    plan = Plan(np.full(3, 0.1), ONE_STREAM)
    ours = native.train(narrow, tokens, plan)
    theirs = native.train(wide, tokens.astype(id_type), plan)
    assert np.array_equal(ours.losses, theirs.losses)
    scores = [
        native.score(narrow, t[:, np.newaxis], narrow.state)[0]
        for t in (tokens, tokens.astype(id_type))
    ]
    assert np.array_equal(*scores)


def test_a_step_moves_the_state(native):
    learner = make_learner()
    _, state = native.step(learner, np.array([3]), learner.state)
    _, true_state = REFERENCE.step(learner, np.array([3]), learner.state)
    np.testing.assert_allclose(state["h"], true_state["h"], rtol=0, atol=1e-13)
    assert not np.array_equal(state["h"], learner.state["h"])


def test_the_state_stays_where_an_update_is_refused(native):
    learner = make_learner()
    learner.parameters["V"][0, 0] = np.inf
    before = learner.state["h"].copy()
    native.train(learner, make_tokens(learner, 26), Plan(np.array([0.1]), ONE_STREAM))
    assert np.array_equal(learner.state["h"], before)
    assert learner.position == 0


def test_among_equals_the_lowest_id_is_taken(native):
    learner = make_learner()
    learner.parameters["V"][:] = 0
    learner.parameters["c"][:] = 0
    for engine in (native, REFERENCE):
        ids, _ = engine.generate(
            learner, np.array([3]), Sampler(0.0), np.full(5, 0.9), learner.state
        )
        assert not ids.any()


def test_huge_float32_gradients_are_judged_first_too(native):
    learner = make_learner(dtype="float32")
    learner.parameters["V"] *= np.float32(1e17)
    learner.parameters["V"][:, 1:] = 0
    theirs = copy_learner(learner)
    tokens, plan = make_tokens(learner, 26), Plan(np.array([0.1]), ONE_STREAM)
    trace, truth = native.train(learner, tokens, plan), REFERENCE.train(theirs, tokens, plan)
    assert trace.stopped == truth.stopped is None
    np.testing.assert_allclose(trace.gradient_norms, truth.gradient_norms, rtol=1e-4)
    # A gradient entry in which huge terms cancel is rounding; the steps are of size 0.1.
    for name in learner.parameters:
        np.testing.assert_allclose(
            learner.parameters[name], theirs.parameters[name], rtol=1e-4, atol=1e-3
        )


def test_the_padding_beyond_the_last_character_is_never_drawn_or_summed(native):
    learner = make_learner(H=8, K=11, T=4)
    learner.parameters["c"][:] = -1e40
    tokens = make_tokens(learner, 20)
    ours, theirs = (
        engine.score(learner, tokens[:, np.newaxis], learner.state)[0]
        for engine in (native, REFERENCE)
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    uniforms = np.linspace(0.02, 0.98, 12)
    hot = make_learner(H=8, K=11, T=4, dtype="float32")
    for model, temperature in ((learner, 1e31), (hot, 1e37), (hot, 1e38), (hot, 1e39)):
        ids = [
            e.generate(model, np.array([0]), Sampler(temperature), uniforms, model.state)[0]
            for e in (native, REFERENCE)
        ]
        assert np.array_equal(*ids), temperature
