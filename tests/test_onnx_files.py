"""A network in an ONNX file gives the logits of charloom in onnxruntime, for each cell and depth."""

import hashlib
import json
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import charloom
from charloom.cell_table import CELL_NAMES, CELLS
from charloom.cli import app
from charloom.config import Config
from charloom.engines import native_problem, open_engine
from charloom.errors import ConfigError, DivergedError
from charloom.model import new_learner, zero_state
from charloom.model.input_pairs import NO_PAIR, PAIRS, InputPairs
from charloom.onnx_format import loading_lines, network_graph, onnx_bytes, onnx_file, onnx_weights
from charloom.onnx_format.network_graph import graph_of_network
from charloom.onnx_format.onnx_model import model_message
from charloom.onnx_format.pair_inputs import pair_table
from charloom.onnx_format.protobuf import message_field, number_field, string_field
from charloom.store import model_bytes
from charloom.text import Vocabulary
from ngram_models import ngram_model

ROOT = Path(__file__).parent.parent
LICENSE, SPEC = ROOT / "LICENSE", ROOT / "docs" / "spec" / "formats.md"
CHARACTERS = "\nabcdeé"
LIMIT = 1e-6  # float32: sums of a few numbers below 1, in another order
PLANTED = 1e-3  # a planted error changes the logits by more than this
PAIR_IDS = [(0, 1), (3, 2), (1, 1), (6, 5), (2, 0), (5, 4), (1, 3)]


def make_learner(cell="lstm", input_pairs=0, tokens="characters", **settings):
    """Return a model with no weight or bias at zero; with pairs, two rows of them have no pair."""
    config = Config(
        cell=cell, hidden_size=6, init="uniform", input_pairs=input_pairs, tokens=tokens, **settings
    )
    learner = new_learner(config, Vocabulary(CHARACTERS, tokens))
    if input_pairs:
        rows = learner.parameters[PAIRS]
        rows[:] = np.cos(np.arange(rows.size)).reshape(rows.shape)
        unused = [(NO_PAIR, NO_PAIR)] * (len(rows) - len(PAIR_IDS))
        rows[len(PAIR_IDS) :] = 0
        learner.pairs = InputPairs(np.array([*PAIR_IDS, *unused], np.int32), len(CHARACTERS))
    return learner


def logits_of(learner, ids, engine="reference"):
    """Return the logits (T, B, K) after each of the ids (T, B), and the last state, both of one of our engines."""
    opened, state, rows = open_engine(engine), zero_state(learner.config, ids.shape[1]), []
    for row in ids:
        logits, state = opened.step(learner, row, state)
        rows.append(logits.copy())
    return np.array(rows), state


def opened(learner, path):
    """Write a model as an ONNX file, run the code that loads the file, and return the names that it defines."""
    pytest.importorskip("onnxruntime")
    path.write_bytes(onnx_bytes(learner, path.name))
    names = {}
    exec(loading_lines(learner, str(path)), names)
    return names


def difference(learner, path, exported=None):
    """Return the largest difference between the logits of a model and those of onnxruntime for its file.

    `exported` is the model in the file; None means `learner`. Two texts with all pairs are read in three pieces.
    """
    file = opened(exported or learner, path)
    ids = np.random.default_rng(1).integers(0, 7, (150, 2))
    read = set(zip(ids[:-1].ravel().tolist(), ids[1:].ravel().tolist(), strict=True))
    assert set(PAIR_IDS) <= read
    state, found = file["zero_state"](2), []
    for piece in (ids[:1], ids[1:6], ids[6:]):
        logits, state = file["run"](piece, state)
        found.append(logits)
    ours, last = logits_of(learner, ids)
    assert all(logits.dtype == np.float32 for logits in found)
    states = {
        {"h": "h0", "cell": "c0"}[name]: last[name] for name in CELLS[learner.config.cell].states
    }
    if learner.pairs:
        states["last0"] = last["recent"][:, :, -1]
    assert set(state) == set(states)
    largest = np.abs(np.concatenate(found) - ours).max()
    return max(largest, *(np.abs(state[name] - states[name]).max() for name in state))


