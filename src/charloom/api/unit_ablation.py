"""Computes what each hidden unit of a model is worth: the cost in bits per character if it is held at 0 or its mean."""

import math
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from charloom.api.comparison_intervals import BOOTSTRAP_SEED
from charloom.api.evaluation_text import Part, TextChoice
from charloom.api.model import Model, load
from charloom.api.text_arguments import Text, as_path
from charloom.api.unit_search import open_search_text
from charloom.config import require_one_of, require_whole
from charloom.cooperative import run_all_slices
from charloom.cpu_limits import processors
from charloom.engines import Engine, open_engine
from charloom.errors import ConfigError, DivergedError, TextError
from charloom.evaluation import block_sums, interval_of_blocks
from charloom.formatting import bits_per_character, count
from charloom.hidden_units import Choice, blocks, choose
from charloom.messages import for_python
from charloom.model import Learner
from charloom.model.clamp import Clamp
from charloom.model.unit_clamps import clamped
from charloom.notebook_html import card, sentence, table
from charloom.scoring import Piece, evenly_spread_pieces, piece_nats_in_slices
from charloom.text import UnknownPolicy

HELD: Final = ("zero", "mean")
CHARACTERS: Final = (
    12_000  # characters that are predicted for each unit, by default: enough for an interval
)
# With more pieces, the model reads more characters that are not scored. With fewer, the kernels are slower.
PIECES: Final = 8
SHOWN_UNITS: Final = 20  # units that a table shows, by default

Nats = NDArray[np.float64]
# Is called after each unit with the number of units that are done and the number of all units.
Report = Callable[[int, int], None]


def no_report(_done: int, _units: int) -> None:
    """Show nothing."""


@dataclass(frozen=True)
class UnitCost:
    """What a model loses if one of its hidden units is held.

    Attributes:
        layer: number of the layer, from 0.
        unit: number of the unit in its layer, from 0.
        value: the value at which the unit is held.
        bits: the bits per character with the held unit, minus those of the model; below 0 if the model predicts
            better with the held unit.
        interval: the 95 % bootstrap interval of `bits`; None if 9,000 characters or fewer are predicted.
    """

    layer: int
    unit: int
    value: float
    bits: float
    interval: tuple[float, float] | None


@dataclass(frozen=True, repr=False)
class UnitAblation:
    """The cost of each hidden unit of a model. `print` and a notebook show the units with the highest costs.

    Attributes:
        text: the name of the text.
        split: the part of the text: train, validation, test or all.
        characters: number of characters that are predicted for each unit.
        held: "zero" or "mean": the value at which each unit is held in its turn.
        bits: the bits per character of the model itself on the same characters.
        costs: an entry for each unit that the model does not hold itself, highest cost first.
        notes: sentences about the text: which files were read, left out or changed; and about units that the model
            holds itself, which have no cost.
    """

    text: str
    split: str
    characters: int
    held: str
    bits: float
    costs: tuple[UnitCost, ...]
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain data for JSON."""
        return {**asdict(self), "notes": list(self.notes), "costs": list(map(asdict, self.costs))}

    def lines(self, top: int = SHOWN_UNITS, tokens: str = "characters") -> list[str]:
        """Return the lines of a table of the `top` units with the highest costs, below the text and the loss.

        `tokens` is what the model reads: characters or bytes.
        """
        table = [f"{'unit':<10}{'held at':>9}{'costs bits':>12}   95 % between"]
        for cost in self.costs[:top]:
            unit, value, bits, interval = cells_of(cost)
            table.append(f"{unit:<10}{value:>9}{bits:>12}   {interval}".rstrip())
        predicted = f"{count(self.characters)} {tokens} predicted"
        return [
            f"text:       {self.text}, {self.split}: {predicted}",
            f"the model:  {self.bits:.4f} bits per character",
            "",
            *table,
        ]

    def __repr__(self) -> str:
        left = len(self.costs) - SHOWN_UNITS
        more = [f"{count(left)} units with lower costs are not shown."] if left > 0 else []
        return "\n".join([*self.lines(), *more])

    def _repr_html_(self) -> str:
        """Return the units with the highest costs as a table, as HTML for a notebook."""
        rows = [cells_of(cost) for cost in self.costs[:SHOWN_UNITS]]
        headings = ("unit", "held at", "bits per character", "95 % between")
        more = f"{count(len(self.costs))} units, held at {self.held} one at a time; the first are shown."
        return card(f"Cost of each unit on {self.text}", sentence(more), table(headings, rows))


def cells_of(cost: UnitCost) -> tuple[str, ...]:
    """Return the cells of a unit's row in a table."""
    interval = "" if cost.interval is None else "{:+.4f} and {:+.4f}".format(*cost.interval)
    return f"{cost.layer}:{cost.unit}", f"{cost.value:+.3f}", f"{cost.bits:+.4f}", interval


