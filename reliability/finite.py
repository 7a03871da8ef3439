"""Checks that numbers that are not finite are found before the next save, in training and in sampling.

NaN and both infinities are put into every kind of number, on every engine, while a run saves after each call of
its engine. The fault must be reported before the next save, and no saved file may contain it. Then it samples
from models that are not finite, and from models with extreme but finite numbers.
"""

import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import deserialize

from charloom.cell_table import CELL_NAMES
from charloom.config import Config
from charloom.engines import Engine, Plan, Sampler, Trace, native_problem, open_engine
from charloom.engines.reference import ReferenceEngine
from charloom.errors import CharloomError, DivergedError
from charloom.model import Learner, copy_learner, new_learner
from charloom.sampling import SampleOptions, Writing
from charloom.store import RunWriter
from charloom.text import Corpus
from charloom.training import Saved, Warned, train_in_memory, train_run
from reliability import LONG, SHORT, Figures
from reliability.run_training import folder

NUMBER = 11
PROMISE = (
    "A number that is not finite, in a loss, gradient, weight, optimizer slot or state, is "
    "found before the next save and is never saved. Sampling from a model that has one is an "
    "error. Sampling from any other model works at every temperature from 1e-6 to 1e6."
)

VALUES = (math.nan, math.inf, -math.inf)
AT = 6  # updates before the fault
CELLS = {SHORT: ("gru",), LONG: CELL_NAMES}
OPTIMIZERS = {SHORT: ("adam",), LONG: ("adagrad", "sgd", "adam")}
TEMPERATURES = {SHORT: 7, LONG: 61}
DRAWS = 400
TEXT = "the cat sat on the mat, and the dog sat by the log; " * 20
FAR = 6.0  # allowed standard deviations between a count of draws and its expected value


def check(scale: str) -> Figures:
    """Put every fault into every place, then sample from extreme models."""
    engines = ["reference"] + ([] if native_problem() else ["native"])
    injected, turn = 0, itertools.cycle(VALUES)
    for engine, cell, optimizer in itertools.product(engines, CELLS[scale], OPTIMIZERS[scale]):
        config = settings(cell, optimizer)
        for place in places(config, engine):
            for value in VALUES if scale == LONG else [next(turn)]:
                injected += 1
                what = f"{value} in {place} of {cell}, {optimizer}, {engine}"
                with folder(in_memory=True) as place_of_run:
                    in_a_run(place_of_run / "run", config, Faulty(engine, place, value), what)
                in_memory(config, Faulty(engine, place, value), what)
    return {
        "planted_values": 2 * injected,
        "saved_or_reported_late": 0,
        "refusals_to_sample": refuses_to_sample(engines),
        "samples_at_extreme_temperatures": samples(engines, TEMPERATURES[scale]),
        "engines": ", ".join(engines),
    }


def settings(cell: str, optimizer: str) -> Config:
    """Return settings for a run that saves after each call of its engine."""
    return Config(
        cell=cell, optimizer=optimizer, hidden_size=5, seq_length=6, batch_size=2, sigma=0.1,
        learning_rate=0.01, report_every=4, sample_until=0, sample_length=4, passage_length=8,
        updates=20, save_seconds=1e-9,
    )  # fmt: skip


# Faults


def places(config: Config, engine: str) -> list[str]:
    """Return the names of all kinds of numbers that training changes."""
    learner = new_learner(config, Corpus.from_text(TEXT).vocabulary)
    found = [f"parameters/{name}" for name in learner.parameters]
    found += [f"slots/{slot}/V" for slot in learner.slots]
    found += [f"state/{name}" for name in learner.state]
    found += ["smooth_loss", "pending_loss", "the loss that is told", "the norm that is told"]
    # The native engine does not return gradients; a wrong gradient shows in its weights.
    return found + (["the gradient"] if engine == "reference" else [])


