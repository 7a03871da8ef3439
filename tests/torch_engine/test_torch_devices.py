"""Devices, threads and dtypes of the torch engine, and what happens without PyTorch."""

import pickle
import subprocess
import sys

import numpy as np
import pytest

from compared_engines import TORCH

if not TORCH:
    pytest.skip("PyTorch is not installed", allow_module_level=True)

import torch

import charloom
from charloom.config import Config
from charloom.engines import Plan, engine_for, open_engine
from charloom.engines.torch.text_on_device import TextOnDevice
from charloom.engines.torch.torch_network import TorchNetwork
from charloom.errors import ConfigError, EngineError, MissingPartError
from charloom.model import copy_learner, new_learner
from charloom.random import dropout_mask
from charloom.text import Vocabulary
from small_runs import TEXT, small_config

CPU = torch.device("cpu")


def make_learner(**changes):
    settings = {"cell": "lstm", "hidden_size": 6, "seq_length": 5, "batch_size": 2, **changes}
    return new_learner(Config(optimizer="adam", init="uniform", **settings), Vocabulary("abcdefg"))


def make_ids(count=400):
    return np.random.default_rng(1).integers(0, 7, count).astype(np.uint8)


def bits_of(learner):
    slots = [array for arrays in learner.slots.values() for array in arrays.values()]
    arrays = [*learner.parameters.values(), *slots, *learner.state.values()]
    return [array.tobytes() for array in arrays]


def test_without_pytorch_the_engine_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr("charloom.engines.find_spec", lambda name: None)
    with pytest.raises(
        MissingPartError, match=r"not installed; install it .*pip install '.\[torch\]'"
    ):
        open_engine("torch")


def test_a_pytorch_that_cannot_be_loaded_is_an_error_for_users(monkeypatch):
    monkeypatch.setitem(sys.modules, "charloom.engines.torch", None)
    with pytest.raises(MissingPartError, match="cannot be loaded"):
        open_engine("torch")


