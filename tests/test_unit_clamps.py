"""Tests of held units: the network computes as if the unit's h were overwritten after every step."""

import dataclasses
import itertools
import math

import numpy as np
import pytest

import oracle
from charloom import ablate, fixed_points, import_model, load, train
from charloom.api.model import Model
from charloom.engines import open_engine
from charloom.errors import ConfigError, DamagedError
from charloom.model import new_learner, zero_state
from charloom.model.clamp import Clamp
from charloom.model.input_pairs import PAIRS, most_frequent_pairs
from charloom.model.unit_clamps import clamped, is_held
from charloom.pytorch_state_dict import to_state_dict
from charloom.store.held_units import parse_held
from ngram_models import ngram_model
from small_runs import ENGINES, small_corpus
from test_neurons import LETTERS, STORY, lively

CELLS = ("rnn", "lstm", "gru")
CLAMPS = [(0, 2, 0.0), (0, 1, 0.7), (1, 3, -0.4), (1, 0, 0.0)]


def lively_model(cell, engine="reference", dtype="float64"):
    """Return a model with two layers, large activations and a learned input for pairs."""
    learner = lively(cell, input_pairs=30)
    ids = learner.vocabulary.encode(STORY)
    K = len(learner.vocabulary)
    learner.pairs = most_frequent_pairs(lambda a, b: ids[a:b], [(0, len(ids))], 30, K)
    rng = np.random.default_rng(5)
    learner.parameters[PAIRS][...] = rng.normal(size=learner.parameters[PAIRS].shape)
    learner.config = learner.config.replace(dtype=dtype)
    for arrays in (learner.parameters, learner.state):
        arrays |= {n: a.astype(dtype) if a.dtype == "f8" else a for n, a in arrays.items()}
    return Model(learner, open_engine(engine))


def held(model, clamps):
    """Return the model with all of the units held."""
    for clamp in clamps:
        model = model.clamp(*clamp)
    return model


def overwritten_nats(model, text, clamps):
    """Return the nats of text[1:] by the oracle, with the h of the units overwritten before and after each step."""
    learner, cell = model.learner, model.config.cell
    p = {n: oracle.each(a.tolist(), oracle.Number) for n, a in learner.parameters.items()}
    H, L = learner.config.hidden_size, learner.config.layers
    ids = learner.vocabulary.encode(text).astype(np.int32)
    rows = learner.pairs.rows(np.array([-1, *ids[:-1]], dtype=np.int32), ids).tolist()
    hs = [[oracle.Number(0.0) for _ in range(H)] for _ in range(L)]
    cs = [[oracle.Number(0.0) for _ in range(H)] for _ in range(L)]

    def overwrite(layer):
        for at, unit, value in clamps:
            if at == layer:
                hs[layer][unit] = oracle.Number(value)

    for layer in range(L):
        overwrite(layer)
    nats = []
    for x, row, y in zip(ids[:-1].tolist(), rows[:-1], ids[1:].tolist(), strict=True):
        below = x
        for layer in range(L):
            place = row if layer == 0 else -1
            hs[layer], cs[layer] = oracle.step(cell, p, layer, below, hs[layer], cs[layer], place)
            overwrite(layer)
            below = hs[layer]
        logits = [o.value for o in oracle.logits(p, below)]
        nats.append(math.log(sum(map(math.exp, logits))) - logits[y])
    return np.array(nats)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("cell", CELLS)
def test_held_units_equal_units_that_the_oracle_overwrites(cell, engine):
    model, text = lively_model(cell, engine), STORY[:40]
    expected = overwritten_nats(model, text, CLAMPS)
    found = held(model, CLAMPS).score(text).nats[1:]
    np.testing.assert_allclose(np.asarray(found, dtype=float), expected, rtol=1e-10, atol=1e-11)
    assert np.abs(np.asarray(model.score(text).nats[1:], float) - expected).max() > 0.01