def ablate(
    model: Model | str | Path,
    text: Text | None = None,
    *,
    string: str | None = None,
    split: str | None = None,
    held: str = "zero",
    characters: int = CHARACTERS,
    layer: int | None = None,
    unit: int | None = None,
    unknown: str | None = None,
    replacement: str = "",
) -> UnitAblation:
    """Compute what each hidden unit of a model is worth: the cost in bits per character if the unit is held.

    One unit after another is held, as by `Model.clamp`, and the model predicts the same characters
    (spec/mathematics.md: Ablation).

    Args:
        model: a model, or a path that `load` opens.
        text: paths, or the name of a built-in text, as for `neurons`.
        string: the text itself, instead of `text`.
        split: the part of the text, as for `Model.evaluate`.
        held: "zero" holds each unit at 0, "mean" at its mean over the predicted characters.
        characters: largest number of characters to predict for each unit. They are in at most eight pieces, which
            are spread evenly over the part.
        layer: only the units of this layer, counted from 0.
        unit: only this unit of each layer, counted from 0.
        unknown: as for `neurons`.
        replacement: the character that replaces unknown characters.

    Raises:
        ConfigError: a layer, unit or part does not exist, the model itself holds all of the units, or a value is
            out of its range.
        TextError: the text cannot be read, or has fewer than two characters.
        UnknownCharacterError: the text has a character outside the vocabulary.
        DivergedError: the model's loss is not finite.
    """
    opened = model if isinstance(model, Model) else load(as_path(model, "model"))
    choice = choose(opened.learner, layer, unit, "h")
    require_one_of("held", held, HELD)
    characters = require_whole("characters", characters, least=1)
    policy = None if unknown is None else UnknownPolicy(unknown, replacement)
    found = open_search_text(opened, TextChoice(text, string, split, policy))
    notes = tuple(map(for_python, found.notes))
    return unit_costs(opened, found.part, choice, held, characters, notes)


def unit_costs(
    model: Model,
    part: Part,
    choice: Choice,
    held: str,
    characters: int,
    notes: tuple[str, ...] = (),
    report: Report = no_report,
) -> UnitAblation:
    """Return the cost of each unit of a model. The errors and most arguments are those of `ablate`.

    Args:
        model: the model.
        part: the part of a text that the model predicts.
        choice: the units, with the value h.
        held: "zero" or "mean".
        characters: largest number of characters to predict.
        notes: sentences about the text.
        report: is called after each unit.
    """
    notes = (*notes, *held_notes(model, choice))
    if len(held_notes(model, choice)) == len(choice.layers) * len(choice.units):
        raise ConfigError(
            f"{notes[-1]}; choose another unit, or the model in which it is not held."
        )
    ids, pieces = part.corpus.ids, pieces_to_score(part, characters)
    engine = open_engine(model.engine.name, 1)
    base = run_all_slices(piece_nats_in_slices(engine, model.learner, ids, pieces))
    if not math.isfinite(base.sum()):
        raise DivergedError(
            "the model's loss is not finite: the model diverged; use an earlier checkpoint."
        )
    values = np.zeros((len(choice.layers), len(choice.units)))
    if held == "mean":
        values = mean_values(model, ids, pieces, choice)
    clamps = [
        Clamp(layer, unit, float(value))
        for layer, of_layer in zip(choice.layers, values, strict=True)
        for unit, value in zip(choice.units, of_layer, strict=True)
        if (layer, unit) not in held_units(model)
    ]

    def cost_with(engine: Engine, clamp: Clamp, stopped: threading.Event) -> UnitCost | None:
        nats = nats_unless_stopped(engine, clamped(model.learner, clamp), ids, pieces, stopped)
        return None if nats is None else unit_cost(clamp, nats - base)

    costs = over_all_cores(model, clamps, cost_with, report)
    return UnitAblation(
        part.corpus.name,
        part.split,
        len(base),
        held,
        bits_per_character(float(base.mean())),
        tuple(sorted(costs, key=lambda cost: (-cost.bits, cost.layer, cost.unit))),
        notes,
    )