# The same numbers


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("input_pairs", [0, 9])
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("cell", CELL_NAMES)
def test_the_printed_code_computes_the_same_logits_and_states(
    cell, layers, input_pairs, dtype, tmp_path
):
    learner = make_learner(cell, input_pairs, layers=layers, dtype=dtype)
    assert difference(learner, tmp_path / "a 'b'.onnx") <= LIMIT


def test_a_file_reads_any_number_of_texts(tmp_path):
    learner = make_learner("gru", 9, layers=2)
    file = opened(learner, tmp_path / "x.onnx")
    ids = np.random.default_rng(0).integers(0, 7, (4, 11))
    together, _ = file["run"](ids, file["zero_state"](11))
    for text in range(11):
        alone, _ = file["run"](ids[:, [text]], file["zero_state"](1))
        np.testing.assert_allclose(together[:, text], alone[:, 0], rtol=0, atol=LIMIT)


def test_a_pair_crosses_from_one_call_to_the_next(tmp_path):
    file = opened(make_learner("rnn", 9), tmp_path / "x.onnx")
    whole, _ = file["run"]([[3], [2]], file["zero_state"](1))
    _, state = file["run"]([[3]], file["zero_state"](1))
    assert state["last0"].tolist() == [[3]]
    np.testing.assert_allclose(file["run"]([[2]], state)[0][0], whole[1], rtol=0, atol=LIMIT)
    forgotten = {**state, "last0": np.array([[-1]])}
    assert np.abs(file["run"]([[2]], forgotten)[0][0] - whole[1]).max() > PLANTED


def test_a_trained_model_has_the_specified_difference_in_one_step(tmp_path):
    model = charloom.train(
        str(LICENSE), cell="gru", hidden_size=64, batch_size=8, seq_length=32, optimizer="adam",
        learning_rate=0.02, epochs=60, seed=1, ngram_order=0, input_pairs=200, dropout=0.1,
        weight_decay=0.0,
    )  # fmt: skip
    file = opened(model.learner, tmp_path / "x.onnx")
    ids = np.asarray(model.vocabulary.encode(LICENSE.read_text(encoding="utf-8"))).astype(np.int64)
    for engine in ("reference",) if native_problem() else ("reference", "native"):
        used = open_engine(engine)
        state, largest, worst = zero_state(model.config), 0.0, 0.0
        for id in ids:
            before = {"h0": state["h"].copy(), "last0": state["recent"][:, :, -1].astype(np.int64)}
            ours, state = used.step(model.learner, np.array([id]), state)
            theirs, _ = file["run"]([[id]], before)
            largest = max(largest, float(np.abs(ours).max()))
            worst = max(worst, float(np.abs(theirs[0] - ours).max()))
        assert largest > 5  # as of a network that learned something
        assert worst <= 3e-6 * largest


def test_the_specification_states_the_difference_that_the_test_allows():
    text = " ".join(SPEC.read_text(encoding="utf-8").split())
    assert (
        "logits of onnxruntime differ from charloom's by at most 3e-6 of the largest logit" in text
    )


# Planted errors


@pytest.mark.parametrize(
    ("cell", "order"), [("lstm", "ifgo"), ("lstm", "iogf"), ("gru", "rzn"), ("gru", "znr")]
)
def test_swapped_gates_are_caught(cell, order, tmp_path, monkeypatch):
    learner = make_learner(cell, layers=2)
    planted = {**CELLS, cell: replace(CELLS[cell], onnx_gates=order)}
    monkeypatch.setattr(onnx_weights, "CELLS", planted)
    assert difference(learner, tmp_path / "x.onnx") > PLANTED


@pytest.mark.parametrize("name", ["layers.1.d", "layers.1.b", "layers.0.U", "c", PAIRS])
def test_missing_numbers_are_caught(name, tmp_path):
    learner = make_learner("gru", 9, layers=2)
    without = {**learner.parameters, name: np.zeros_like(learner.parameters[name])}
    exported = replace(learner, parameters=without)
    assert difference(learner, tmp_path / "x.onnx", exported) > PLANTED