@pytest.mark.parametrize("cell", CELLS)
def test_held_units_equal_units_that_are_overwritten_in_pytorch(cell):
    torch = pytest.importorskip("torch")
    model = Model(lively(cell), open_engine("reference"))
    kinds = {"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}
    K, H = len(LETTERS), 5
    stack = torch.nn.ModuleList(
        [kinds[cell](K, H, dtype=torch.float64), kinds[cell](H, H, dtype=torch.float64)]
    )
    weights = {n: torch.tensor(a) for n, a in to_state_dict(model.learner).items()}
    for layer, module in enumerate(stack):
        own = {
            n.replace(f"_l{layer}", "_l0").split(".")[-1]: w
            for n, w in weights.items()
            if n.endswith(f"_l{layer}")
        }
        module.load_state_dict(own)
    p = {n: torch.tensor(a) for n, a in model.parameters.items()}
    state = [torch.zeros(2 if cell == "lstm" else 1, 1, H, dtype=torch.float64) for _ in range(2)]
    ids = model.vocabulary.encode(STORY[:60]).tolist()

    def overwrite(layer):
        for at, unit, value in CLAMPS:
            if at == layer:
                state[layer][0, 0, unit] = value

    nats = []
    with torch.no_grad():
        overwrite(0), overwrite(1)
        for x, y in itertools.pairwise(ids):
            below = torch.nn.functional.one_hot(torch.tensor([[x]]), K).to(torch.float64)
            for layer, module in enumerate(stack):
                before = state[layer]
                given = (before[:1], before[1:]) if cell == "lstm" else before
                _, after = module(below, given)
                state[layer] = torch.cat(after) if cell == "lstm" else after.clone()
                overwrite(layer)
                below = state[layer][:1]
            logits = p["V"] @ below[0, 0] + p["c"]
            nats.append(float(torch.logsumexp(logits, 0) - logits[y]))
    found = held(model, CLAMPS).score(STORY[:60]).nats[1:]
    np.testing.assert_allclose(np.asarray(found, float), nats, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("cell", CELLS)
def test_a_unit_held_at_zero_equals_zeroed_weights_bit_for_bit(cell, dtype, engine):
    model = lively_model(cell, engine, dtype=dtype)
    by_hand = dict(model.parameters)
    for name in ("layers.0.W", "layers.1.U"):
        by_hand[name] = by_hand[name].copy()
        by_hand[name][:, 2] = 0
    surgery = dataclasses.replace(model.learner, parameters=by_hand)
    expected = Model(surgery, model.engine).score(STORY).nats
    found = model.clamp(0, 2, 0).score(STORY).nats
    assert np.array_equal(np.asarray(found[1:]), np.asarray(expected[1:]))


@pytest.mark.parametrize("engine", ENGINES)
def test_the_weight_of_ngrams_reads_the_held_value(engine):
    model = ngram_model(engine, cell="gru")
    ids = model.corpus.ids[:80]
    weights = model.parameters["ngram.weight"][0]
    h, w = np.zeros(6), []
    # Unit 3 reads and is read by nothing else, so only the weight of the n-grams sees it.
    for name in ("layers.0.W", "V"):
        model.parameters[name][:, 3] = 0
    seen = model.activity("".join(model.vocabulary.decode(ids))).values[:, 0]
    for h in seen:
        h[3] = 0.9
        w.append(weights @ h + model.parameters["ngram.bias"][0])
    text = "".join(model.vocabulary.decode(ids))
    found = model.clamp(0, 3, 0.9).ngram_use(text).weights[1:]
    np.testing.assert_allclose(np.asarray(found, float), w[:-1], rtol=1e-10)


def test_activity_shows_the_held_value():
    model = held(lively_model("lstm"), CLAMPS)
    h = model.activity(STORY[:20]).values
    assert (h[:, 0, 1] == 0.7).all()
    assert (h[:, 1, 3] == -0.4).all()
    assert (h[:, 0, 2] == 0).all()
    assert not (h[:, 0, 0] == h[0, 0, 0]).all()
    assert (model.activity(STORY[:20], layer=1, unit=3).values == -0.4).all()
    assert (model.activity(STORY[:20], layer=0, unit=1, what="cell").values == 0).all()
    assert (model.activity(STORY[:20], layer=0, unit=1, what="g").values == 0).all()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("cell", CELLS)
def test_a_unit_stays_held_while_the_model_learns_from_the_text(cell, engine):
    """The unit neither learns nor is read: the same evaluation of a network without it has the same result."""
    model = Model(lively(cell, layers=1), open_engine(engine))
    small = new_learner(model.config.replace(hidden_size=4), model.vocabulary)
    cut = model.clamp(0, 4, 0.6)
    H = 5
    for name, parameter in small.parameters.items():
        whole = cut.parameters[name]
        if len(whole) % H == 0 and name != "V" and name != "c":
            whole = np.delete(whole, range(H - 1, len(whole), H), axis=0)
        if name in ("V", "layers.0.W"):
            whole = np.delete(whole, H - 1, axis=1)
        parameter[...] = whole
    alone = Model(small, model.engine).evaluate(string=STORY, dynamic=True)
    found = cut.evaluate(string=STORY, dynamic=True)
    assert found.nats == pytest.approx(alone.nats, rel=1e-9)


def test_a_held_model_can_be_saved_sampled_and_evaluated(tmp_path):
    model = held(lively_model("gru"), CLAMPS)
    again = load(model.save(tmp_path / "held.charloom"), engine="reference")
    assert again.evaluate(string=STORY).nats == model.evaluate(string=STORY).nats
    assert again.sample("a", 50, start="zero") == model.sample("a", 50, start="zero")
    assert "4 hidden units held" in repr(model)


def test_holding_a_unit_does_not_change_the_model():
    model = lively_model("lstm")
    before = {name: array.copy() for name, array in model.parameters.items()}
    model.learner.state = zero_state(model.config)
    model.learner.state["h"][...] = 0.5
    held(model, CLAMPS)
    for name, array in model.parameters.items():
        assert np.array_equal(array, before[name])
    assert (model.learner.state["h"] == 0.5).all()
    assert model.clamps == ()


def test_the_order_of_clamps_does_not_matter():
    model = lively_model("lstm")
    one, other = held(model, CLAMPS), held(model, CLAMPS[::-1])
    for name, array in one.parameters.items():
        np.testing.assert_allclose(array, other.parameters[name], atol=1e-15)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((2, 0, 0), "layers 0 to 1"),
        ((0, 5, 0), "units 0 to 4"),
        ((0, 0, math.nan), "value"),
        ((0, 0, "high"), "value"),
    ],
)
def test_a_unit_that_does_not_exist_or_a_value_that_is_no_number_is_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        lively_model("rnn").clamp(*arguments)


