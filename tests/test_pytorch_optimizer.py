"""PyTorch continues a training exactly with the exported state of the optimizer; other optimizers are refused."""

import json
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file
from typer.testing import CliRunner

import charloom
from charloom.cell_table import CELL_NAMES
from charloom.cli import app
from charloom.config import Config
from charloom.engines import Plan, open_engine
from charloom.errors import ConfigError
from charloom.model import copy_learner, new_learner
from charloom.pytorch_format import loading_lines, torch_bytes
from charloom.pytorch_optimizer import (
    RULES,
    optimizer_bytes,
    optimizer_lines,
    optimizer_path,
    require_exact,
)
from charloom.pytorch_state_dict import to_state_dict
from charloom.text import Corpus
from tests.small_runs import TEXT

CORPUS = Corpus.from_text(TEXT)
T, B, LIMIT = 6, 3, 1e-12  # the limit is for weights of about 1 in float64


def trained(updates=4, **settings):
    """Return a learner in float64 after some updates, none of whose gradients is clipped."""
    settings = {"learning_rate": 0.01, "optimizer": "adam", "clip": 0, "layers": 2} | settings
    config = Config(
        hidden_size=5, seq_length=T, batch_size=B, dtype="float64", init="uniform", **settings
    )
    learner = new_learner(config, CORPUS.vocabulary)
    for update in range(updates):
        continued(learner, 10 * update)
    return learner


def continued(learner, start):
    """Apply one update with windows that begin at `start` and later, in place."""
    starts = start + 30 * np.arange(B)
    plan = Plan(np.array([learner.config.learning_rate]), starts)
    learner.position = 0
    open_engine("reference").train(learner, CORPUS.ids, plan)


def continued_in_pytorch(learner, start, folder, change=str):
    """Return the weights after one update by PyTorch from the exported files.

    `change` changes the lines that load the optimizer.
    """
    torch = pytest.importorskip("torch")
    path = folder / "net.torch.safetensors"
    path.write_bytes(torch_bytes(learner, path.name))
    beside = optimizer_path(path)
    beside.write_bytes(optimizer_bytes(learner, beside.name))
    names = {}
    exec(loading_lines(learner, str(path)) + change(optimizer_lines(learner, str(beside))), names)
    model, optimizer = names["model"], names["optimizer"]
    places = (start + 30 * np.arange(B))[None, :] + np.arange(T)[:, None]
    ids = torch.tensor(CORPUS.ids[places].astype(np.int64))
    wanted = torch.tensor(CORPUS.ids[places + 1].astype(np.int64))
    state = [torch.tensor(learner.state[name]) for name in sorted(learner.state, reverse=True)]
    logits, _ = model(ids, tuple(state) if len(state) > 1 else state[0])
    loss = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), wanted.flatten(), reduction="sum"
    )
    (loss / B).backward()
    optimizer.step()
    return {name: p.detach().numpy() for name, p in model.named_parameters()}


def largest_difference(learner, folder, change=str):
    """Return the largest difference between the weights after one update by PyTorch and by charloom."""
    theirs = continued_in_pytorch(learner, 100, folder, change)
    ours = copy_learner(learner)
    ours.state = {name: array.copy() for name, array in learner.state.items()}
    continued(ours, 100)
    moved = to_state_dict(ours)
    assert not np.array_equal(moved["head.weight"], to_state_dict(learner)["head.weight"])
    return max(np.abs(moved[name] - theirs[name]).max() for name in moved)


@pytest.mark.parametrize("cell", CELL_NAMES)
@pytest.mark.parametrize("optimizer", RULES)
@pytest.mark.parametrize("decay", [{}, {"weight_decay": 0.1}, {"weight_decay": 0.1, "weight_decay_on": "weights"}], ids=["", "decay", "decay of weights"])  # fmt: skip
def test_pytorch_continues_the_training_exactly(cell, optimizer, decay, tmp_path):
    more = {"momentum": 0.9} if optimizer == "sgd" else {}
    learner = trained(cell=cell, optimizer=optimizer, **decay, **more)
    assert largest_difference(learner, tmp_path) < LIMIT