def test_a_second_bias_outside_the_product_with_the_reset_gate_is_caught(tmp_path, monkeypatch):
    learner = make_learner("gru")
    assert difference(learner, tmp_path / "x.onnx") <= LIMIT
    # Without linear_before_reset, a GRU of ONNX applies the reset gate to the state before the product.
    planted = {**CELLS, "gru": replace(CELLS["gru"], second_bias="")}
    monkeypatch.setattr(network_graph, "CELLS", planted)
    assert difference(learner, tmp_path / "x.onnx") > PLANTED


@pytest.mark.parametrize("planted", [(1, 0), (3, 3)])
def test_a_wrong_pair_is_caught(planted, tmp_path):
    learner = make_learner("lstm", 9)
    wrong = InputPairs(
        np.array([planted, *learner.pairs.ids[1:].tolist()], np.int32), len(CHARACTERS)
    )
    assert difference(learner, tmp_path / "x.onnx", replace(learner, pairs=wrong)) > PLANTED


# The table of pairs


@pytest.mark.parametrize("used", [0, 1, 12, 49])
def test_the_table_has_the_row_of_each_pair(used):
    K, R = 7, 60
    every = np.array([divmod(code, K) for code in np.random.default_rng(3).permutation(K * K)])
    ids = np.full((R, 2), NO_PAIR, np.int32)
    ids[:used] = every[:used]
    pairs = InputPairs(ids, K)
    lines, columns, table = pair_table(pairs)
    previous, present = np.meshgrid(np.arange(-1, K), np.arange(K), indexing="ij")
    rows = table[lines[previous + 1] + columns[present]]
    wanted = pairs.rows(previous, present)
    np.testing.assert_array_equal(rows, np.where(wanted < 0, R, wanted))


def test_the_table_has_no_line_for_characters_without_pairs():
    pairs = InputPairs(np.array([[4_000, 17], [4_000, 2_500]], np.int32), 5_000)
    assert len(pair_table(pairs)[2]) == 2 * 3


# The file


def test_a_file_is_a_valid_onnx_model(tmp_path):
    onnx = pytest.importorskip("onnx")
    for cell in CELL_NAMES:
        for input_pairs in (0, 9):
            data = onnx_bytes(make_learner(cell, input_pairs, layers=2), "x.onnx")
            model = onnx.load_from_string(data)
            onnx.checker.check_model(model, full_check=True)
            assert model.SerializeToString(deterministic=True) == data


def test_the_inputs_and_outputs_have_names_and_shapes(tmp_path):
    session = opened(make_learner("lstm", 9, layers=2), tmp_path / "x.onnx")["session"]
    inputs = {value.name: (value.type, value.shape) for value in session.get_inputs()}
    outputs = {value.name: (value.type, value.shape) for value in session.get_outputs()}
    states = [("tensor(float)", [2, "B", 6])] * 2 + [("tensor(int64)", [1, "B"])]
    ids, logits = ("tensor(int64)", ["T", "B"]), ("tensor(float)", ["T", "B", 7])
    assert inputs == dict(zip(["ids", "h0", "c0", "last0"], [ids, *states], strict=True))
    assert outputs == dict(zip(["logits", "hn", "cn", "lastn"], [logits, *states], strict=True))


@pytest.mark.parametrize("tokens", ["characters", "bytes"])
def test_the_metadata_has_the_settings_the_vocabulary_and_loading_code(tokens, tmp_path):
    learner = make_learner("gru", tokens=tokens)
    about = opened(learner, tmp_path / "book.onnx")["about"]
    assert set(about) == {"format", "config", "vocabulary", "load"}
    assert about["config"] == learner.config.to_dict()
    assert about["config"]["tokens"] == tokens
    assert about["vocabulary"] == [ord(character) for character in CHARACTERS]
    assert about["load"] == loading_lines(learner, "book.onnx")


def test_the_same_model_has_the_same_bytes():
    one, two = (onnx_bytes(make_learner("gru", 9, layers=2), "x.onnx") for _ in range(2))
    assert one == two


# The SHA-256 of the graphs of a GRU of two layers, by the number of rows of pairs. No trained or random number is in them.
GOLDEN = {
    0: "acc2306200b21de987d6bc0a634cf5feb150d3c80e31eb9d18ae304768db2e7d",
    9: "9ca1eaf432ee3534665ee4ad6854f741af7e9c19d55e5b270bf83516c2942de5",
}


