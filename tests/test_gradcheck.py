"""Tests of the gradient check: right gradients pass at every size; each planted error is caught."""

import dataclasses
import json
import math
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charloom.cell_table import CELL_NAMES
from charloom.config import Config
from charloom.cpu_limits import ONE_THREAD
from charloom.engines import native_problem
from charloom.engines.base import Ids
from charloom.engines.reference import ReferenceEngine, network
from charloom.engines.reference.cells import RnnCell
from charloom.engines.reference.ngram_counts import log_probabilities
from charloom.errors import ConfigError, EngineError, TextError
from charloom.gradient_check import STEPS, GradientCheck, check_gradients, fresh_problem, gradcheck
from charloom.gradient_check.numerical import (
    Numerical,
    Window,
    affordable_entries,
    draw_entries,
    numerical_gradients,
)
from charloom.gradient_check.stored_checks import check_of
from charloom.model import Learner, State, copy_learner, new_learner
from charloom.model.input_pairs import PAIRS
from charloom.model.parameters import Parameters
from charloom.text import Corpus, Vocabulary
from compared_engines import TORCH
from ngram_plants import without_the_path_through_the_weight

SMALL = {"hidden_size": 8, "seq_length": 6, "vocabulary_size": 12, "sigma": 0.1}

ENGINES = [
    "reference",
    pytest.param(
        "native", marks=pytest.mark.skipif(native_problem() is not None, reason="not built here")
    ),
    *TORCH,
]


def problem(vocabulary_size=80, state="zero", corpus=None, dtype="float64", **settings):
    """Return a fresh network and one window, for flat settings in float64."""
    return fresh_problem(Config(dtype=dtype, **settings), vocabulary_size, state, corpus)


LAST_NUMERICAL: dict[bytes, list[Numerical]] = {}