@pytest.mark.parametrize(
    ("planted", "change"),
    [
        ("no state", lambda lines: lines[: lines.index("kept = load_file")]),
        ("another bias", lambda lines: lines.replace("gradient * kept", "gradient")),
        ("another epsilon", lambda lines: lines.replace("eps=1e-08", "eps=1e-06")),
        ("other names", lambda lines: lines.replace('"exp_avg_sq"', '"exp_avg"').replace("'exp_avg_sq'", "'exp_avg'")),
    ],
)  # fmt: skip
def test_planted_errors_in_the_continuation_are_caught(planted, change, tmp_path):
    learner = trained(cell="gru")
    assert change(optimizer_lines(learner, "x")) != optimizer_lines(learner, "x")
    try:
        assert largest_difference(learner, tmp_path, change) > 1e6 * LIMIT
    except KeyError:
        assert planted == "other names"


def test_a_wrong_moment_is_caught(tmp_path):
    learner = trained()
    learner.slots["mean"]["V"][0, 0] *= 1.01
    wrong = replace(learner)
    theirs = continued_in_pytorch(wrong, 100, tmp_path)
    learner.slots["mean"]["V"][0, 0] /= 1.01
    continued(learner, 100)
    assert np.abs(to_state_dict(learner)["head.weight"] - theirs["head.weight"]).max() > LIMIT


def test_the_file_has_the_moments_by_pytorchs_names(tmp_path):
    learner = trained(cell="gru", layers=1)
    path = tmp_path / "x.safetensors"
    path.write_bytes(optimizer_bytes(learner, path.name))
    arrays = load_file(path)
    assert set(arrays) == {
        f"{name}.{key}"
        for name in to_state_dict(learner)
        for key in ("step", "exp_avg", "exp_avg_sq")
    }
    np.testing.assert_array_equal(arrays["head.weight.exp_avg"], learner.slots["mean"]["V"])
    assert arrays["head.weight.step"].shape == ()
    assert arrays["head.weight.step"] == learner.update


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"optimizer": "adagrad"}, "PyTorch has another formula"),
        ({"averaging": 0.2}, "are averages"),
        ({"updates": 0}, "no state of an optimizer"),
    ],
)
def test_a_state_that_pytorch_cannot_continue_with_is_refused(settings, words):
    with pytest.raises(ConfigError, match=words):
        require_exact(trained(**settings))


# The command and the function

SMALL = {
    "ngram_order": 0,
    "averaging": 0,
    "hidden_size": 5,
    "updates": 5,
    "seq_length": 6,
    "optimizer": "adam",
}


def test_the_command_writes_both_files_and_prints_code_that_runs(tmp_path):
    charloom.train(string=TEXT, run=tmp_path / "run", **SMALL)
    path = tmp_path / "net.torch.safetensors"
    words = ["export", str(tmp_path / "run"), "--optimizer", "--output", str(path)]
    done = CliRunner().invoke(app, [*words, "--json"], prog_name="charloom")
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert result["optimizer"] == str(tmp_path / "net.torch.optimizer.safetensors")
    assert "torch.optim.Adam(" in result["load"]
    pytest.importorskip("torch")
    names = {}
    exec(result["load"], names)
    assert names["optimizer"].state_dict()["state"][0]["step"] == 5
    path.unlink()
    again = CliRunner().invoke(app, words, prog_name="charloom")
    assert again.exit_code == 2
    assert "optimizer.safetensors exists" in " ".join(again.output.split())


def test_nothing_is_written_if_the_state_is_refused(tmp_path):
    model = charloom.train(string=TEXT, **{**SMALL, "optimizer": "adagrad"})
    with pytest.raises(ConfigError, match="adagrad"):
        charloom.export(model, tmp_path / "net.safetensors", optimizer=True)
    assert not list(tmp_path.iterdir())


def test_other_targets_and_changed_models_are_refused(tmp_path):
    model = charloom.train(string=TEXT, **SMALL)
    with pytest.raises(ConfigError, match="only for"):
        charloom.export(model, tmp_path / "net.onnx", to="onnx", optimizer=True)
    with pytest.raises(ConfigError, match="changed by hand"):
        model.clamp(0, 1, 0.5).export(tmp_path / "net.safetensors", optimizer=True)
    model.save(tmp_path / "model.safetensors")
    with pytest.raises(ConfigError, match="comes from a model file"):
        charloom.export(tmp_path / "model.safetensors", tmp_path / "n.safetensors", optimizer=True)