def held_units(model: Model) -> set[tuple[int, int]]:
    """Return the layer and the unit of each unit that a model holds."""
    return {(clamp.layer, clamp.unit) for clamp in model.clamps}


def held_notes(model: Model, choice: Choice) -> list[str]:
    """Return a sentence for each chosen unit that the model holds, so that it has no cost."""
    return [
        f"{clamp.sentence[:-1]} in this model, so it has no cost"
        for clamp in model.clamps
        if clamp.layer in choice.layers and clamp.unit in choice.units
    ]


def pieces_to_score(part: Part, characters: int) -> list[Piece]:
    """Return at most eight pieces of a part of a text, spread evenly, in which at most `characters` are predicted.

    Raises:
        TextError: no segment of the part has two characters.
    """
    segments = [(start, end) for start, end in part.segments if end - start > 1]
    if not segments:
        raise TextError("the text has nothing to predict; give at least two characters.")
    return evenly_spread_pieces(segments, characters, PIECES)


def mean_values(
    model: Model, ids: Any, pieces: Sequence[Piece], choice: Choice
) -> NDArray[np.float64]:
    """Return the mean of the h of each chosen unit, from which characters are predicted, shape (layers, units).

    Each piece is read from the zero state, and its first characters, which are not scored, do not count.
    """
    total, characters = np.zeros((len(choice.layers), len(choice.units))), 0
    for piece in pieces:
        tokens = np.ascontiguousarray(ids[piece.reads : piece.end - 1])
        skipped = piece.counts - 1 - piece.reads
        for block in blocks(model.learner, model.engine, tokens, choice):
            counted = block[min(skipped, len(block)) :, 0]
            skipped -= len(block) - len(counted)
            total += counted.sum(axis=0, dtype=np.float64)
            characters += len(counted)
    return np.asarray(total / characters)


def nats_unless_stopped(
    engine: Engine, learner: Learner, ids: Any, pieces: Sequence[Piece], stopped: threading.Event
) -> Nats | None:
    """Return the nats of all characters that are scored in `pieces`; None if `stopped` was set before the end."""
    slices = piece_nats_in_slices(engine, learner, ids, pieces)
    while not stopped.is_set():
        try:
            next(slices)
        except StopIteration as end:
            found: Nats = end.value
            return found
    return None


def unit_cost(clamp: Clamp, more: Nats) -> UnitCost:
    """Return the cost of a held unit. `more` has the additional nats of each character."""
    bits = bits_per_character(float(more.mean()))
    interval = interval_of_blocks(block_sums(more), len(more), BOOTSTRAP_SEED)
    return UnitCost(clamp.layer, clamp.unit, clamp.value, bits, interval)


def over_all_cores(
    model: Model,
    clamps: Sequence[Clamp],
    cost_with: Callable[[Engine, Clamp, threading.Event], UnitCost | None],
    report: Report,
) -> list[UnitCost]:
    """Return the cost of each held unit, computed in one thread per core. Ctrl-C ends it soon.

    The kernels run without Python's lock. Each thread has an engine of its own with one thread, so the result does
    not depend on the number of cores.
    """
    own, stopped = threading.local(), threading.Event()

    def open_own() -> None:
        own.engine = open_engine(model.engine.name, 1)

    costs: list[UnitCost] = []
    with ThreadPoolExecutor(min(processors(), len(clamps)), initializer=open_own) as pool:
        try:
            tasks = [pool.submit(lambda c: cost_with(own.engine, c, stopped), c) for c in clamps]
            for task in as_completed(tasks):
                cost = task.result()
                if cost is not None:
                    costs.append(cost)
                report(len(costs), len(clamps))
        except BaseException:
            stopped.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return costs
