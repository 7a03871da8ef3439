"""Tests of `charloom.ablate`: the cost of each unit is that of exact surgery on the weights."""

import dataclasses
import json
import threading

import numpy as np
import pytest

import charloom
from charloom.api import unit_ablation
from charloom.api.model import Model
from charloom.api.unit_ablation import ablate
from charloom.engines import open_engine
from charloom.errors import ConfigError, DivergedError, TextError
from charloom.evaluation import interval_of_blocks
from charloom.report.ablation_plot import ablation_figure
from charloom.text import Corpus
from ngram_models import ngram_model
from small_runs import ENGINES, TEXT
from test_neurons import STORY, lively
from test_unit_clamps import CELLS, lively_model, overwritten_nats

LONG = STORY * 25  # more than 9,000 characters, so that there are intervals


def model_of(cell="lstm", engine="auto", **settings):
    """Return a model that was trained on a text in memory. The engine `auto` is quick where it can be."""
    corpus = Corpus.from_text(LONG, "story")
    return Model(lively(cell, **settings), open_engine(engine), corpus=corpus)


def by_unit(result):
    """Return the cost of each unit by its address."""
    return {(cost.layer, cost.unit): cost for cost in result.costs}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("cell", CELLS)
def test_the_costs_are_those_of_weights_that_are_zeroed_by_hand(cell, engine):
    model = model_of(cell, engine)
    result = ablate(model, string=STORY)
    base = model.evaluate(string=STORY).bits
    assert len(result.costs) == 10
    for (layer, unit), cost in by_unit(result).items():
        weights = {name: array.copy() for name, array in model.parameters.items()}
        weights[f"layers.{layer}.W"][:, unit] = 0
        weights["layers.1.U" if layer == 0 else "V"][:, unit] = 0
        surgery = Model(dataclasses.replace(model.learner, parameters=weights), model.engine)
        expected = surgery.evaluate(string=STORY).bits - base
        assert cost.bits == pytest.approx(expected, abs=1e-12)
        assert cost.value == 0


@pytest.mark.parametrize("cell", CELLS)
def test_the_costs_of_means_are_those_of_units_that_the_oracle_overwrites(cell):
    model, text = lively_model(cell), STORY[:60]
    means = model.activity(text[:-1]).values.mean(axis=0)
    costs = by_unit(ablate(model, string=text, held="mean"))
    base = np.mean(overwritten_nats(model, text, []))
    for layer, unit in [(0, 1), (1, 4)]:
        value = means[layer, unit]
        nats = np.mean(overwritten_nats(model, text, [(layer, unit, value)]))
        assert costs[layer, unit].value == pytest.approx(value, abs=1e-12)
        assert costs[layer, unit].bits == pytest.approx((nats - base) / np.log(2), abs=1e-10)


def test_the_interval_is_the_bootstrap_of_the_paired_differences():
    model = model_of()
    cost = ablate(model, string=LONG, characters=len(LONG), layer=1, unit=2).costs[0]
    nats = [np.asarray(one.score(LONG).nats[1:], float) for one in (model, model.clamp(1, 2, 0))]
    more = nats[1] - nats[0]
    # `score` reads one stream, and the ablation several, so the first characters of a piece differ a little.
    sums = [more[n : n + 1_000].sum() for n in range(0, len(more), 1_000)]
    expected = interval_of_blocks(np.array(sums), len(more), 0)
    assert cost.interval == pytest.approx(expected, abs=2e-3)
    assert cost.interval[0] < cost.bits < cost.interval[1]


def test_a_unit_that_nothing_reads_costs_nothing_and_the_list_is_sorted():
    model = model_of(layers=1)
    model.parameters["layers.0.W"][:, 3] = 0
    model.parameters["V"][:, 3] = 0
    result = ablate(model, characters=500)
    bits = [cost.bits for cost in result.costs]
    assert by_unit(result)[0, 3].bits == 0
    assert bits == sorted(bits, reverse=True)
    assert bits[0] > 0.01
    assert result.characters <= 500


def test_the_number_of_threads_does_not_change_the_result(monkeypatch):
    model = model_of("gru")
    found = []
    for processors in (1, 3):
        monkeypatch.setattr(unit_ablation, "processors", lambda n=processors: n)
        found.append(ablate(model, characters=900).to_json())
    assert found[0] == found[1]


def test_an_interrupted_ablation_stops_its_threads():
    model = model_of()
    choice = unit_ablation.choose(model.learner, what="h")
    part = unit_ablation.open_search_text(model, unit_ablation.TextChoice()).part
    done = []

    def interrupt(count, units):
        done.append(count)
        raise KeyboardInterrupt

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        unit_ablation.unit_costs(model, part, choice, "zero", 2_000, report=interrupt)
    assert len(done) == 1
    assert threading.active_count() == before


def test_a_model_with_ngrams_and_a_short_text_has_no_interval():
    result = charloom.ablate(ngram_model(), string=TEXT[:300], held="mean")
    assert len(result.costs) == 6
    assert {cost.interval for cost in result.costs} == {None}
    assert "Cost of each unit" in result._repr_html_()
    assert json.loads(json.dumps(result.to_json()))["held"] == "mean"


def test_the_plot_names_the_first_units():
    result = ablate(model_of(), characters=300)
    (axes,) = ablation_figure(result.costs, "zero").axes
    first = result.costs[0]
    assert axes.texts[0].get_text() == f"{first.layer}:{first.unit}"
    assert len(axes.lines[0].get_xdata()) == 10


def test_what_cannot_be_ablated_is_refused():
    model = model_of()
    with pytest.raises(ConfigError, match="held"):
        ablate(model, held="one")
    with pytest.raises(ConfigError, match="characters"):
        ablate(model, characters=0)
    with pytest.raises(ConfigError, match="units 0 to 4"):
        ablate(model, unit=5)
    with pytest.raises(TextError):
        ablate(model, string="a")
    model.parameters["V"][...] = np.nan
    with pytest.raises(DivergedError):
        ablate(model)
