"""Tests of fixed points: the Jacobian is exact, and points that are known are found."""

import json

import numpy as np
import pytest

import charloom
from charloom.api.fixed_point_search import fixed_points as points_of_model
from charloom.api.model import Model
from charloom.config import Config
from charloom.engines import open_engine
from charloom.errors import ConfigError, TextError
from charloom.hidden_units import fixed_points
from charloom.hidden_units.fixed_points import TOLERANCE, find_fixed_points, search_from
from charloom.hidden_units.state_map import StateMap
from charloom.model import new_learner
from charloom.report.spectrum_plot import spectrum_figure
from charloom.text import Vocabulary
from command_line import charloom_
from small_runs import train
from test_neurons import STORY
from test_unit_clamps import CELLS, lively_model


def quiet(_done, _searches):
    """Show nothing."""


def state_of(step, seed=1):
    """Return a random state."""
    return np.tanh(np.random.default_rng(seed).normal(size=step.size))


def switch():
    """Return a plain network of two units that do not read each other: h0' = tanh(2 h0), h1' = tanh(h1/2)."""
    config = Config(cell="rnn", hidden_size=2, layers=1, dtype="float64")
    learner = new_learner(config, Vocabulary("ab"))
    for array in learner.parameters.values():
        array[...] = 0
    learner.parameters["layers.0.W"][...] = np.diag([2.0, 0.5])
    learner.parameters["layers.0.U"][:, 1] = [5.0, 0.0]  # b pushes unit 0 up
    return learner