@pytest.mark.parametrize("input_pairs", GOLDEN)
def test_the_graph_of_fixed_numbers_has_the_golden_bytes(input_pairs):
    learner = make_learner("gru", input_pairs, layers=2)
    for array in learner.parameters.values():
        array[...] = (np.arange(array.size).reshape(array.shape) % 64 - 32) / 64
    data = b"".join(model_message(graph_of_network(learner), "a network", {"key": "text"}))
    assert hashlib.sha256(data).hexdigest() == GOLDEN[input_pairs]


def test_fields_are_encoded_as_protobuf_specifies():
    # The examples of the page on the encoding: field 1 with 150, and field 2 with "testing".
    assert number_field(1, 150) == [bytes.fromhex("089601")]
    assert b"".join(string_field(2, "testing")) == bytes.fromhex("120774657374696e67")
    assert b"".join(message_field(3, number_field(1, 150))) == bytes.fromhex("1a03089601")
    assert number_field(20, 0) == [bytes.fromhex("a00100")]


# What is refused


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_model_that_is_not_finite_is_refused(dtype):
    learner = make_learner(dtype=dtype)
    learner.parameters["V"][0, 0] = np.nan
    with pytest.raises(DivergedError, match="V is no longer finite"):
        onnx_bytes(learner, "x")


def test_numbers_that_are_too_large_for_float32_are_refused():
    learner = make_learner(dtype="float64")
    learner.parameters["c"][3] = -1e39
    with pytest.raises(DivergedError, match=r"head\.bias of the model has numbers above 3\.4e\+38"):
        onnx_bytes(learner, "x")


def test_a_file_above_the_limit_of_protobuf_is_refused(monkeypatch):
    learner = make_learner()
    size = len(onnx_bytes(learner, "x"))
    monkeypatch.setattr(onnx_file, "MOST_BYTES", size)
    assert len(onnx_bytes(learner, "x")) == size
    monkeypatch.setattr(onnx_file, "MOST_BYTES", size - 1)
    with pytest.raises(ConfigError, match=r"too large for an ONNX file: .*Give to=.torch."):
        onnx_bytes(learner, "x")


def test_a_model_with_n_grams_needs_network_alone(tmp_path):
    model = ngram_model("reference", cell="gru", dtype="float32", layers=2)
    path = tmp_path / "x.onnx"
    with pytest.raises(ConfigError, match=r"n-grams.*give network_alone=True.*ngram_order=0"):
        model.export(path, to="onnx")
    assert not path.exists()
    charloom.export(model, path, to="onnx", network_alone=True)
    assert path.read_bytes() == onnx_bytes(model.network_alone().learner, "x.onnx")


# The command


def charloom_(words):
    """Run a command in this process."""
    return CliRunner().invoke(app, shlex.split(words), prog_name="charloom")


def test_the_command_writes_a_file_and_prints_code_that_runs_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    learner = make_learner("gru", layers=2)
    (tmp_path / "book.safetensors").write_bytes(model_bytes(learner))
    done = charloom_("export book.safetensors --to onnx")
    assert done.exit_code == 0, done.output
    assert done.stdout == loading_lines(learner, "book.onnx")
    assert (tmp_path / "book.onnx").read_bytes() == onnx_bytes(learner, "book.onnx")
    assert "gru, 2 × 6 hidden units, 7 characters, float32, from book" in done.stderr
    assert "in float32" not in done.stderr
    done = charloom_("export book.safetensors --to onnx")
    assert done.exit_code == 2
    assert "book.onnx exists" in done.stderr
    result = json.loads(charloom_("export book.safetensors --to onnx --force --json").stdout)
    assert result["load"] == loading_lines(learner, "book.onnx")
    assert result["file"] == "book.onnx"


def test_the_command_says_that_float64_becomes_float32(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "book.safetensors").write_bytes(model_bytes(make_learner("rnn", dtype="float64")))
    done = charloom_("export book.safetensors --to onnx")
    assert "The file has its weights in float32. This code loads it:" in done.stderr
    result = charloom_("export book.safetensors --to onnx --force --json").stdout
    assert json.loads(result)["dtype"] == "float32"
    result = charloom_("export book.safetensors --to torch --json").stdout
    assert json.loads(result)["dtype"] == "float64"
