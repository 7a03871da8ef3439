"""Tests of `charloom.neurons`: units' values are right, and units that follow a property are found."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import charloom
from charloom.cell_table import CELL_NAMES
from charloom.config import Config
from charloom.engines import open_engine
from charloom.engines.reference import ReferenceEngine, network
from charloom.errors import ConfigError, DivergedError, TextError, UnknownCharacterError
from charloom.hidden_units import (
    Property,
    blocks,
    choose,
    gates,
    named,
    rank,
    unit_values,
)
from charloom.hidden_units.correlation import Correlation
from charloom.hidden_units.gate_values import value_names
from charloom.model import copy_learner, new_learner, zero_state
from charloom.model.input_pairs import PAIRS, most_frequent_pairs
from charloom.model.recent_ids import pair_rows_of
from charloom.pytorch_state_dict import to_state_dict
from charloom.text import Vocabulary
from small_runs import ENGINES, TEXT, train

LETTERS = "abcdefgh \n“”"
STORY = "a bad “cab had” egg\n“aged” hag fed “a\nhe” cage a bag he had\n" * 8


def lively(cell, layers=2, hidden_size=5, characters=LETTERS, **settings):
    """Return a small float64 network with large activations."""
    config = Config(
        hidden_size=hidden_size, layers=layers, sigma=0.7, dtype="float64", cell=cell, **settings
    )
    learner = new_learner(config, Vocabulary(characters, config.tokens))
    rng = np.random.default_rng(3)
    for name, parameter in learner.parameters.items():
        if name.endswith((".b", ".d")):
            parameter[:] = rng.normal(size=parameter.shape)
    return learner


def latch(hidden_size=6, dtype="float64", layers=1):
    """Return a plain network with three constructed units in layer 0; the others are random.

    Unit 0 is 1 from “ up to the closing ”, and -1 elsewhere. Unit 1 is 1 at a line feed. Unit 2
    never changes.
    """
    config = Config(hidden_size=hidden_size, sigma=0.7, dtype=dtype, layers=layers, seed=4)
    learner = new_learner(config, Vocabulary(LETTERS))
    U, W, b = (learner.parameters[f"layers.0.{name}"] for name in "UWb")
    U[:3], W[:3], W[:, :3], b[:3] = 0, 0, 0, 0
    ids = {character: place for place, character in enumerate(learner.vocabulary.characters)}
    W[0, 0], b[0], U[0, ids["“"]], U[0, ids["”"]] = 5, -1, 10, -10
    b[1], U[1, ids["\n"]] = -5, 10
    return learner


def all_values(learner, ids, engine=None):
    """Return every value of every unit, shape (N, whats, layers, units)."""
    return np.concatenate(list(blocks(learner, engine or ReferenceEngine(), ids, choose(learner))))


def reference_values(learner, ids):
    """Return the same values from the cache that the reference keeps for the backward pass."""
    cells, carried = network.cells_of(learner.parameters, learner.config.cell), None
    carried = network.unstack(zero_state(learner.config))
    x = ids[:, np.newaxis]
    pairs = pair_rows_of(learner, x, zero_state(learner.config))
    found = []
    for n in range(len(ids)):
        read = network.characters_at(n, x, pairs)
        carried, _, caches = network.step(cells, read, carried)
        rows = []
        for state, (_, cache) in zip(carried, caches, strict=True):
            states = [state[name][0] for name in ("h", "cell") if name in state]
            kept = {"rnn": 0, "lstm": 4, "gru": 3}[learner.config.cell]
            rows.append([*states, *(array[0] for array in cache[:kept])])
        found.append(np.swapaxes(np.array(rows), 0, 1))
    return np.array(found)


# Values


@pytest.mark.parametrize("cell", CELL_NAMES)
@pytest.mark.parametrize("engine", ENGINES)
def test_values_equal_those_of_the_references_steps(cell, engine, monkeypatch):
    learner = lively(cell)
    ids = learner.vocabulary.encode(STORY[:150])
    wanted = reference_values(learner, ids)
    assert wanted.shape == (150, len(value_names(cell)), 2, 5)
    for most in (1, 7, 4_096):
        monkeypatch.setattr(unit_values, "LEAST_TOKENS", 1)
        monkeypatch.setattr(unit_values, "MOST_TOKENS", most)
        found = all_values(learner, ids, open_engine(engine))
        assert np.abs(found - wanted).max() < 1e-12


@pytest.mark.parametrize("cell", CELL_NAMES)
@pytest.mark.parametrize("engine", ENGINES)
def test_values_of_a_network_with_pairs_equal_those_of_the_references_steps(
    cell, engine, monkeypatch
):
    learner = lively(cell, input_pairs=30)
    ids = learner.vocabulary.encode(STORY[:150])
    P = learner.parameters[PAIRS]
    learner.pairs = most_frequent_pairs(
        lambda a, b: ids[a:b], [(0, 100)], len(P), len(learner.vocabulary)
    )
    P[...] = np.random.default_rng(4).normal(0, 1, P.shape)
    wanted = reference_values(learner, ids)
    monkeypatch.setattr(unit_values, "LEAST_TOKENS", 1)
    for most in (1, 7, 4_096):
        monkeypatch.setattr(unit_values, "MOST_TOKENS", most)
        found = all_values(learner, ids, open_engine(engine))
        assert np.abs(found - wanted).max() < 1e-12
    P[...] = 0
    assert np.abs(all_values(learner, ids) - wanted).max() > 0.1


def test_a_planted_error_in_a_gate_is_caught():
    """The error exchanges two gates, or uses h of the same step instead of the previous step."""
    learner = lively("lstm")
    ids = learner.vocabulary.encode(STORY[:50])
    wanted = reference_values(learner, ids)
    h = wanted[:, 0, 0]
    before = np.concatenate([np.zeros((1, 5)), h[:-1]])
    right = gates("lstm", learner.parameters, 0, ids, before)
    assert np.abs(right["i"] - wanted[:, 2, 0]).max() < 1e-12
    assert np.abs(right["f"] - wanted[:, 2, 0]).max() > 0.1
    late = gates("lstm", learner.parameters, 0, ids, h)
    assert np.abs(late["i"] - wanted[:, 2, 0]).max() > 0.1


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_pytorchs_outputs_can_be_computed_from_the_gates(cell):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    learner = lively(cell, layers=1)
    ids = learner.vocabulary.encode(STORY[:100])
    K, H = len(learner.vocabulary), 5
    module = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[cell](K, H).double()
    given = to_state_dict(learner)
    module.load_state_dict(
        {
            name: torch.tensor(given[next(key for key in given if key.endswith(name))])
            for name in module.state_dict()
        }
    )
    x = torch.nn.functional.one_hot(torch.tensor(ids.astype(np.int64)), K).double()[:, None]
    with torch.no_grad():
        h = module(x)[0][:, 0].numpy()
    found = gates(cell, learner.parameters, 0, ids, np.concatenate([np.zeros((1, H)), h[:-1]]))
    before, cell_before = np.zeros(H), np.zeros(H)
    for n in range(len(ids)):
        gate = {name: array[n] for name, array in found.items()}
        if cell == "gru":
            before = (1 - gate["z"]) * gate["n"] + gate["z"] * before
        else:
            cell_before = gate["f"] * cell_before + gate["i"] * gate["g"]
            before = gate["o"] * np.tanh(cell_before)
        assert np.abs(before - h[n]).max() < 1e-12


@pytest.mark.parametrize("engine", ENGINES)
def test_activity_has_the_selected_units_at_each_character(engine):
    model = charloom.Model(lively("gru"), open_engine(engine))
    whole = model.activity(STORY[:40], what="z")
    assert "".join(whole.characters) == STORY[:40]
    assert whole.values.shape == (40, 2, 5)
    one = model.activity(STORY[:40], layer=1, unit=3, what="z")
    assert (one.layers, one.units, one.what) == ((1,), (3,), "z")
    assert (one.values[:, 0, 0] == whole.values[:, 1, 3]).all()
    values = json.loads(json.dumps(one.to_json()))
    assert values["values"] == one.values.tolist()
    assert values["characters"] == list(STORY[:40])


def test_reading_does_not_change_the_model():
    learner = lively("lstm")
    learner.state["h"] += 0.5
    before = copy_learner(learner)
    all_values(learner, learner.vocabulary.encode(STORY))
    for name, array in before.parameters.items():
        assert (array == learner.parameters[name]).all()
    assert (before.state["h"] == learner.state["h"]).all()


def test_in_a_byte_model_a_character_has_the_values_after_its_last_byte():
    learner = lively("gru", characters=map(chr, range(256)), tokens="bytes")
    ids = learner.vocabulary.encode("aé€b")  # 1, 2, 3 and 1 bytes
    model = charloom.Model(learner, ReferenceEngine())
    activity = model.activity("aé€b")
    assert activity.characters == ("a", "é", "€", "b")
    wanted = all_values(learner, ids)[[0, 2, 5, 6], 0]
    assert (activity.values == wanted).all()


def test_layers_units_and_values_that_the_model_lacks_are_refused():
    model = charloom.Model(lively("gru"), ReferenceEngine())
    for wrong, sentence in (
        ({"layer": 2}, "layer is 2, but this model has layers 0 to 1"),
        ({"unit": 5}, "unit is 5, but this model has units 0 to 4"),
        ({"unit": -1}, "has units 0 to"),
        ({"what": "cell"}, "have only h, r, z, n"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            model.activity("abc", **wrong)
        with pytest.raises(ConfigError, match=sentence):
            charloom.neurons(model, string=STORY, **wrong)
    with pytest.raises(TextError, match="is empty"):
        model.activity("")
    with pytest.raises(UnknownCharacterError):
        model.activity("xyz")
    assert model.activity("axb", unknown="skip").unknowns.total == 1


def test_a_model_that_is_not_finite_is_refused():
    learner = lively("lstm")
    learner.parameters["layers.1.b"][:] = np.nan
    with pytest.raises(DivergedError):
        all_values(learner, learner.vocabulary.encode("abc"))


# Correlation


def correlated(rows, columns, cuts):
    """Return the coefficients after adding the characters in pieces."""
    found = Correlation(len(rows), columns.shape[1])
    for low, high in zip([0, *cuts], [*cuts, len(columns)], strict=True):
        found.add(rows[:, low:high], columns[low:high])
    return found.coefficients()


@given(st.integers(0, 2**32), st.lists(st.integers(1, 59), max_size=6, unique=True))
def test_with_any_block_sizes_the_result_is_numpys_correlation(seed, cuts):
    rng = np.random.default_rng(seed)
    rows, columns = rng.normal(size=(3, 60)), rng.normal(size=(60, 4)) * [1, 1e-6, 1e6, 3]
    columns += [0, 1, -1e6, 1e3]  # far from zero
    columns[:, 0] += rows[1]
    wanted = np.corrcoef(rows, columns.T)[:3, 3:]
    assert np.abs(correlated(rows, columns, sorted(cuts)) - wanted).max() < 1e-9


def test_a_constant_has_no_correlation():
    rows = np.stack([np.arange(50.0), np.full(50, 0.1), np.arange(50.0) % 2])
    columns = np.stack([np.full(50, 0.7), np.arange(50.0) ** 2], axis=1)
    found = correlated(rows, columns, [13, 14])
    assert np.isnan(found[1]).all()
    assert np.isnan(found[:, 0]).all()
    assert np.isfinite(found[[0, 2], 1]).all()
    assert correlated(rows, 3 - 2 * rows.T, [20])[0, 0] == -1


def test_a_planted_shift_is_caught():
    """A property that is late by one character has another correlation."""
    rng = np.random.default_rng(0)
    columns = rng.normal(size=(60, 1))
    assert correlated(columns.T, columns, [30])[0, 0] == pytest.approx(1, abs=1e-12)
    assert abs(correlated(np.roll(columns.T, 1), columns, [30])[0, 0]) < 0.5


# Ranking


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_unit_that_is_constructed_to_follow_quotes_is_found(engine, dtype):
    model = charloom.Model(latch(dtype=dtype), open_engine(engine))
    found = charloom.neurons(
        model, string=STORY, properties=["in-quotes", "after-newline", "digit"], top=2
    )
    quotes, newline, digit = found.findings
    assert (quotes.units[0].layer, quotes.units[0].unit, quotes.units[0].what) == (0, 0, "h")
    assert quotes.units[0].r > 0.99
    assert quotes.units[0].r > 2 * abs(quotes.units[1].r)
    assert quotes.by_chance < 0.7
    assert quotes.mean == pytest.approx(np.mean(named(["in-quotes"])[0].measure(STORY)))
    assert (newline.units[0].unit, len(newline.units)) == (1, 2)
    assert newline.units[0].r > 0.99
    assert (digit.units, digit.by_chance, digit.mean) == ((), None, 0)
    assert "differs nowhere" in digit.why_none


def test_a_pattern_without_a_match_says_so():
    model = charloom.Model(latch(), ReferenceEngine())
    for regex in ("zebra", "z*"):  # the second matches only empty strings
        (finding,) = charloom.neurons(model, string=STORY, pattern=regex).findings
        assert (finding.units, finding.mean) == ((), 0)
        assert finding.why_none == "the pattern matches nothing in the text"
    (finding,) = charloom.neurons(model, string=STORY, pattern="(?s).").findings
    assert "differs nowhere" in finding.why_none


def test_a_unit_that_follows_quotes_one_character_late_has_a_lower_correlation():
    """The value after the character counts, not the value before it."""
    model = charloom.Model(latch(), ReferenceEngine())
    (finding,) = charloom.neurons(model, string=STORY, properties=["in-quotes"], unit=0).findings
    late = Property("late", "", lambda text: np.roll(named(["in-quotes"])[0].measure(text), 1))
    ids = model.vocabulary.encode(STORY)
    choice = choose(model.learner, unit=0)
    (shifted,) = rank(model.learner, model.engine, [ids], [late], choice, 1)
    assert shifted.units[0].r < finding.units[0].r - 0.1


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_r_is_numpys_correlation_for_every_unit_and_units_are_in_order(cell, monkeypatch):
    monkeypatch.setattr(unit_values, "MOST_TOKENS", 37)
    learner = lively(cell)
    model = charloom.Model(learner, ReferenceEngine())
    everything = len(value_names(cell)) * 2 * 5
    found = charloom.neurons(model, string=STORY, properties=["vowel"], top=2 * everything)
    (finding,) = found.findings
    whole = all_values(learner, learner.vocabulary.encode(STORY))
    measured = named(["vowel"])[0].measure(STORY).astype(np.float64)
    wanted = {
        (layer, unit, what): np.corrcoef(measured, whole[:, place, layer, unit])[0, 1]
        for place, what in enumerate(value_names(cell))
        for layer in range(2)
        for unit in range(5)
    }
    assert len(finding.units) == everything
    for unit in finding.units:
        assert unit.r == pytest.approx(wanted[unit.layer, unit.unit, unit.what], abs=1e-10)
    sizes = [abs(unit.r) for unit in finding.units]
    assert sizes == sorted(sizes, reverse=True)
    turned = [np.roll(measured, -int(len(STORY) * n)) for n in (0.618034, 0.236068, 0.854102)]
    chance = max(
        abs(np.corrcoef(row, whole.reshape(len(STORY), -1)[:, column])[0, 1])
        for row in turned
        for column in range(everything)
    )
    assert finding.by_chance == pytest.approx(chance, abs=1e-10)


def test_equal_units_keep_their_order():
    learner = latch()
    for name in "UWb":
        parameter = learner.parameters[f"layers.0.{name}"]
        parameter[5] = parameter[1]
    learner.parameters["layers.0.W"][5] = 0
    found = charloom.neurons(
        charloom.Model(learner, ReferenceEngine()), string=STORY, properties=["after-newline"]
    )
    assert [unit.unit for unit in found.findings[0].units[:2]] == [1, 5]


def test_a_unit_that_never_changes_is_not_ranked():
    model = charloom.Model(latch(hidden_size=3), ReferenceEngine())
    found = charloom.neurons(model, string=STORY, properties=["vowel"], top=9)
    assert sorted(unit.unit for unit in found.findings[0].units) == [0, 1]
    alone = charloom.neurons(model, string=STORY, properties=["vowel"], unit=2)
    assert alone.findings[0].units == ()
    assert "ever changed" in alone.findings[0].why_none


def test_units_and_values_can_be_selected():
    model = charloom.Model(lively("lstm"), ReferenceEngine())
    found = charloom.neurons(model, string=STORY, layer=1, what="f", top=99)
    for finding in found.findings:
        assert {(unit.layer, unit.what) for unit in finding.units} in ({(1, "f")}, set())
    (finding,) = charloom.neurons(
        model, string=STORY, layer=0, unit=2, properties="vowel", top=99
    ).findings
    assert {(u.layer, u.unit) for u in finding.units} == {(0, 2)}
    assert {u.what for u in finding.units} == set(value_names("lstm"))


def test_a_pattern_and_marks_are_properties_too():
    model = charloom.Model(latch(), ReferenceEngine())
    found = charloom.neurons(model, string=STORY, pattern="“[^”]*", top=1)
    (finding,) = found.findings
    assert (finding.property, finding.units[0].unit) == ("pattern", 0)
    assert "“[^”]*" in finding.description
    spans = [(n, n + 6) for n in range(6, len(STORY) - 8, len(STORY) // 8)]
    both = charloom.neurons(model, string=STORY, properties=["in-quotes"], spans=spans)
    assert [finding.property for finding in both.findings] == ["in-quotes", "marked"]
    with pytest.raises(ConfigError, match="ends after the 120 characters"):
        charloom.neurons(model, string=STORY, spans=[(0, 121)], limit=120)


def test_a_short_text_is_refused_and_a_rare_property_gets_no_units():
    model = charloom.Model(latch(), ReferenceEngine())
    with pytest.raises(TextError, match=r"has 99 characters; give at least 100"):
        charloom.neurons(model, string=STORY[:99])
    with pytest.raises(TextError, match="has 99 characters"):
        charloom.neurons(model, string=STORY, limit=99)
    rare = "a b" * 50 + "“abc”" + "a b" * 50
    (finding,) = charloom.neurons(model, string=rare, properties=["in-quotes"]).findings
    assert finding.units == ()
    assert "at 4 of 305 characters" in finding.why_none


def test_only_limit_characters_are_read():
    model = charloom.Model(latch(), ReferenceEngine())
    some = charloom.neurons(model, string=STORY, limit=200)
    assert some.characters == 200
    assert some.findings == charloom.neurons(model, string=STORY[:200]).findings


def test_bytes_are_ranked_by_character():
    text = "a“bé” c\n" * 30
    learner = lively("rnn", characters=map(chr, range(256)), tokens="bytes", layers=1)
    (finding,) = charloom.neurons(
        charloom.Model(learner, ReferenceEngine()), string=text, properties=["in-quotes"], top=9
    ).findings
    ids = learner.vocabulary.encode(text)
    ends = np.cumsum([len(character.encode()) for character in text]) - 1
    whole = all_values(learner, ids)[ends, 0, 0]
    measured = named(["in-quotes"])[0].measure(text)
    for unit in finding.units:
        wanted = np.corrcoef(measured, whole[:, unit.unit])[0, 1]
        assert unit.r == pytest.approx(wanted, abs=1e-10)
    assert finding.mean == pytest.approx(measured.mean())


def test_bytes_that_are_not_utf8_are_ranked_too():
    learner = lively("rnn", characters=["a", " ", "\xc3", "\xe2"], tokens="bytes", layers=1)
    found = charloom.neurons(
        charloom.Model(learner, ReferenceEngine()), string="aé a€a " * 40, unknown="skip"
    )
    assert found.unknown == 120
    assert any(finding.units for finding in found.findings)


def test_a_property_that_returns_wrong_numbers_is_refused():
    model = charloom.Model(latch(), ReferenceEngine())
    ids, choice = model.vocabulary.encode(STORY), choose(model.learner)
    for wrong in (
        Property("short", "", lambda _: np.zeros(3)),
        Property("none", "", lambda text: np.full(len(text), np.nan)),
    ):
        with pytest.raises(ConfigError, match=f"the property {wrong.name}"):
            rank(model.learner, model.engine, [ids], [wrong], choice, 1)


def test_several_texts_are_read_separately():
    learner = latch()
    halves = [learner.vocabulary.encode(part) for part in (STORY[:200], STORY[200:])]
    (finding,) = rank(
        learner, ReferenceEngine(), halves, named(["vowel"]), choose(learner, unit=3), 1
    )
    whole = np.concatenate([all_values(learner, ids)[:, 0, 0, 3] for ids in halves])
    measured = named(["vowel"])[0].measure(STORY)
    wanted = np.corrcoef(measured, whole)[0, 1]
    assert finding.units[0].r == pytest.approx(wanted, abs=1e-10)


# The Python interface


def test_findings_are_frozen_and_can_be_written_as_json():
    found = charloom.neurons(charloom.Model(latch(), ReferenceEngine()), string=STORY)
    values = json.loads(json.dumps(found.to_json()))
    assert values["characters"] == len(STORY)
    assert [row["property"] for row in values["findings"]] == [f.property for f in found.findings]
    first = found.findings[0].units[0]
    assert values["findings"][0]["units"][0] == dataclasses.asdict(first)
    for thing in (found, found.findings[0], first):
        with pytest.raises(dataclasses.FrozenInstanceError):
            thing.extra = 1


def test_without_a_text_the_validation_part_is_read(tmp_path):
    train(tmp_path / "run", epochs=1, validation=0.3)
    model = charloom.load(tmp_path / "run", engine="reference")
    found = charloom.neurons(model)
    assert found.split == "validation"
    assert found.characters == len(TEXT) - int(0.7 * len(TEXT))
    assert found.findings == charloom.neurons(tmp_path / "run").findings or ENGINES != ["reference"]


def test_a_part_in_many_streams_is_read_stream_by_stream(tmp_path):
    train(tmp_path / "run", epochs=1, validation=0.4, batch_size=3, split="streams", seq_length=5)
    model = charloom.load(tmp_path / "run", engine="reference")
    found = charloom.neurons(model, properties=["vowel"])
    assert found.characters > 100
    with pytest.raises(ConfigError, match="must be in one continuous text"):
        charloom.neurons(model, spans=[(0, 20)])


def test_a_model_without_its_text_reads_a_built_in_one():
    model = charloom.Model(latch(), ReferenceEngine())
    found = charloom.neurons(model, limit=300, properties=["vowel"])
    assert found.text in ("kjv-nt", "python-docs")
    assert "built-in text" in found.notes[0]
    assert "skipped" in found.notes[-1]
    assert found.characters == 300
    with pytest.raises(
        TextError, match="not in a run directory, so the text that it was trained on is not known"
    ):
        charloom.neurons(model, split="train")


def test_the_boundaries_of_items_have_no_value_of_a_property_and_shift_no_other():
    learner = new_learner(
        Config(hidden_size=4, sigma=0.8, dtype="float64"), Vocabulary("abcd", items=True)
    )
    drawn = np.random.default_rng(0).integers(0, 5, 400).astype(learner.vocabulary.id_dtype)
    ids = np.concatenate([[4], drawn, [4]]).astype(drawn.dtype)
    is_a = Property("is-a", "the letter a", lambda text: np.array([c == "a" for c in text], float))
    choice = choose(learner)
    (found,) = rank(learner, ReferenceEngine(), [ids], [is_a], choice, 4)
    values = np.concatenate(list(blocks(learner, ReferenceEngine(), ids, choice)))
    h = values.reshape(len(ids), -1)[ids != 4]
    expected = [np.corrcoef(h[:, n], drawn[drawn != 4] == 0)[0, 1] for n in range(4)]
    for unit in found.units:
        assert unit.r == pytest.approx(expected[unit.unit], rel=1e-9)
