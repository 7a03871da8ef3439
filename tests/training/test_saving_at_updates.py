"""With `save_every`, checkpoints come at exact updates, are kept or rotated, and change nothing else."""

import pytest

import charloom
from charloom.config import Config, without_effect
from charloom.engines.reference import ReferenceEngine
from charloom.errors import ConfigError
from charloom.store import load_checkpoint
from charloom.store.run_directory import updates_in
from charloom.training import Progress, Saved, Warned, train_run
from full_disk import FullDisk
from reliability.run_comparison import lasting
from small_runs import TEXT, after, create, resume, train
from training_clocks import Waiting
from training_items import eventful, items_of

RARELY = {"save_seconds": 1e9, "epochs": 2}


def saved_in(run):
    return updates_in(run / "checkpoints")


def bits(run, update):
    """Return the parameters and slots of a checkpoint as bytes."""
    learner = load_checkpoint(run / "checkpoints" / str(update)).learner
    arrays = [learner.parameters, *learner.slots.values()]
    return [array.tobytes() for each in arrays for array in each.values()]


def test_checkpoints_are_saved_after_exact_updates_and_kept(tmp_path):
    events = train(tmp_path, save_every=13, **RARELY)
    last = events[-1].update
    multiples = list(range(13, last, 13))
    assert len(multiples) >= 5
    assert [item.update for item in items_of(Saved, events)] == [*multiples, last]
    assert saved_in(tmp_path) == [0, *multiples, last]
    for update in multiples:
        assert charloom.load(tmp_path / "checkpoints" / str(update)).update == update


def test_without_a_run_directory_checkpoints_have_no_place(tmp_path):
    settings = {"string": TEXT, "hidden_size": 8, "seq_length": 10, "updates": 20}
    with pytest.raises(
        ConfigError, match=r"^save_every=10 saves checkpoints, but .*; give run a path\.$"
    ):
        charloom.train(**settings, save_every=10)
    assert charloom.train(**settings, save_every=0).update == 20
    charloom.train(**settings, save_every=10, run=tmp_path / "run")
    # A model from a run that saved in this way can train another one in memory.
    assert charloom.train(**settings, from_model=tmp_path / "run").update == 20


def test_checkpoints_that_are_not_kept_are_rotated(tmp_path):
    events = train(tmp_path, save_every=12, keep_saved="newest", validation=0.2, **RARELY)
    last = events[-1].update
    assert [item.update for item in items_of(Saved, events)][:3] == [12, 24, 36]
    best = int((tmp_path / "checkpoints" / "best").read_text().split()[0])
    assert saved_in(tmp_path) == sorted({best, last - last % 12, last})


@pytest.mark.parametrize("save_every", [0, 13])
def test_checkpoints_of_the_clock_are_removed_also_beside_kept_ones(tmp_path, save_every):
    events = train(tmp_path, save_every=save_every, save_seconds=1e-9, epochs=2)
    last = events[-1].update
    kept = set(range(0, last, 13)) if save_every else set()
    saved = [item.update for item in items_of(Saved, events)]
    assert len(saved) > len(kept) + 2
    assert saved_in(tmp_path) == sorted(kept | {*saved[-2:]})


def test_saving_at_updates_changes_no_bit(tmp_path):
    settings = {"cell": "lstm", "batch_size": 2, "validation": 0.2, **RARELY}
    last = train(tmp_path / "often", save_every=3, **settings)[-1].update
    train(tmp_path / "rarely", **settings)
    assert bits(tmp_path / "often", last) == bits(tmp_path / "rarely", last)
    name = "samples.jsonl"
    assert (tmp_path / "often" / name).read_bytes() == (tmp_path / "rarely" / name).read_bytes()


@pytest.mark.parametrize("keep_saved", ["all", "newest"])
def test_a_resumed_run_ends_with_the_same_checkpoints_and_bytes(tmp_path, keep_saved):
    settings = {"save_every": 10, "keep_saved": keep_saved, "validation": 0.2, **RARELY}
    train(tmp_path / "whole", **settings)
    train(tmp_path / "run", halt=after(7), **settings)
    resume(tmp_path / "run", halt=after(6))
    assert 0 < max(saved_in(tmp_path / "run")) < max(saved_in(tmp_path / "whole"))
    assert resume(tmp_path / "run")[-1].state == "finished"
    own, whole = tmp_path / "run" / "checkpoints", tmp_path / "whole" / "checkpoints"
    for update in saved_in(tmp_path / "whole"):
        for file in (whole / str(update)).iterdir():
            assert (own / str(update) / file.name).read_bytes() == file.read_bytes()
    for name in ("samples.jsonl", "passage.txt"):
        assert (own.parent / name).read_bytes() == (whole.parent / name).read_bytes()


def test_training_waits_where_the_disk_refuses_a_checkpoint_that_must_be_kept(
    tmp_path, monkeypatch
):
    train(tmp_path / "whole", save_every=20, **RARELY)
    disk = FullDisk(monkeypatch)
    writer, learner, corpus = create(tmp_path / "run", save_every=20, **RARELY)
    Waiting(monkeypatch, 5.0, disk.disarm)
    with writer:
        items = train_run(writer, learner, corpus, ReferenceEngine())
        received = eventful(items, {35: lambda: disk.arm(1, forever=True)})
    paused = {item.update for item in items_of(Progress, received) if item.state == "paused"}
    assert paused == {40}
    (warning,) = [each for each in items_of(Warned, received) if "Training pauses" in each.message]
    assert warning.message.startswith("a save failed: ")
    assert saved_in(tmp_path / "run") == saved_in(tmp_path / "whole")
    assert lasting(tmp_path / "run") == lasting(tmp_path / "whole")


def test_what_to_keep_has_no_effect_without_exact_updates():
    assert without_effect(Config(keep_saved="newest"), ["keep_saved"])
    assert not without_effect(Config(keep_saved="newest", save_every=5), ["keep_saved"])