def test_a_unit_is_not_held_twice():
    model = lively_model("rnn").clamp(0, 1, 0.25)
    with pytest.raises(ConfigError, match=r"already held at 0\.25"):
        model.clamp(0, 1, 0)


def test_the_ngrams_alone_have_no_held_unit():
    assert ngram_model().clamp(0, 1, 0).ngrams_alone().clamps == ()
    assert ngram_model().clamp(0, 1, 0).network_alone().clamps == (Clamp(0, 1, 0.0),)


def test_the_state_from_which_a_text_begins_has_the_unit_at_zero():
    learner = new_learner(lively("lstm").config, small_corpus().vocabulary)
    for array in learner.state.values():
        array[...] = 0.5
    state = clamped(learner, Clamp(1, 2, 0.3)).state
    assert (state["h"][1, :, 2] == 0).all()
    assert (state["cell"][1, :, 2] == 0).all()
    assert state["h"].sum() == learner.state["h"].sum() - 0.5 * learner.state["h"].shape[1]


def assert_remembers(again, model):
    """Assert that `again`, which has the weights of `model`, knows the units that `model` holds."""
    assert again.clamps == model.clamps == tuple(Clamp(*clamp) for clamp in CLAMPS)
    for layer, unit, value in CLAMPS:
        assert (again.activity(STORY, layer=layer, unit=unit).values == value).all()
    with pytest.raises(ConfigError, match=r"unit 1 of layer 0 is already held at 0\.7"):
        again.clamp(0, 1, -0.5)


@pytest.mark.parametrize("cell", CELLS)
def test_a_saved_model_remembers_its_held_units(cell, tmp_path):
    model = held(lively_model(cell), CLAMPS)
    again = load(model.save(tmp_path / "held.safetensors"), engine="reference")
    assert_remembers(again, model)
    assert "4 hidden units held" in repr(again)