@pytest.mark.parametrize("character", [None, 3])
@pytest.mark.parametrize("cell", CELLS)
def test_a_step_is_that_of_the_engine(cell, character):
    model = lively_model(cell)
    step = StateMap(model.learner, character)
    vector = state_of(step)
    state = {n: a[0][:, np.newaxis] for n, a in step.arrays(vector[np.newaxis]).items()}
    learner = model.learner
    if character is None:
        for array in (learner.parameters["layers.0.U"], learner.parameters["pairs.weight"]):
            array[...] = 0
    recent = np.full((1, 1, 1), 0 if character is None else character, np.int32)
    ids = np.array([character or 0], dtype=np.uint8)
    _, after = open_engine("reference").step(learner, ids, {**state, "recent": recent})
    expected = step.vector({n: after[n][:, 0] for n in state})
    np.testing.assert_allclose(step(vector), expected, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("character", [None, 3])
@pytest.mark.parametrize("cell", CELLS)
def test_the_jacobian_equals_complex_steps(cell, character):
    step = StateMap(lively_model(cell).learner, character)
    vector, tiny = state_of(step), 1e-30
    value, jacobian = step.with_jacobian(vector)
    assert np.array_equal(value, step(vector))
    for column in range(step.size):
        moved = vector.astype(complex)
        moved[column] += 1j * tiny
        np.testing.assert_allclose(jacobian[:, column], step(moved).imag / tiny, atol=1e-13)


@pytest.mark.parametrize("cell", CELLS)
def test_the_jacobian_equals_that_of_pytorch(cell):
    torch = pytest.importorskip("torch")
    model = lively_model(cell)
    model.learner.pairs = None
    step, H = StateMap(model.learner, 3), 5
    p = {n: torch.tensor(a) for n, a in model.parameters.items()}
    kinds = {"rnn": torch.nn.RNNCell, "lstm": torch.nn.LSTMCell, "gru": torch.nn.GRUCell}
    cells = []
    for layer in range(2):
        module = kinds[cell](12 if layer == 0 else H, H, dtype=torch.float64)
        hidden = torch.zeros(len(p[f"layers.{layer}.b"]), dtype=torch.float64)
        if cell == "gru":
            hidden[2 * H :] = p[f"layers.{layer}.d"]
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        own = (*(p[f"layers.{layer}.{n}"] for n in "UWb"), hidden)
        module.load_state_dict(dict(zip(names, own, strict=True)))
        cells.append(module.requires_grad_(False))
    x = torch.nn.functional.one_hot(torch.tensor(3), len(model.vocabulary)).to(torch.float64)

    def after(vector):
        below, states = x, []
        for module, state in zip(cells, vector.reshape(2, -1), strict=True):
            given = (state[:H], state[H:]) if cell == "lstm" else state
            new = module(below, given)
            states += new if cell == "lstm" else [new]
            below = new[0] if cell == "lstm" else new
        return torch.cat(states)

    vector = state_of(step)
    expected = torch.autograd.functional.jacobian(after, torch.tensor(vector)).numpy()
    np.testing.assert_allclose(step.with_jacobian(vector)[1], expected, rtol=1e-11, atol=1e-13)


def test_the_three_points_of_a_switch_are_found_with_their_eigenvalues():
    """tanh(2 h) = h at 0 and at ±0.9575040240772687; the slopes there are 2 and 2 (1 - h²)."""
    step = StateMap(switch(), None)
    starts = [np.array([h, k]) for h in (-0.9, -0.1, 0.0, 0.1, 0.9) for k in (-0.5, 0.5)]
    found = find_fixed_points(step, starts, quiet)
    points = {round(float(v[0]), 9): n for n, v in enumerate(found.vectors)}
    assert set(points) == {0.0, 0.957504024, -0.957504024}
    assert np.abs(found.vectors[:, 1]).max() <= TOLERANCE
    assert found.residuals.max() <= TOLERANCE
    assert found.eigenvalues[points[0.0]] == pytest.approx([2.0, 0.5])
    slope = 2 * (1 - 0.9575040240772687**2)
    assert found.eigenvalues[points[0.957504024]] == pytest.approx([0.5, slope])
    assert found.found.sum() + found.unfinished == len(starts)


def test_a_character_moves_the_points():
    """With b, h0' = tanh(2 h0 + 5) has one fixed point, close to 1."""
    step = StateMap(switch(), 1)
    found = find_fixed_points(step, [np.zeros(2), np.array([0.9, 0.1])], quiet)
    assert len(found.vectors) == 1
    assert found.vectors[0, 0] == pytest.approx(np.tanh(2 * found.vectors[0, 0] + 5), abs=1e-14)


@pytest.mark.parametrize("cell", CELLS)
def test_points_of_lively_networks_have_small_residuals(cell):
    step = StateMap(lively_model(cell).learner, 2)
    found = find_fixed_points(step, [state_of(step, seed) for seed in range(12)], quiet)
    assert len(found.vectors) >= 1
    assert found.residuals.max() <= TOLERANCE
    for vector, residual in zip(found.vectors, found.residuals, strict=True):
        assert residual == np.abs(step(vector) - vector).max()


def test_a_network_without_a_point_in_reach_has_none(monkeypatch):
    monkeypatch.setattr(fixed_points, "STEPS", 0)
    step = StateMap(switch(), None)
    assert search_from(step, np.array([0.5, 0.5])) is None
    found = find_fixed_points(step, [np.array([0.5, 0.5])], quiet)
    assert (len(found.vectors), found.unfinished) == (0, 1)
    assert found.eigenvalues.shape == (0, 2)


@pytest.mark.parametrize("cell", CELLS)
def test_the_points_of_a_model_come_with_the_nearest_visited_state(cell):
    model = lively_model(cell)
    found = charloom.fixed_points(model, "a", string=STORY, starts=6)
    visited = model.activity(STORY).values
    assert np.array_equal(found.visited, visited)
    assert len(found) >= 1
    assert found.h.shape == (len(found), 2, 5)
    assert (found.cell is None) == (cell != "lstm")
    for n in range(len(found)):
        nearest = min(np.linalg.norm(visited[t] - found.h[n]) for t in range(len(visited)))
        assert found.distances[n] == pytest.approx(nearest)
        assert found.stable[n] == (np.abs(found.eigenvalues[n]) < 1).all()
    assert found.found.sum() + found.unfinished == found.starts == 6
    assert len(json.loads(json.dumps(found.to_json()))["points"]) == len(found)
    assert "Fixed points" in found._repr_html_()


def test_a_stable_point_attracts_and_an_unstable_one_does_not():
    step = StateMap(switch(), None)
    found = find_fixed_points(step, [np.array([h, 0.3]) for h in (-0.9, 0.01, 0.9)], quiet)
    for vector, spectrum in zip(found.vectors, found.eigenvalues, strict=True):
        near = vector + 1e-3
        for _ in range(50):
            near = step(near)
        assert (np.abs(near - vector).max() < 1e-4) == (np.abs(spectrum[0]) < 1)


def test_the_plot_has_each_eigenvalue():
    eigenvalues = np.array([[0.5 + 0.5j, 0.5 - 0.5j], [1.5, 0.0]])
    (axes,) = spectrum_figure(eigenvalues, ["stable", "unstable"]).axes
    drawn = [complex(x, y) for line in axes.lines[1:] for x, y in line.get_xydata()]
    assert sorted(drawn, key=str) == sorted(eigenvalues.ravel().tolist(), key=str)
    assert [t.get_text() for t in axes.get_legend().get_texts()] == [
        "point 0, stable",
        "point 1, unstable",
    ]


def keeper():
    """Return a GRU of one unit whose update gate is full where h is above 3: there, a step keeps h.

    Its only fixed point is the zero of tanh(-h / 2) = h, which is 0.
    """
    config = Config(cell="gru", hidden_size=1, layers=1, dtype="float64")
    learner = new_learner(config, Vocabulary("ab"))
    for array in learner.parameters.values():
        array[...] = 0
    learner.parameters["layers.0.W"][:, 0] = [0, 40, -1]  # r, z, n
    learner.parameters["layers.0.b"][:] = [0, -60, 0]
    return learner


def test_states_that_a_full_update_gate_keeps_are_no_points_of_a_gru(monkeypatch):
    step = StateMap(keeper(), None)
    assert abs(step(np.array([5.0]))[0] - 5) <= TOLERANCE  # planted: a step keeps this state
    assert not step.reachable(np.array([5.0]))
    monkeypatch.setattr(StateMap, "with_jacobian", pushed_away(StateMap.with_jacobian))
    assert search_from(step, np.array([0.5])) is None
    monkeypatch.setattr(StateMap, "reachable", lambda *_: True)  # without the rule, it is found
    assert search_from(step, np.array([0.5]))[0] > 1


def pushed_away(with_jacobian):
    """Return the method with a Jacobian whose Newton step from 0.5 leads to 5."""

    def changed(step, vector):
        value, jacobian = with_jacobian(step, vector)
        if vector[0] == 0.5:
            jacobian[...] = 1 - (value[0] - 0.5) / (5 - 0.5)
        return value, jacobian

    return changed


def test_the_point_of_a_gru_with_a_full_update_gate_elsewhere_is_found():
    found = find_fixed_points(StateMap(keeper(), None), [np.array([0.5]), np.array([-0.9])], quiet)
    assert found.vectors == pytest.approx(np.zeros((1, 1)), abs=1e-10)


@pytest.mark.parametrize(
    ("slope", "kind", "outside"),
    [(1 - 1e-8, "stable", 0), (1.0, "marginal", 0), (1 + 1e-8, "unstable", 1)],
)
def test_an_eigenvalue_on_the_unit_circle_is_neither_inside_nor_outside(slope, kind, outside):
    learner = switch()
    learner.parameters["layers.0.W"][...] = np.diag([slope, 0.5])
    found = charloom.fixed_points(Model(learner, open_engine("reference")), string="aaa", starts=1)
    assert (found.kinds, found.outside.tolist()) == ([kind], [outside])
    assert found.stable.tolist() == [kind == "stable"]
    assert found.rows()[0][2:5] == (kind, "1.0000", str(outside))
    assert found.to_json()["points"][0]["outside"] == outside


def test_the_points_are_printed_as_the_table_of_the_command():
    found = charloom.fixed_points(lively_model("gru"), "a", string=STORY, starts=6)
    lines = str(found).splitlines()
    assert lines[:3] == [
        "input:      'a' at every step",
        f"states:     6 states visited in {found.text}",
        "",
    ]
    assert lines[3].split()[:3] == ["point", "found", "kind"]
    assert [line.split()[0] for line in lines[4 : 4 + len(found)]] == list(
        map(str, range(len(found)))
    )
    assert "array" not in repr(found)
    assert ("reached no fixed point" in lines[-1]) == bool(found.unfinished)


def test_what_has_no_fixed_points_is_refused():
    model = lively_model("rnn")
    for character in ("ab", "Z", ""):
        with pytest.raises(ConfigError, match="character"):
            points_of_model(model, character, string=STORY)
    with pytest.raises(ConfigError, match="starts"):
        points_of_model(model, string=STORY, starts=0)
    with pytest.raises(TextError):
        points_of_model(model, string="")


def test_the_command_lists_the_points(tmp_path):
    train(tmp_path / "run", engine="reference", epochs=1, cell="gru")
    given = ("fixed-points", tmp_path / "run", "--text", "thecatsat", "--starts", "5")
    picture = tmp_path / "eigenvalues.svg"
    done = charloom_(*given, "--character", "a", "--png", picture)
    assert done.exit_code == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[1] == "input:      'a' at every step"
    assert lines[4].split()[:3] == ["point", "found", "kind"]
    assert float(lines[5].split()[-1]) <= TOLERANCE
    assert "point 0" in picture.read_text(encoding="utf-8")
    found = json.loads(charloom_(*given, "--json").stdout)
    assert found["character"] is None
    assert found["points"][0]["residual"] <= TOLERANCE
    refused = charloom_(*given, "--character", "ab")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "not one character" in refused.stderr