class Faulty:
    """An engine that puts a value into a place once, after `AT` updates."""

    def __init__(self, engine: str, place: str, value: float) -> None:
        self._engine: Engine = open_engine(engine)
        if place == "the gradient":
            self._engine = BadGradient(self, value)
        self.name, self.place, self.value = engine, place, value
        self.done = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def train(self, learner: Learner, tokens: Any, plan: Plan) -> Trace:
        """Train with the engine, then insert the fault."""
        trace = self._engine.train(learner, tokens, plan)
        if self.done or learner.update < AT or self.place == "the gradient":
            return trace
        self.done = True
        if self.place == "the loss that is told":
            return Trace(np.append(trace.losses[:-1], self.value), trace.gradient_norms)
        if self.place == "the norm that is told":
            return Trace(trace.losses, np.append(trace.gradient_norms[:-1], self.value))
        spoil(learner, self.place, self.value)
        return trace


class BadGradient(ReferenceEngine):
    """The reference engine with one wrong entry in one gradient, once."""

    def __init__(self, fault: Faulty, value: float) -> None:
        self.fault, self.value = fault, value

    def loss_and_gradients(
        self, learner: Learner, x: Any, y: Any, update: int | None = None, columns: Any = None
    ) -> Any:
        loss, gradients, state = super().loss_and_gradients(learner, x, y, update, columns)
        if not self.fault.done and learner.update >= AT:
            self.fault.done = True
            gradients["V"][0, 0] = self.value
        return loss, gradients, state


