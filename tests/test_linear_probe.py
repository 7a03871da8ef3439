"""Tests of linear probes: the fits are exact, and the score is that of text to which they were not fitted."""

import json

import numpy as np
import pytest

import charloom
from charloom.api.linear_probe import block_interval, explained, mean_of_sums, probe
from charloom.api.model import Model
from charloom.engines import open_engine
from charloom.errors import ConfigError, TextError
from charloom.evaluation import bits_interval
from charloom.hidden_units.linear_fits import logistic, ridge
from test_neurons import STORY, latch, lively


def problem(count=400, size=4, seed=2):
    """Return correlated inputs with a constant column, and the noisy sum of some of them."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, size)) @ rng.normal(size=(size, size)) + 3
    x[:, 1] = 0.7
    return x, x @ rng.normal(size=size) + rng.normal(size=count)


def penalized(fit, x, scale, penalty):
    """Return the penalty of a fit, whose weights are given for the inputs as they are."""
    return penalty / 2 * np.sum((fit.weights * scale) ** 2)


def test_ridge_regression_is_the_minimum():
    x, y = problem()
    fit, penalty, scale = ridge(x, y, 0.3), 0.3, x.std(axis=0)
    centred = (x - x.mean(axis=0)) / np.where(scale > 1e-9, scale, 1)
    stacked = np.concatenate([centred, np.sqrt(penalty * len(x)) * np.eye(4)])
    expected = np.linalg.lstsq(stacked, np.concatenate([y - y.mean(), np.zeros(4)]), rcond=None)[0]
    np.testing.assert_allclose(fit.weights * scale, expected * (scale > 1e-9), atol=1e-10)
    assert fit.weights[1] == 0
    assert fit(x).mean() == pytest.approx(y.mean())


def test_logistic_regression_is_the_minimum():
    torch = pytest.importorskip("torch")
    x, y = problem()
    targets = (y > np.median(y)).astype(float)
    fit = logistic(x, targets, 0.01)
    scale = torch.tensor(x.std(axis=0))
    w = torch.tensor(fit.weights, requires_grad=True)
    b = torch.tensor(fit.bias, requires_grad=True, dtype=torch.float64)
    a = torch.tensor(x) @ w + b
    loss = torch.nn.functional.binary_cross_entropy_with_logits(a, torch.tensor(targets))
    (loss + 0.005 * ((w * scale) ** 2).sum()).backward()
    moving = torch.tensor([0, 2, 3])
    assert abs(float(b.grad)) < 1e-8
    assert float(w.grad[moving].abs().max()) < 1e-7
    assert fit.weights[1] == 0


def test_logistic_regression_of_separable_targets_ends():
    x = np.linspace(-1, 1, 50)[:, np.newaxis]
    fit = logistic(x, (x[:, 0] > 0).astype(float), 1e-3)
    assert np.isfinite(fit.weights).all()
    assert ((fit(x) > 0) == (x[:, 0] > 0)).all()


def test_a_constructed_unit_is_told_perfectly_and_a_network_without_it_is_not():
    """Unit 0 of this network is 1 inside quotation marks; unit 1 is 1 at a line feed."""
    model = Model(latch(), open_engine("auto"))
    chosen = {"properties": ["in-quotes", "after-newline"], "string": STORY * 8}
    for score in probe(model, **chosen).scores:
        assert score.measure == "accuracy"
        assert score.score > 0.99
        assert 0.5 < score.without < score.score
    blind = model.clamp(0, 0, 0).clamp(0, 1, 0)
    assert probe(blind, **chosen).scores[0].score < 0.95


def test_the_score_is_that_of_the_last_third():
    model = Model(lively("gru"), open_engine("auto"))
    (score,) = probe(model, string=STORY * 3, properties=["line-position"], layer=1).scores
    values = model.activity(STORY * 3, layer=1).values[:, 0]
    first = int(len(values) * 2 / 3)
    assert (score.fitted, score.judged) == (first, len(values) - first)
    y = np.array([len(line) for line in np.array([])])
    place, y = 0, []
    for character in STORY * 3:
        place = 0 if character == "\n" else place + 1
        y.append(place)
    y = np.array(y, float)
    told = ridge(values[:first], y[:first], 1e-3)(values[first:])
    expected = 1 - np.sum((y[first:] - told) ** 2) / np.sum((y[first:] - y[first:].mean()) ** 2)
    assert score.measure == "R²"
    assert score.score == pytest.approx(expected, abs=1e-10)
    assert score.interval is None


def test_a_shuffled_property_is_not_told():
    """A checker that judged the fitted text would give a high score here."""
    rng = np.random.default_rng(0)
    from charloom.api.linear_probe import score_of
    from charloom.hidden_units import Property

    values, numbers = rng.normal(size=(300, 150)), rng.normal(size=300)
    coin = Property("coin", "noise", lambda text: numbers)
    assert score_of(coin, values, numbers, 1e-6).score < 0
    flips = (numbers > 0).astype(np.float32)
    assert abs(score_of(coin, values, flips, 1e-6).score - 0.5) < 0.15


def test_the_interval_draws_the_blocks_of_an_evaluation():
    nats = np.random.default_rng(1).random(12_345)
    columns = np.stack([nats, np.ones(len(nats))], axis=1)
    bits = bits_interval(nats, 0)
    assert block_interval(columns, mean_of_sums) == pytest.approx([b * np.log(2) for b in bits])
    y = nats
    columns = np.stack([(y - 0.5) ** 2, y, y * y, np.ones(len(y))], axis=1)
    low, high = block_interval(columns, explained)
    assert low <= explained(columns.sum(axis=0)) <= high


def test_the_result_has_all_properties_and_fits_json():
    model = Model(lively("lstm"), open_engine("auto"))
    found = charloom.probe(model, string=STORY * 4, pattern="bad|hag", what="cell")
    assert [score.property for score in found.scores] == ["pattern"]
    assert found.scores[0].fit.weights.shape == (10,)
    assert json.loads(json.dumps(found.to_json()))["what"] == "cell"
    assert "Linear probes" in found._repr_html_()


def test_a_property_that_never_changes_is_left_out_with_a_reason():
    found = probe(Model(lively("rnn"), open_engine("auto")), string=STORY * 3)
    names = {score.property for score in found.scores}
    assert {"space", "in-word", "line-position"} <= names
    assert set(found.left_out) >= {"digit", "capital"}
    assert not names & set(found.left_out)
    assert found.left_out["digit"].startswith("the property digit is 0 at each of the ")


def test_what_cannot_be_probed_is_refused():
    model = Model(lively("rnn"), open_engine("auto"))
    with pytest.raises(ConfigError, match="property digit is 0 at each"):
        probe(model, string=STORY, properties=["digit"])
    with pytest.raises(ConfigError, match="penalty"):
        probe(model, string=STORY, penalty=0)
    with pytest.raises(ConfigError, match="what"):
        probe(model, string=STORY, what="cell")
    with pytest.raises(TextError, match="at least 100"):
        probe(model, string=STORY[:99], properties=["space"])
