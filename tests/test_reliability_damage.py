"""Damage is always found, and the checker catches a loader without one of its checks."""

from dataclasses import replace

import pytest

from charloom.store import (
    checkpoint,
    checkpoint_directory,
    checkpoint_pointer,
    model_file,
    run_checkpoints,
    run_inspection,
)
from charloom.store.run_checkpoints import RunCheckpoints
from reliability import SHORT, damage


def test_damage_is_found_and_training_falls_back_to_an_intact_checkpoint():
    figures = damage.check(SHORT)
    assert figures["silent"] == 0
    assert figures["found"] > figures["damages"] / 2
    assert figures["fallbacks_to_the_newest_complete_checkpoint"] > 0


def test_a_loader_that_skips_one_hash_is_noticed(monkeypatch):
    honest = checkpoint_directory.manifest_of

    def careless(files):
        """Recompute every line of the manifest from the files, except the line of the training state."""
        return b"".join(
            line + b"\n"
            for line in honest(files).splitlines()
            if not line.endswith(b"training.safetensors")
        )

    for module in (checkpoint, checkpoint_directory):
        monkeypatch.setattr(module, "manifest_of", careless)
    with pytest.raises(
        AssertionError, match=r"silently|no fallback|was not kept|fell back to what"
    ):
        damage.check(SHORT)


def test_a_reader_that_does_not_check_the_seal_of_a_pointer_is_noticed(monkeypatch):
    monkeypatch.setattr(checkpoint_pointer, "pointer_seal", lambda name, update, manifest: "0" * 64)
    with pytest.raises(AssertionError, match="silently"):
        damage.check(SHORT)


def test_a_reader_that_does_not_check_the_seal_of_a_model_file_is_noticed(monkeypatch):
    monkeypatch.setattr(model_file, "model_seal", lambda about, arrays: "0" * 64)
    with pytest.raises(AssertionError, match="a model file loaded silently"):
        damage.check(SHORT)


def test_a_fallback_to_an_unnecessarily_old_checkpoint_is_noticed(monkeypatch):
    monkeypatch.setattr(
        RunCheckpoints,
        "newest_intact",
        lambda self, fits=None: run_checkpoints.load_at(self.folder.parent, 20),
    )
    with pytest.raises(AssertionError, match="fell back to what is not"):
        damage.check(SHORT)


def test_an_inspection_that_accepts_damaged_settings_is_noticed(monkeypatch):
    def flipped(files, draw, other):
        name = "run/config.json"
        files[name] = files[name].replace(b'"hidden_size":6', b'"hidden_size":7')
        return f"a digit of {name} changed", {name}

    honest = run_inspection.parse_settings

    def careless(data, path):
        case = path.parent.parent
        if case.name != "case":
            return honest(data, path)
        truth = case.parent / "truth" / "run" / "config.json"
        settings = honest(truth.read_bytes(), truth)
        return replace(settings, config=settings.config.replace(hidden_size=7))

    monkeypatch.setattr(run_inspection, "parse_settings", careless)
    monkeypatch.setattr(damage, "KINDS", (flipped,))
    with pytest.raises(AssertionError, match="showed other settings silently: a digit"):
        damage.check(SHORT)


def test_an_error_that_names_the_wrong_file_is_noticed():
    touched = {"run/checkpoints/40/state.json"}
    for message in ("run/checkpoints/40 is damaged.", "state.json is damaged."):
        damage.require_named(message, touched, "")
    for message in ("a file has 40 bytes too few.", "run/checkpoints/20 is damaged."):
        with pytest.raises(AssertionError, match="does not name what is damaged"):
            damage.require_named(message, touched, "")
    with pytest.raises(AssertionError, match="does not name what is damaged"):
        damage.require_named("the latest checkpoint is damaged.", {"run/checkpoints/latest"}, "")


def test_a_loader_that_accepts_a_file_of_another_run_is_noticed(monkeypatch):
    def careless(header):
        return {name: (header.directory / name).read_bytes() for name in checkpoint_directory.FILES}

    monkeypatch.setattr(checkpoint, "read_verified", careless)

    def one_file(files, draw, other):
        files[f"run/{name}"] = other[name]
        return f"run/{name} is that of another run", {f"run/{name}"}

    name = "checkpoints/40/state.json"
    monkeypatch.setattr(damage, "KINDS", (one_file,))
    with pytest.raises(AssertionError, match=r"checkpoint 40 loaded silently: .* another run"):
        damage.check(SHORT)