def spoil(learner: Learner, place: str, value: float) -> None:
    """Put `value` into one number of the learner."""
    kind, *names = place.split("/")
    if not names:
        setattr(learner, place, value)
        return
    arrays = getattr(learner, kind)
    for name in names:
        arrays = arrays[name]
    arrays.flat[arrays.size // 2] = value


# The required reactions


def in_a_run(run: Path, config: Config, engine: Faulty, what: str) -> None:
    """Train in a run; the fault must be reported before the next save, and no saved file may contain it."""
    corpus = Corpus.from_text(TEXT)
    learner = new_learner(config, corpus.vocabulary)
    told_at = None
    with RunWriter.create(run, learner, corpus) as writer:
        try:
            for item in train_run(writer, learner, corpus, engine):
                if engine.done and told_at is None and isinstance(item, (Saved, Warned)):
                    assert isinstance(item, Warned), f"{what}: saved at update {item.update}"
                    told_at = item.update
                if isinstance(item, Saved):
                    require_finite_files(item.path, what)
        except DivergedError:
            told_at = learner.update
        except CharloomError as error:
            raise AssertionError(f"{what}: {error!r}") from error
    assert engine.done, f"{what}: never put in"
    assert told_at is not None, f"{what}: never told"
    for checkpoint in (run / "checkpoints").iterdir():
        if checkpoint.is_dir():
            require_finite_files(checkpoint, what)
    for line in (run / "metrics.jsonl").read_bytes().splitlines():
        json.loads(line, parse_constant=refuse_constant(what))


def in_memory(config: Config, engine: Faulty, what: str) -> None:
    """Train in memory; the learner must be finite at the end, or an error must be raised."""
    corpus = Corpus.from_text(TEXT)
    learner = new_learner(config, corpus.vocabulary)
    warned = False
    try:
        for item in train_in_memory(learner, corpus.ids, engine):
            warned = warned or isinstance(item, Warned)
    except DivergedError:
        return
    assert warned, f"{what}, in memory: never told"
    arrays = [*learner.parameters.values(), *learner.state.values()]
    arrays += [array for slot in learner.slots.values() for array in slot.values()]
    assert all(np.isfinite(array).all() for array in arrays), f"{what}, in memory: came out"


def require_finite_files(checkpoint: Path, what: str) -> None:
    """Require finite numbers in the files of a checkpoint, without using charloom's loader."""
    for path in checkpoint.glob("*.safetensors"):
        for name, tensor in deserialize(path.read_bytes()):
            values = np.frombuffer(tensor["data"], {"F32": "<f4", "F64": "<f8"}[tensor["dtype"]])
            assert np.isfinite(values).all(), (
                f"{what}: saved in {checkpoint.name}/{path.name}, {name}"
            )
    json.loads((checkpoint / "state.json").read_bytes(), parse_constant=refuse_constant(what))


def refuse_constant(what: str) -> Callable[[str], float]:
    """Return a function that raises AssertionError when a JSON parser finds NaN or an infinity."""

    def refuse(constant: str) -> float:
        raise AssertionError(f"{what}: {constant} was written")

    return refuse


# Sampling


def write(learner: Learner, engine: str, length: int, **how: Any) -> str:
    """Return a sample of the model."""
    return "".join(
        Writing(learner, open_engine(engine), "", SampleOptions(length, 1, Sampler(**how)))
    )


def refuses_to_sample(engines: list[str]) -> int:
    """Require an error for models that are not finite or compute such numbers; return the number of errors."""
    refused = 0
    for engine, cell, dtype in itertools.product(engines, CELLS[LONG], ("float32", "float64")):
        config = Config(cell=cell, hidden_size=5, dtype=dtype, optimizer="adam")
        whole = new_learner(config, Corpus.from_text(TEXT).vocabulary)
        top = float(np.finfo(dtype).max)
        faults: dict[str, float] = dict.fromkeys(whole.parameters, math.nan)
        for name, value in [*faults.items(), ("c", math.inf), ("c", -math.inf), ("V", top)]:
            learner = copy_learner(whole)
            learner.parameters[name][...] = value
            if value == top:  # each number is finite, but their sum is not
                bias = learner.parameters["layers.0.b"]
                bias[...] = 9.0
                if cell == "gru":
                    bias[5:10] = -9.0  # z = 0, so the new state is used
            try:
                with np.errstate(over="ignore", invalid="ignore"):
                    text = write(learner, engine, 5)
            except CharloomError as error:
                assert "not finite" in str(error), f"{name} {value}, {engine}: {error}"
                refused += 1
            except Exception as error:
                raise AssertionError(
                    f"{name} {value} of {cell} on {engine} broke: {error!r}"
                ) from error
            else:
                raise AssertionError(f"{name} {value} of {cell} on {engine} wrote {text!r}")
    return refused


def samples(engines: list[str], count: int) -> int:
    """Sample from finite models at every temperature, and return the number of samples.

    At low temperatures every character must be the likeliest; at high ones all must be equally likely.
    """
    written = 0
    vocabulary = Corpus.from_text(TEXT).vocabulary
    for engine, dtype, size in itertools.product(
        engines, ("float32", "float64"), (1e-3, 1.0, 1e30)
    ):
        config = Config(hidden_size=5, dtype=dtype)
        learner = new_learner(config, vocabulary)
        draw = np.random.default_rng(3)
        learner.parameters["c"][...] = size * draw.permutation(len(vocabulary))
        likeliest = vocabulary.characters[int(np.argmax(learner.parameters["c"]))]
        for temperature in np.logspace(-6, 6, count).tolist():
            temperature = min(max(temperature, 1e-6), 1e6)
            what = f"temperature {temperature:g}, logits of {size:g}, {dtype}, {engine}"
            try:
                text = write(learner, engine, DRAWS, temperature=temperature)
            except CharloomError as error:
                raise AssertionError(f"{what}: {error}") from error
            assert len(text) == DRAWS, what
            share = text.count(likeliest) / DRAWS
            gap = size / temperature  # between adjacent logits, divided by the temperature
            if gap > 30:
                assert share == 1, f"{what}: {share} of the likeliest"
            if gap * len(vocabulary) < 1e-3:
                wanted = 1 / len(vocabulary)
                spread = FAR * math.sqrt(wanted / DRAWS)
                assert abs(share - wanted) < spread, f"{what}: {share} of the likeliest"
            written += 1
    return written