def test_a_model_that_was_exported_to_pytorch_and_imported_remembers_its_held_units(tmp_path):
    model = lively_model("gru")
    model.learner.pairs = None
    del model.parameters[PAIRS]
    model.learner.config = model.config.replace(input_pairs=0)
    model = held(model, CLAMPS)
    path = model.export(tmp_path / "held.torch.safetensors")
    again = import_model(path)
    assert_remembers(again, model)
    assert load(again.save(tmp_path / "back.safetensors")).clamps == model.clamps


@pytest.mark.parametrize("cell", CELLS)
def test_a_run_from_a_held_model_remembers_its_units_and_keeps_them_held(cell, tmp_path):
    model = held(lively_model(cell), CLAMPS)
    trained = train(
        string=STORY * 9,
        run=tmp_path / "run",
        from_model=model.save(tmp_path / "held.safetensors"),
        updates=20,
        weight_decay=0.1,
        unknown="skip",
    )
    for again in (trained, load(tmp_path / "run")):
        assert again.update == 20
        assert_remembers(again, held(lively_model(cell), CLAMPS))
        assert all(is_held(again.learner, clamp) for clamp in again.clamps)


def test_a_unit_that_a_weight_reads_again_is_not_saved_as_held(tmp_path):
    model = lively_model("rnn").clamp(0, 1, 0.7).clamp(1, 3, 0.2)
    model.parameters["layers.1.U"][2, 1] = 1
    assert load(model.save(tmp_path / "changed.safetensors")).clamps == (Clamp(1, 3, 0.2),)


@pytest.mark.parametrize(
    "planted",
    [
        [],
        {},
        [[0, 1]],
        [[0, 1, 0.7], [0, 1, 0.7]],
        [[2, 1, 0.7]],
        [[0, 5, 0.7]],
        [[-1, 0, 0.7]],
        [[0, True, 0.7]],
        [[0, 1, 1]],
        [[0, 2, 0.7]],
    ],
)
def test_held_units_in_a_file_that_cannot_be_true_are_damage(planted):
    learner = lively_model("rnn").clamp(0, 1, 0.7).learner
    assert parse_held([[0, 1, 0.7]], learner, "a file") == (Clamp(0, 1, 0.7),)
    with pytest.raises(DamagedError, match="held"):
        parse_held(planted, learner, "a file")


@pytest.mark.parametrize("cell", CELLS)
def test_fixed_points_have_the_held_value_and_no_eigenvalue_of_the_unit(cell):
    model = lively_model(cell).clamp(0, 1, 0.7)
    found = fixed_points(model, "a", string=STORY, starts=4)
    assert len(found) >= 1
    assert (found.h[:, 0, 1] == 0.7).all()
    assert (found.visited[:, 0, 1] == 0.7).all()
    states = 2 if cell == "lstm" else 1
    assert (np.sort(np.abs(found.eigenvalues), axis=1)[:, :states] == 0).all()


def test_the_costs_are_printed_as_the_table_of_the_command():
    found = ablate(lively_model("lstm"), string=STORY)
    lines = str(found).splitlines()
    assert lines[1] == f"the model:  {found.bits:.4f} bits per character"
    assert lines[3].split()[:3] == ["unit", "held", "at"]
    best = found.costs[0]
    assert lines[4].split()[:3] == [f"{best.layer}:{best.unit}", "+0.000", f"{best.bits:+.4f}"]
    assert len(lines) == 4 + len(found.costs)
    many = dataclasses.replace(found, costs=found.costs * 3)
    assert str(many).splitlines()[-1] == "10 units with lower costs are not shown."
    assert repr(many) == str(many)


def test_a_held_unit_has_no_cost_and_a_note_says_so():
    model = lively_model("rnn").clamp(0, 1, 0.7)
    found = ablate(model, string=STORY)
    assert (0, 1) not in {(cost.layer, cost.unit) for cost in found.costs}
    assert len(found.costs) == 9
    note = "Unit 1 of layer 0 is held at 0.7 in this model, so it has no cost"
    assert note in found.notes
    with pytest.raises(ConfigError, match="so it has no cost; choose another unit"):
        ablate(model, string=STORY, layer=0, unit=1)
    assert note not in ablate(model, string=STORY, layer=1).notes