@pytest.fixture
def each_numerical_gradient_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute the numerical gradients, which do not depend on the engine, once for both engines.

    The engine must be the parameter of the test that changes fastest, because only the last
    numerical gradients are kept.
    """

    def kept(
        learner: Learner, window: Window, entries: int | None, seed: int, *rest: Any
    ) -> list[Numerical]:
        key = pickle.dumps((learner.config, learner.parameters, tuple(window), entries, seed))
        if key not in LAST_NUMERICAL:
            LAST_NUMERICAL.clear()
            LAST_NUMERICAL[key] = numerical_gradients(learner, window, entries, seed, *rest)
        return LAST_NUMERICAL[key]

    monkeypatch.setattr("charloom.gradient_check.check.numerical_gradients", kept)


once = pytest.mark.usefixtures("each_numerical_gradient_once")
Plant = Callable[[Learner, Ids, Ids, Parameters], None]


class PlantedEngine(ReferenceEngine):
    """The reference engine with an error planted in its gradients."""

    name = "planted"

    def __init__(self, plant: Plant) -> None:
        self.plant = plant

    def loss_and_gradients(
        self, learner: Learner, x: Ids, y: Ids, update: int | None = None
    ) -> tuple[float, Parameters, State]:
        loss, gradients, state = super().loss_and_gradients(learner, x, y, update)
        self.plant(learner, x, y, gradients)
        return loss, gradients, state


def without_carry(learner: Learner, x: Ids, y: Ids, gradients: Parameters) -> None:
    """Replace the gradients by those of BPTT that passes no gradient back from step to step."""
    state = learner.state
    for gradient in gradients.values():
        gradient[...] = 0
    for t in range(len(x)):
        _, step, learner.state = ReferenceEngine().loss_and_gradients(
            learner, x[t : t + 1], y[t : t + 1]
        )
        for name, gradient in gradients.items():
            gradient += step[name]
    learner.state = state


def scaled(name: str) -> Plant:
    def plant(learner: Learner, x: Ids, y: Ids, gradients: Parameters) -> None:
        gradients[name] *= 1.001

    return plant


def without_initial_state(learner: Learner, x: Ids, y: Ids, gradients: Parameters) -> None:
    """Compute dW as if the window started from h0 = 0.

    da_0 is the column of dU for x_0, because the window reads x_0 only once.
    """
    assert (x == x[0]).sum() == 1
    da_0 = gradients["layers.0.U"][:, x[0, 0]]
    gradients["layers.0.W"] -= np.outer(da_0, learner.state["h"][0, 0])


def transposed(learner: Learner, x: Ids, y: Ids, gradients: Parameters) -> None:
    gradients["layers.0.W"] = gradients["layers.0.W"].T


def averaged_over_time(learner: Learner, x: Ids, y: Ids, gradients: Parameters) -> None:
    for gradient in gradients.values():
        gradient /= len(x)


def one_nan(learner: Learner, x: Ids, y: Ids, gradients: Parameters) -> None:
    gradients["V"][3, 2] = np.nan


def garbage_in_an_unread_column(learner: Learner, x: Ids, y: Ids, gradients: Parameters) -> None:
    unread = np.setdiff1d(np.arange(len(learner.vocabulary)), x)
    gradients["layers.0.U"][:, unread] = 1e-3


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    ("plant", "wrong"),
    [
        (without_carry, {"b", "U", "W"}),
        (scaled("layers.0.b"), {"b"}),
        (scaled("c"), {"c"}),
        (scaled("layers.0.U"), {"U"}),
        (scaled("layers.0.W"), {"W"}),
        (scaled("V"), {"V"}),
        (without_initial_state, {"W"}),
        (transposed, {"W"}),
        (averaged_over_time, {"b", "c", "U", "W", "V"}),
        (one_nan, {"V"}),
        (garbage_in_an_unread_column, {"U"}),
    ],
)
def test_each_planted_error_is_caught_in_its_parameters_only(
    plant: Plant, wrong: set[str], dtype: str
) -> None:
    check = gradcheck(**SMALL, state="non-zero", dtype=dtype, engine=PlantedEngine(plant), seed=1)
    assert {row.parameter for row in check.rows if not row.passed} == wrong
    assert not check.passed
    assert "WRONG" in check.verdict()
    assert check.worst.parameter in wrong
    assert not GradientCheck.from_dict(json.loads(json.dumps(check.to_dict()))).passed


def test_float64_catches_one_entry_that_is_wrong_in_its_tenth_digit() -> None:
    def plant(learner: Learner, x: Ids, y: Ids, gradients: Parameters) -> None:
        gradients["c"][0] *= 1 + 1e-9

    check = gradcheck(**SMALL, engine=PlantedEngine(plant))
    assert [row.parameter for row in check.rows if not row.passed] == ["c"]
    assert check.worst.worst.index == (0,)


def test_an_error_too_small_for_the_norm_limit_is_caught_by_the_elementwise_limit() -> None:
    def plant(learner: Learner, x: Ids, y: Ids, gradients: Parameters) -> None:
        dV = gradients["V"]
        smallest = np.unravel_index(np.argmin(np.abs(dV)), dV.shape)
        dV[smallest] += 1e-12 * np.linalg.norm(dV)

    many = {**SMALL, "hidden_size": 30}
    check = gradcheck(**many, entries=None, engine=PlantedEngine(plant))
    (row,) = [row for row in check.rows if not row.passed]
    assert row.norm_relative < row.norm_limit
    assert check.worst == row
    assert "WRONG in V" in check.verdict()


def test_a_nan_is_found_even_if_its_entry_was_not_drawn() -> None:
    check = gradcheck(**SMALL, entries=1, engine=PlantedEngine(one_nan))
    row = next(row for row in check.rows if row.parameter == "V")
    assert row.worst.index == (3, 2)
    assert math.isnan(row.norm_relative)
    assert math.isnan(row.worst.analytic)
    assert check.verdict().endswith("V[3, 2], is nan.")
    assert not row.passed


def test_only_the_wrong_engine_of_several_fails() -> None:
    learner, x, y = problem(**SMALL, state="non-zero", dtype="float64", seed=0, corpus=None)
    engines = ("reference", PlantedEngine(transposed), ReferenceEngine())
    checks = check_gradients(learner, x, y, engines=engines)
    assert [check.passed for check in checks] == [True, False, True]
    assert [check.settings.engine for check in checks] == ["reference", "planted", "reference"]
    assert checks[0] == gradcheck(**SMALL, state="non-zero")


def test_the_worst_entry_is_named_with_both_of_its_values() -> None:
    def plant(learner: Learner, x: Ids, y: Ids, gradients: Parameters) -> None:
        gradients["layers.0.W"][2, 5] += 1.0

    check = gradcheck(**SMALL, entries=None, state="non-zero", engine=PlantedEngine(plant))
    worst = check.worst.worst
    assert check.worst.parameter == "W"
    assert worst.index == (2, 5)
    assert worst.analytic - worst.numeric == pytest.approx(1.0)
    assert "W[2, 5], is" in check.verdict()
    assert "should be" in check.verdict()


@pytest.mark.parametrize("name", ["layers.0.U", "V"])
def test_a_gradient_of_another_shape_is_refused_by_name(name: str) -> None:
    def plant(learner: Learner, x: Ids, y: Ids, gradients: Parameters) -> None:
        gradients[name] = gradients[name].T

    with pytest.raises(EngineError, match=f"{name} has shape"):
        gradcheck(**SMALL, engine=PlantedEngine(plant))


def test_a_missing_gradient_is_refused_by_name() -> None:
    def plant(learner: Learner, x: Ids, y: Ids, gradients: Parameters) -> None:
        del gradients["c"]

    with pytest.raises(EngineError, match="gradient of c has shape None"):
        gradcheck(**SMALL, engine=PlantedEngine(plant))


# The full size takes about a second per case. It is tested because users check networks of that size.
@once
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("H", "T"), [(5, 3), (100, 25)])
@pytest.mark.parametrize(("sigma", "state"), [(0.01, "zero"), (0.1, "non-zero")])
def test_right_gradients_stay_within_the_float64_limits(
    H: int, T: int, sigma: float, state: str, engine: str
) -> None:
    check = gradcheck(hidden_size=H, seq_length=T, sigma=sigma, state=state, engine=engine)
    assert check.passed
    for row in check.rows:
        assert row.norm_relative <= 1e-12
        assert row.elementwise <= 1e-10
        assert row.norm_limit == 1e-12
        assert row.elementwise_limit == 1e-10
    assert "right" in check.verdict()
    assert len(check.verdict().splitlines()) == 2


@once
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize(
    ("layers", "B", "T", "H", "K"), [(1, 1, 1, 1, 2), (2, 7, 5, 9, 12), (3, 32, 3, 4, 5)]
)
@pytest.mark.parametrize("cell", CELL_NAMES)
def test_right_gradients_of_every_cell_stay_within_the_limits(
    cell: str, layers: int, B: int, T: int, H: int, K: int, dropout: float, dtype: str, engine: str
) -> None:
    check = gradcheck(
        cell=cell, layers=layers, batch_size=B, seq_length=T, hidden_size=H, vocabulary_size=K,
        dropout=dropout, dtype=dtype, engine=engine, state="non-zero", init="uniform", entries=20,
    )  # fmt: skip
    assert check.passed, check.verdict()
    limit = {"float64": 1e-12, "float32": 1e-5}[dtype]
    assert sum(row.norm_limit == limit for row in check.rows) > len(check.rows) / 2
    s = check.settings
    assert (s.cell, s.layers, s.batch_size, s.dropout, s.init) == (
        cell,
        layers,
        B,
        dropout,
        "uniform",
    )
    assert f"{cell}, L={layers}, H={H}, B={B}, T={T}, K={K}, init uniform" in check.verdict()


@once
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    ("layers", "B", "order", "dropout"), [(1, 1, 1, 0.0), (1, 3, 4, 0.3), (2, 2, 16, 0.3)]
)
@pytest.mark.parametrize("cell", CELL_NAMES)
def test_right_gradients_with_ngrams_stay_within_the_limits(
    cell: str, layers: int, B: int, order: int, dropout: float, dtype: str, engine: str
) -> None:
    check = gradcheck(
        cell=cell, layers=layers, batch_size=B, seq_length=9, hidden_size=7, vocabulary_size=6,
        ngram_order=order, dropout=dropout, dtype=dtype, engine=engine, state="non-zero",
        init="uniform", entries=20,
    )  # fmt: skip
    assert check.passed, check.verdict()
    assert {"ngram.weight", "ngram.bias"} < {row.parameter for row in check.rows}
    assert f"n-grams of order {order}" in check.verdict()
    assert check_of(json.loads(json.dumps(check.to_dict()))) == check


def test_the_ngrams_of_the_check_and_their_weight_are_not_trivial() -> None:
    learner, x, _ = problem(6, ngram_order=4, batch_size=3)
    assert learner.ngrams is not None
    log_q = log_probabilities(learner, x, learner.state)
    assert log_q is not None
    assert np.ptp(log_q, axis=0).min() > 0.1
    assert np.abs(learner.parameters["ngram.weight"]).min() > 0


@once
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    ("layers", "B", "order", "dropout", "pairs"),
    [(1, 1, 0, 0.0, 5), (1, 3, 4, 0.3, 1), (2, 2, 0, 0.3, 100)],
)
@pytest.mark.parametrize("cell", CELL_NAMES)
def test_right_gradients_with_pairs_stay_within_the_limits(
    cell: str,
    layers: int,
    B: int,
    order: int,
    dropout: float,
    pairs: int,
    dtype: str,
    engine: str,
) -> None:
    check = gradcheck(
        cell=cell, layers=layers, batch_size=B, seq_length=9, hidden_size=7, vocabulary_size=6,
        ngram_order=order, input_pairs=pairs, dropout=dropout, dtype=dtype, engine=engine,
        state="non-zero", init="uniform", entries=20,
    )  # fmt: skip
    assert check.passed, check.verdict()
    (row,) = (row for row in check.rows if row.parameter == "pairs.weight")
    assert row.shape[0] == min(pairs, 36)
    assert row.checked > 0
    assert f"{pairs} pairs, " in check.verdict()
    assert check_of(json.loads(json.dumps(check.to_dict()))) == check


def test_half_of_the_checked_entries_are_in_rows_of_pairs_that_the_window_reads() -> None:
    learner, x, y = problem(6, seq_length=9, input_pairs=30)
    assert learner.pairs is not None
    assert learner.pairs.used < 30
    assert np.abs(learner.parameters[PAIRS]).min() > 0
    window = Window.of(learner, x, y)
    read = window.entries_read(PAIRS, learner.parameters[PAIRS].shape)
    (found,) = (
        numerical
        for numerical in numerical_gradients(learner, window, 40, 0)
        if numerical.name == PAIRS
    )
    assert read is not None
    assert np.isin(found.entries, read).sum() >= 20
    assert np.count_nonzero(found.exact) >= 20


def test_a_wrong_gradient_of_the_inputs_of_pairs_is_caught() -> None:
    check = gradcheck(
        **SMALL, input_pairs=30, state="non-zero", engine=PlantedEngine(scaled(PAIRS))
    )
    assert [row.parameter for row in check.rows if not row.passed] == [PAIRS]


def test_an_input_of_pairs_that_is_not_read_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    class Plain(ReferenceEngine):
        """An engine that leaves out the inputs of pairs, but computes their gradients."""

        def loss_and_gradients(self, learner: Learner, *rest: Any, **options: Any) -> Any:
            without = copy_learner(learner)
            without.parameters[PAIRS][...] = 0
            return super().loss_and_gradients(without, *rest, **options)

    check = gradcheck(**{**SMALL, "sigma": 0.5}, input_pairs=30, state="non-zero", engine=Plain())
    assert not check.passed


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_missing_path_through_the_weight_of_the_ngrams_is_caught(
    dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "loss_and_gradients", without_the_path_through_the_weight)
    check = gradcheck(**SMALL, ngram_order=3, dtype=dtype)
    assert [row.parameter for row in check.rows if not row.passed] == ["b", "U", "W"]


@pytest.mark.parametrize("name", ["ngram.weight", "ngram.bias"])
def test_a_wrong_gradient_of_the_weight_of_the_ngrams_is_caught(name: str) -> None:
    check = gradcheck(**SMALL, ngram_order=3, state="non-zero", engine=PlantedEngine(scaled(name)))
    assert [row.parameter for row in check.rows if not row.passed] == [name]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    ("cell", "name"), [("lstm", "layers.1.b"), ("gru", "layers.0.d"), ("gru", "layers.1.U")]
)
def test_an_error_in_one_parameter_of_a_deep_network_is_caught(
    cell: str, name: str, dtype: str
) -> None:
    check = gradcheck(
        **SMALL, cell=cell, layers=2, batch_size=3, state="non-zero", dtype=dtype,
        engine=PlantedEngine(scaled(name)),
    )  # fmt: skip
    short = {"layers.1.b": "1.b", "layers.0.d": "d", "layers.1.U": "1.U"}[name]
    assert [row.parameter for row in check.rows if not row.passed] == [short]
    assert f"WRONG in {short}" in check.verdict()


def test_an_engine_that_ignores_dropout_is_caught() -> None:
    class WithoutDropout(ReferenceEngine):
        def loss_and_gradients(
            self, learner: Learner, x: Ids, y: Ids, update: int | None = None
        ) -> tuple[float, Parameters, State]:
            return super().loss_and_gradients(learner, x, y)

    assert gradcheck(**SMALL, dropout=0.3).passed
    assert not gradcheck(**SMALL, dropout=0.3, engine=WithoutDropout()).passed
    assert gradcheck(**SMALL, engine=WithoutDropout()).passed


@once
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("H", "T", "sigma"), [(5, 3, 0.01), (100, 25, 0.1)])
def test_right_gradients_stay_within_the_float32_limits(
    H: int, T: int, sigma: float, engine: str
) -> None:
    check = gradcheck(
        hidden_size=H, seq_length=T, sigma=sigma, state="non-zero", dtype="float32", engine=engine
    )
    assert check.passed
    assert all(row.norm_limit == 1e-5 and row.elementwise_limit is None for row in check.rows)


@settings(deadline=None, max_examples=25)
@given(
    cell=st.sampled_from(CELL_NAMES),
    layers=st.integers(1, 3),
    B=st.integers(1, 3),
    H=st.integers(1, 9),
    T=st.integers(1, 7),
    K=st.integers(2, 20),
    sigma=st.floats(0.001, 3),
    state=st.sampled_from(["zero", "non-zero"]),
    dtype=st.sampled_from(["float64", "float32"]),
    seed=st.integers(0, 2**64 - 1),
)
def test_right_gradients_pass_at_any_small_size_or_are_lost_in_rounding(
    cell: str,
    layers: int,
    B: int,
    H: int,
    T: int,
    K: int,
    sigma: float,
    state: str,
    dtype: str,
    seed: int,
) -> None:
    check = gradcheck(
        cell=cell,
        layers=layers,
        batch_size=B,
        hidden_size=H,
        seq_length=T,
        vocabulary_size=K,
        sigma=sigma,
        state=state,
        dtype=dtype,
        seed=seed,
        entries=40,
    )
    assert check.passed or "LOST IN ROUNDING" in check.verdict(), check.verdict()


def test_central_difference_errors_form_a_v_and_never_reach_the_complex_step() -> None:
    for row in gradcheck(**SMALL, state="non-zero").rows:
        best = row.curve.index(row.central.norm_relative)
        assert 0 < best < len(row.curve) - 1
        assert row.central.step == STEPS[best]
        assert row.curve[0] > 10 * row.curve[best]
        assert row.curve[-1] > 10 * row.curve[best]
        assert row.central.norm_relative > 1e3 * row.norm_relative


def test_a_chaotic_network_gets_limits_of_thirty_times_the_effect_of_rounding() -> None:
    check = gradcheck(hidden_size=60, seq_length=25, sigma=0.5, state="non-zero", entries=20)
    widened = [row for row in check.rows if row.norm_limit > 1e-12]
    assert widened
    assert all(row.norm_limit == pytest.approx(30 * row.rounding) for row in widened)
    assert check.passed


def test_a_gradient_that_needs_more_than_float32_fails_and_the_verdict_says_so() -> None:
    check = gradcheck(hidden_size=60, sigma=0.6, state="non-zero", dtype="float32", entries=20)
    assert not check.passed
    assert all(row.norm_limit <= 1e-4 for row in check.rows)
    assert "LOST IN ROUNDING" in check.verdict()
    assert "float64" in check.verdict()


def test_saturated_units_are_lost_in_rounding_and_not_wrong() -> None:
    check = gradcheck(hidden_size=3, seq_length=2, sigma=60.0, state="non-zero")
    assert not check.passed
    assert "LOST IN ROUNDING" in check.verdict()
    assert "smaller weights" in check.verdict()
    assert all(row.passed or row.lost for row in check.rows)


def test_the_verdict_names_the_wrong_parameter_even_if_others_are_lost_in_rounding() -> None:
    check = gradcheck(
        hidden_size=3, seq_length=2, sigma=60.0, state="non-zero",
        engine=PlantedEngine(scaled("V")),
    )  # fmt: skip
    assert "WRONG in V (" in check.verdict()
    assert any(row.lost for row in check.rows)


def test_a_large_network_has_fewer_entries_checked_and_a_small_one_two_hundred() -> None:
    counts = []
    for sizes in (
        {"hidden_size": 100},
        {"hidden_size": 100, "batch_size": 50},
        {"hidden_size": 500},
        {"cell": "lstm", "layers": 2, "hidden_size": 512, "batch_size": 64},
    ):
        learner, x, _ = problem(**sizes)  # type: ignore[arg-type]
        counts.append(affordable_entries(learner, x))
    assert counts[0] == 200 > counts[1] > counts[2] > counts[3] == 2


def test_rows_have_a_fixed_order_and_the_right_shapes_and_counts() -> None:
    check = gradcheck(**SMALL, entries=20)
    assert [row.parameter for row in check.rows] == ["b", "c", "U", "W", "V"]
    assert [row.shape for row in check.rows] == [(8,), (12,), (8, 12), (8, 8), (12, 8)]
    assert [row.checked for row in check.rows] == [8, 12, 20, 20, 20]
    assert [row.total for row in check.rows] == [8, 12, 96, 64, 96]
    assert (check.checked, check.total) == (80, 276)
    assert "80 of 276 entries" in check.verdict()
    deep = gradcheck(**SMALL, cell="gru", layers=2, entries=1)
    names = ["b", "d", "1.b", "1.d", "c", "U", "W", "1.U", "1.W", "V"]
    assert [row.parameter for row in deep.rows] == names


def test_a_stored_check_without_a_cell_is_read_as_one_of_the_plain_cell() -> None:
    check = gradcheck(**SMALL)
    plain = check.to_dict()
    for name in ("cell", "layers", "batch_size", "dropout", "init"):
        del plain["settings"][name]
    assert GradientCheck.from_dict(plain) == check


def test_entries_none_draws_each_entry_once() -> None:
    read = np.flatnonzero(np.isin(np.arange(77) % 11, [2, 5]))
    entries = draw_entries((7, 11), None, 0, 0, read)
    assert sorted(entries.tolist()) == list(range(77))


def test_half_of_the_entries_of_U_are_in_columns_that_the_window_reads() -> None:
    read = np.flatnonzero(np.isin(np.arange(2_000) % 40, [1, 7]))
    entries = draw_entries((50, 40), 30, 0, 0, read)
    assert np.isin(entries[:15] % 40, [1, 7]).all()
    assert len(set(entries.tolist())) == 30


def test_equal_seeds_give_equal_checks_and_different_seeds_different_ones() -> None:
    assert gradcheck(**SMALL) == gradcheck(**SMALL)
    assert gradcheck(**SMALL).rows != gradcheck(**SMALL, seed=1).rows


def test_a_check_can_be_written_to_json_without_nan_and_read_again() -> None:
    check = gradcheck(**SMALL, dtype="float32")
    text = json.dumps(check.to_dict(), allow_nan=False)
    assert GradientCheck.from_dict(json.loads(text)) == check
    assert json.loads(text)["passed"] is True
    assert {"parameter", "absolute", "elementwise", "norm_relative"} <= set(
        json.loads(text)["rows"][0]
    )


def test_a_text_provides_its_first_window_and_its_vocabulary() -> None:
    corpus = Corpus.from_text("the quick brown fox jumps over the lazy dog", name="fox")
    check = gradcheck(hidden_size=5, seq_length=9, corpus=corpus)
    assert check.passed
    assert check.settings.text == "fox"
    assert check.settings.vocabulary_size == len(corpus.vocabulary)
    with pytest.raises(TextError, match="a window of 100 steps"):
        gradcheck(seq_length=100, corpus=corpus)
    learner, x, y = problem(seq_length=4, batch_size=3, hidden_size=2, corpus=corpus)
    assert [learner.vocabulary.decode(stream) for stream in x.T] == ["the ", "own ", "s ov"]
    assert [learner.vocabulary.decode(stream) for stream in y.T] == ["he q", "wn f", " ove"]


def test_a_learner_is_checked_from_its_own_state_and_is_not_changed() -> None:
    learner = new_learner(
        Config(hidden_size=6, seq_length=4, dtype="float64"), Vocabulary("abcdef")
    )
    learner.state["h"][...] = 0.5
    before = {name: p.copy() for name, p in learner.parameters.items()}
    (check,) = check_gradients(learner, np.array([0, 1, 2, 3]), np.array([1, 2, 3, 4]))
    assert check.passed
    assert check.settings.state == "non-zero"
    assert (learner.state["h"] == 0.5).all()
    for name, parameter in learner.parameters.items():
        np.testing.assert_array_equal(parameter, before[name])


def test_several_streams_are_checked_together_even_if_their_terms_cancel() -> None:
    config = Config(hidden_size=6, seq_length=4, batch_size=3, dtype="float64")
    learner = new_learner(config, Vocabulary("abcdef"))
    learner.state = {"h": np.full((1, 3, 6), 0.25)}
    x = np.arange(12).reshape(4, 3) % 6  # each character twice: dc is almost zero
    (check,) = check_gradients(learner, x, (x + 1) % 6)
    assert check.passed, check.verdict()


@pytest.mark.parametrize("y", [[1, 2, 3], [1, 2, 3, 6], [1, 2, 3, -1]])
def test_ids_that_do_not_fit_are_refused(y: list[int]) -> None:
    learner = new_learner(Config(hidden_size=6, seq_length=4), Vocabulary("abcdef"))
    with pytest.raises(EngineError, match="ids from 0 to 5"):
        check_gradients(learner, np.array([0, 1, 2, 3]), np.array(y))


def test_a_window_with_more_or_fewer_streams_than_the_state_is_refused() -> None:
    learner = new_learner(Config(hidden_size=6, batch_size=2), Vocabulary("abcdef"))
    with pytest.raises(EngineError, match="1 streams, but the learner's state has 2"):
        check_gradients(learner, np.array([0, 1]), np.array([1, 2]))


@pytest.mark.parametrize(
    "wrong",
    [
        {"state": "one"},
        {"entries": 0},
        {"vocabulary_size": 1},
        {"hidden_size": 0},
        {"layers": 0},
        {"cell": "steam"},
        {"dtype": "f"},
        {"engine": "steam"},
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        gradcheck(**{**SMALL, **wrong})  # type: ignore[arg-type]


def test_the_default_check_takes_a_second_or_two_of_one_core() -> None:
    code = """if True:
        import time
        from charloom.gradient_check import gradcheck
        start = time.process_time()
        gradcheck()
        print(time.process_time() - start)
    """
    # With two threads, OpenBLAS would spend processor time waiting in each of the many small products.
    alone = {**os.environ, **ONE_THREAD}
    done = subprocess.run(
        [sys.executable, "-c", code], env=alone, capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < 5  # 1.1 s on an idle machine


class ScaledUnused(ReferenceEngine):
    """An engine whose gradient of layers.0.d is not zero, although the loss does not depend on it."""

    def loss_and_gradients(self, *arguments, **options):
        loss, gradients, state = super().loss_and_gradients(*arguments, **options)
        gradients["layers.0.d"] = gradients["layers.0.d"] + 1e-12
        return loss, gradients, state


@dataclass(frozen=True)
class IdleCell(RnnCell):
    """The plain cell with a parameter d that it does not use."""

    d: np.ndarray


@pytest.mark.parametrize("shape", [(3,), (2, 3), (1,), (0,), (0, 4)])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_an_unused_parameter_has_zero_gradients_and_passes(
    shape: tuple[int, ...], dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(network.CELL_CLASSES, "rnn", IdleCell)
    learner, x, y = problem(hidden_size=5, seq_length=4, vocabulary_size=6, dtype=dtype)
    learner.parameters["layers.0.d"] = np.ones(shape, dtype=dtype)
    (check,) = check_gradients(learner, x, y)
    assert check.passed
    (row,) = (row for row in check.rows if row.parameter == "d")
    assert (row.total, row.checked) == (math.prod(shape), math.prod(shape))
    assert (row.absolute, row.elementwise, row.norm_relative, row.rounding) == (0, 0, 0, 0)
    assert row.central.norm_relative == 0
    assert len(row.worst.index) == (len(shape) if row.total else 0)
    json.dumps(check.to_dict(), allow_nan=False)


def test_a_non_zero_gradient_of_an_unused_parameter_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(network.CELL_CLASSES, "rnn", IdleCell)
    learner, x, y = problem(hidden_size=5, seq_length=4, vocabulary_size=6)
    learner.parameters["layers.0.d"] = np.ones(3)
    (check,) = check_gradients(learner, x, y, engines=[ScaledUnused()])
    assert [row.parameter for row in check.rows if not row.passed] == ["d"]


def test_a_network_with_parameters_of_one_entry_passes() -> None:
    learner, x, y = problem(hidden_size=1, seq_length=3, vocabulary_size=2)
    (check,) = check_gradients(learner, x, y)
    assert check.passed
    assert min(row.total for row in check.rows) == 1


def test_the_best_step_is_said_to_be_the_largest_or_smallest_that_was_tried() -> None:
    check = gradcheck(hidden_size=3, seq_length=2, vocabulary_size=4)
    for step, words in (
        (max(STEPS), ", the largest that was tried"),
        (min(STEPS), ", the smallest that was tried"),
        (1e-5, ""),
    ):
        rows = tuple(
            dataclasses.replace(row, central=dataclasses.replace(row.central, step=step))
            for row in check.rows
        )
        verdict = dataclasses.replace(check, rows=rows).verdict()
        assert f"step size, {step:.0e}{words}: the cause" in " ".join(verdict.split())