def test_pytorch_is_loaded_only_if_a_user_names_the_engine():
    code = (
        "import sys, charloom; from charloom.engines import open_engine, torch_problem\n"
        "model = charloom.train(string='abcabcabd' * 40, updates=2, sample_length=2, passage_length=2,"
        " recipe='classic', judged_characters=9)\n"
        "torch_problem(); model.sample(length=3); charloom.Config(engine='torch')\n"
        "print('torch' in sys.modules); open_engine('torch', 1, 'cpu'); print('torch' in sys.modules)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert found.stdout.split() == ["False", "True"]


@pytest.mark.parametrize("device", ["cuda", "cuda:7", "mps"])
def test_a_device_that_does_not_exist_is_named(device, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(EngineError, match=f"device is {device}, but this machine has no .*GPU"):
        open_engine("torch", 1, device)


def test_a_gpu_with_too_high_a_number_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(EngineError, match="cuda:2, but this machine has 2 CUDA GPUs"):
        open_engine("torch", 1, "cuda:2")


@pytest.mark.parametrize("device", ["tpu", "cuda:", "cuda:x", "cpu:0", 3])
def test_a_device_that_is_not_a_name_is_refused_by_the_settings(device):
    with pytest.raises(ConfigError, match=r"device is .* it must be one of auto, cpu, cuda, mps"):
        Config(device=device)


def test_the_engine_leaves_the_threads_of_pytorch_as_they_were():
    before = torch.get_num_threads()
    engine, learner = open_engine("torch", before + 1, "cpu"), make_learner()
    engine.train(learner, make_ids(), Plan(np.full(1, 0.01), np.array([0, 100])))
    assert torch.get_num_threads() == before
    assert f"{before + 1} threads" in engine.describe()


def test_an_engine_can_be_pickled():
    engine = pickle.loads(pickle.dumps(open_engine("torch", 1, "cpu")))
    assert engine.describe() == open_engine("torch", 1, "cpu").describe()


def test_dropout_masks_have_the_random_numbers_of_every_engine():
    from charloom.engines.torch.dropout import dropout_masks

    config = Config(layers=2, hidden_size=37, dropout=0.3, seed=2**64 - 5)
    update = 2**40 + 3
    masks = dropout_masks(config, torch.tensor(update), (3, 5), torch.float64)
    for layer, time, stream in np.ndindex(2, 3, 5):
        truth = dropout_mask(config.seed, update, layer, stream, time, 37, 0.3)
        assert masks[layer, time, stream].tolist() == truth.tolist()


def test_bfloat16_needs_weights_in_float32_and_the_engine_torch():
    with pytest.raises(ConfigError, match="bfloat16 needs weights in float32"):
        Config(compute_dtype="bfloat16", dtype="float64")
    for engine in ("auto", "reference"):
        with pytest.raises(EngineError, match="only the engine torch can compute"):
            engine_for(Config(compute_dtype="bfloat16", engine=engine))


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_bfloat16_trains_float32_weights_and_is_near_float32(cell):
    engine = open_engine("torch", 1, "cpu")
    exact, short = (
        make_learner(cell=cell, compute_dtype=kind, dropout=0.1) for kind in ("same", "bfloat16")
    )
    plan = Plan(np.full(20, 0.01), np.array([0, 200]))
    traces = [engine.train(each, make_ids(), plan) for each in (exact, short)]
    apart = np.abs(traces[0].losses / traces[1].losses - 1).max()
    assert 1e-6 < apart < 0.02
    assert all(array.dtype == np.float32 for array in short.parameters.values())
    assert all(array.dtype == np.float32 for array in short.state.values())


@pytest.mark.parametrize("id_type", [np.uint8, np.uint16, np.uint32])
@pytest.mark.parametrize("mapped", [False, True])
def test_ids_of_any_type_and_in_a_file_mean_the_same(id_type, mapped, tmp_path):
    engine, ids = open_engine("torch", 1, "cpu"), make_ids().astype(id_type)
    if mapped:
        ids.tofile(tmp_path / "ids")
        ids = np.memmap(tmp_path / "ids", dtype=id_type, mode="r")
    ours, theirs = make_learner(), make_learner()
    plan = Plan(np.full(5, 0.01), np.array([0, 100]))
    engine.train(ours, ids, plan)
    engine.train(theirs, make_ids(), plan)
    assert bits_of(ours) == bits_of(theirs)


def test_a_text_on_the_device_is_read_as_one_on_the_processor():
    text = TextOnDevice(make_ids(), CPU)
    begins = np.array([[0, 100], [50, 7]])
    read = text.windows(begins, 5, 7)
    text._whole, text._largest = torch.from_numpy(make_ids()), 6  # as on a GPU
    for u in range(2):
        assert torch.equal(read(u), text.windows(begins, 5, 7)(u))
    assert text.windows(begins, 5, 6)(0) is None  # the id 6 is not in a vocabulary of 6


# A GPU restores the numbers of an update that is not finite, because the host does not wait for its loss.
@pytest.mark.parametrize("order", [0, 3])
def test_an_update_that_is_not_finite_and_all_after_it_are_undone_without_waiting(
    monkeypatch, order
):
    engine = open_engine("torch", 1, "cpu")
    ids = make_ids() % 6
    ids[13] = 6  # a target of the third update
    made = {"ngram_order": order, "input_pairs": order, "averaging": 0.3}
    waiting, other = make_learner(**made), make_learner(**made)
    for learner in (waiting, other):
        learner.parameters["c"][6] = -np.inf  # the id 6 has the probability 0
    resets = np.array([False, True, False, True, True])
    plan = Plan(np.full(5, 0.01), np.array([0, 200]), resets=resets)
    traces = [engine.train(waiting, ids, plan)]
    make_inputs = TorchNetwork._make_inputs

    def without_waiting(network):
        make_inputs(network)
        network._waits = False

    monkeypatch.setattr(TorchNetwork, "_make_inputs", without_waiting)
    traces.append(engine.train(other, ids, plan))
    assert [trace.stopped for trace in traces] == ["non-finite"] * 2
    assert waiting.update == other.update == 2
    assert bits_of(waiting) == bits_of(other)


def small_settings(**settings):
    """Return the settings of a small run, without its epochs."""
    found = small_config(**settings).to_dict()
    return {name: value for name, value in found.items() if name != "epochs" and value is not None}


def test_a_run_resumes_on_torch_and_says_so(tmp_path):
    heard = []
    settings = small_settings(engine="reference", updates=20)
    charloom.train(string=TEXT, run=tmp_path / "run", **settings)
    charloom.resume(
        tmp_path / "run", updates=40, engine="torch", device="cpu", listener=heard.append
    )
    warnings = [event.message for event in heard if hasattr(event, "message")]
    assert any(
        "trained by reference" in text and "continues with torch" in text for text in warnings
    )
    model = charloom.load(tmp_path / "run")
    assert model.learner.update == 40


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_an_interrupted_run_on_torch_has_the_bits_of_an_uninterrupted_one(cell, tmp_path):
    settings = small_settings(
        cell=cell, layers=2, optimizer="adam", dropout=0.2, engine="torch", device="cpu"
    )
    charloom.train(string=TEXT, run=tmp_path / "whole", **settings | {"updates": 40})
    charloom.train(string=TEXT, run=tmp_path / "parts", **settings | {"updates": 13})
    charloom.resume(tmp_path / "parts", updates=40)
    learners = [charloom.load(tmp_path / name).learner for name in ("whole", "parts")]
    names = learners[0].parameters
    assert all(
        learners[0].parameters[n].tobytes() == learners[1].parameters[n].tobytes() for n in names
    )


def interrupted(method, at):
    """Return a method that raises KeyboardInterrupt in its call number `at`, as Ctrl-C may."""
    calls = []

    def called(*given):
        calls.append(given)
        if len(calls) == at:
            raise KeyboardInterrupt
        return method(*given)

    return called


def test_ctrl_c_between_two_updates_keeps_those_before_it(monkeypatch):
    engine, ours, theirs = open_engine("torch", 1, "cpu"), make_learner(), make_learner()
    starts = np.array([0, 100])
    engine.train(theirs, make_ids(), Plan(np.full(5, 0.01), starts))

    monkeypatch.setattr(TorchNetwork, "_stage", interrupted(TorchNetwork._stage, at=4))
    with pytest.raises(KeyboardInterrupt):
        engine.train(ours, make_ids(), Plan(np.full(5, 0.01), starts))
    monkeypatch.undo()
    assert (ours.update, ours.position) == (3, 15)
    engine.train(ours, make_ids(), Plan(np.full(2, 0.01), starts))
    assert bits_of(ours) == bits_of(theirs)


def test_a_lack_of_memory_is_the_error_that_every_engine_raises(monkeypatch):
    engine, learner = open_engine("torch", 1, "cpu"), make_learner()
    honest = TorchNetwork._update

    def too_large(network):
        if int(network._number) == 3:
            torch.empty(2**46)
        honest(network)

    monkeypatch.setattr(TorchNetwork, "_update", too_large)
    with pytest.raises(MemoryError):
        engine.train(learner, make_ids(), Plan(np.full(5, 0.01), np.array([0, 100])))
    assert (learner.update, learner.position) == (2, 10)


def test_another_error_of_pytorch_is_not_taken_for_a_lack_of_memory(monkeypatch):
    engine, learner = open_engine("torch", 1, "cpu"), make_learner()
    monkeypatch.setattr(TorchNetwork, "_update", lambda network: torch.zeros(2) @ torch.zeros(3))
    with pytest.raises(RuntimeError, match="inconsistent tensor size"):
        engine.train(learner, make_ids(), Plan(np.full(1, 0.01), np.array([0, 100])))


def test_a_copy_trains_on_as_the_learner_does():
    engine, learner = open_engine("torch", 1, "cpu"), make_learner(cell="gru")
    plan = Plan(np.full(3, 0.01), np.array([0, 100]))
    engine.train(learner, make_ids(), plan)
    copied = copy_learner(learner)
    for each in (learner, copied):
        engine.train(each, make_ids(), plan)
    assert bits_of(learner) == bits_of(copied)
