"""Makes a small run, a model file and a file for PyTorch with the charloom that is imported.

    python tests/formats/make.py tests/formats/NAME

The files are stored beside this script, and every later version must open them (tests/test_formats.py).
Make another set when a number in store/format_versions.py grows. Never change a set that exists. The script
also runs with old versions: put the src of an old commit first in PYTHONPATH.
"""

import dataclasses
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import charloom
from charloom.config import Config
from charloom.store.control_files import write_control

TEXT = "tea at noon, eat at ten. " * 24
SETTINGS = {
    "hidden_size": 2, "seq_length": 6, "epochs": 1, "sigma": 0.1, "report_every": 8, "sample_first": 4,
    "sample_every": 50, "sample_until": 50, "sample_length": 6, "passage_length": 9, "seed": 7,
    "engine": "reference",
}  # fmt: skip
LATER = {"cell": "gru", "batch_size": 2, "validation": 0.2, "dropout": 0.25}
# Settings of later formats, which are used if the version that is imported knows all of them.
NEWER = (
    {"ngram_order": 3},
    {"averaging": 0.5, "weight_decay": 0.01, "weight_decay_on": "weights", "input_pairs": 20},
    {
        "order": "chunks",
        "chunks": 3,
        "schedule": "step",
        "step_after_updates": 5,
        "step_every_updates": 7,
        "warmup_epochs": 0.25,
    },
    {"save_every": 10},
    {"device": "cpu"},
    {"items": "separator", "separator": ". ", "order": "sequential"},
)


def main(directory: Path) -> None:
    """Make everything in a new directory."""
    known = {field.name for field in dataclasses.fields(Config)}
    settings = SETTINGS | LATER if known >= set(LATER) else SETTINGS
    for newer in NEWER:
        if known >= set(newer):
            settings = settings | newer
    run = directory / "run"
    charloom.reproduce(string=TEXT, run=run, **settings)
    write_control(run, "run", 0.5)
    with suppress(ImportError):  # earlier versions could not search for a learning rate
        write_search(run, settings)
    for name in ("report.html", "loss.svg", "loss.png"):
        (run / name).unlink()
    newest = max((run / "checkpoints").glob("[0-9]*"), key=lambda path: int(path.name))
    model = charloom.load(newest)
    with suppress(ImportError):  # earlier versions did not save which units a model holds
        from charloom.model.clamp import Clamp  # noqa: F401

        model = model.clamp(0, 1, 0.25)
    model.save(directory / "model.safetensors")
    if settings is not SETTINGS:  # the first version knew neither batches nor PyTorch
        from charloom.pytorch_format import torch_bytes

        name = "model.torch.safetensors"
        (directory / name).write_bytes(torch_bytes(without_counts(model.learner), name))


def without_counts(learner):
    """Return the part of a learner that PyTorch's modules can express: its network without n-grams and pairs."""
    if getattr(learner, "ngrams", None):
        from charloom.model.mixture_parts import network_alone

        learner = network_alone(learner)
    if getattr(learner, "pairs", None):
        config = learner.config.replace(input_pairs=0)
        own = {name: array for name, array in learner.parameters.items() if name != "pairs.weight"}
        learner = dataclasses.replace(learner, config=config, parameters=own, pairs=None)
    return learner


def write_search(run: Path, settings: dict[str, Any]) -> None:
    """Write a search for a learning rate into a run, as a run has it that searched before training."""
    from charloom.store import canonical_json
    from charloom.store.format_versions import LEARNING_RATES_FORMAT

    search = charloom.find_learning_rate(
        string=TEXT, trial_updates=12, recipe="classic", **settings
    )
    values = {"format": LEARNING_RATES_FORMAT, **search.to_dict()}
    (run / "learning_rates.json").write_bytes(canonical_json(values))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
