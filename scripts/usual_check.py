"""The usual gradient check, as people write it, and the mistakes that it lets through.

H = 5, T = 3, a zero state, weights of 0.01, central differences of the function's own loss at
1e-4, the worst entry's relative error held to 1e-4. Mistakes are those that tests/plants.py edits
into hand-written code. What the check lets through is looked at again with one thing changed, to see
what hid it. It knows nothing of documents.
"""

import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from charloom.doctor import doctor
from charloom.doctor.mistakes import BY_ID
from charloom.engines.reference import ReferenceEngine
from charloom.gradcheck import fresh_problem
from charloom.measures import errors

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from plants import PLANTS, Plant, function

K: Final = 30
STEP: Final = 1e-4
LIMIT: Final = 1e-4
WRITTEN: Final = "loop"  # the hand-written network that the mistakes are planted in

Gradients = dict[str, Any]
LossAndGradients = Callable[..., tuple[float, Gradients]]


class Look(NamedTuple):
    """A problem to check on: what is different from the usual one, and what that is called."""

    told: str
    settings: dict[str, Any]


USUAL: Final = Look("the usual check", {})
OTHERS: Final = (
    Look("h₀ ≠ 0", {"state": "non-zero"}),
    Look("σ = 1", {"sigma": 1.0}),
    Look("T = 25", {"seq_length": 25}),
    Look("all three", {"state": "non-zero", "sigma": 1.0, "seq_length": 25}),
)


class Errors(NamedTuple):
    """Over all parameters: the worst entry's relative error, the worst norm-relative one, and how
    far the loss is from that of the network, relatively."""

    worst: float
    norm: float
    loss: float


NEVER: Final = Errors(math.inf, math.inf, math.inf)  # it failed, or a shape was wrong


def look_at(judged: LossAndGradients, look: Look = USUAL, seed: int = 0) -> Errors:
    """The errors that a check of the function against its own loss finds.

    Every call gets copies, as where the perturbed parameters are made anew.
    """
    settings = {"hidden_size": 5, "seq_length": 3, "vocabulary_size": K} | look.settings
    learner, x, y = fresh_problem(seed=seed, **settings)
    right = ReferenceEngine().loss_and_gradients(learner, x, y)[0]
    params = {name.rpartition(".")[2]: array for name, array in learner.parameters.items()}
    h0, x, y = learner.state["h"][0, 0], x[:, 0].astype(int), y[:, 0].astype(int)

    def call(parameters: Gradients) -> tuple[float, Gradients]:
        copies = {name: array.copy() for name, array in parameters.items()}
        return judged(copies, x.copy(), y.copy(), h0.copy())

    worst = norm = 0.0
    try:
        loss, given = call(params)
        gradients = {name: np.array(given[name], dtype=float) for name in params}
        for name, array in params.items():
            a = gradients[name]
            if a.shape != array.shape:
                return NEVER
            n = np.empty_like(a)
            for entry in np.ndindex(array.shape):
                moved = array.copy()
                moved[entry] = array[entry] + STEP
                after = call({**params, name: moved})[0]
                moved[entry] = array[entry] - STEP
                n[entry] = (after - call({**params, name: moved})[0]) / (2 * STEP)
            sizes = np.abs(a) + np.abs(n)
            worst = max(worst, float((np.abs(a - n) / np.where(sizes == 0, 1, sizes)).max()))
            norm = max(norm, errors(a, n).norm_relative)
    except (ArithmeticError, IndexError, ValueError):
        return NEVER
    return Errors(worst, norm, abs(loss - right) / right)


def plants() -> list[Plant]:
    """The mistakes in the loss and gradients of the plain network, one after another."""
    return [plant for plant in PLANTS if plant.file == WRITTEN]


def measure(chosen: Sequence[Plant]) -> list[dict[str, Any]]:
    """For each mistake, what the usual check sees; where that is nothing, what shows it.

    `worst` is the usual check's error, None where it is no number; `norms` those of the other looks; `loss` the loss's own error;
    `doctor` the ids that the doctor gives.
    """
    rows = []
    for plant in chosen:
        usual = look_at(function(WRITTEN, plant))
        worst = usual.worst if math.isfinite(usual.worst) else None
        row: dict[str, Any] = {"id": plant.id, "note": plant.note, "worst": worst}
        if usual.worst <= LIMIT:
            looks = [look_at(function(WRITTEN, plant), look) for look in OTHERS]
            row["norms"] = [found.norm for found in looks]
            row["loss"] = max(found.loss for found in (usual, *looks))
            row["doctor"] = list(doctor(function(WRITTEN, plant)).mistakes)
        rows.append(row)
    return rows


def let_through(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The mistakes that the usual check calls right."""
    return [row for row in rows if row["worst"] is not None and row["worst"] <= LIMIT]


def shown_by(row: dict[str, Any]) -> str:
    """What shows a mistake that the usual check lets through."""
    seen = [look.told for look, norm in zip(OTHERS, row["norms"], strict=True) if norm > LIMIT]
    alone = [told for told in seen if told != OTHERS[-1].told]
    if alone:
        return " or ".join(alone)
    if seen:
        return "all three together"
    if BY_ID[row["id"]].kind == "calls":
        return "another call"
    return "only the loss itself"


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The mistakes that are let through as a table in Markdown, and how many there are."""
    missed = let_through(rows)
    lines = ["| mistake | what shows it | `charloom doctor` |", "|---|---|---|"]
    for row in missed:
        said = "names it" if row["id"] in row["doctor"] else "says: wrong"
        note = f" ({row['note']})" if row["note"] else ""
        title = BY_ID[row["id"]].title
        lines.append(
            f"| {title}{note} | {shown_by(row)} | {said if row['doctor'] else 'sees nothing'} |"
        )
    named = sum(row["id"] in row["doctor"] for row in missed)
    return "\n".join(
        [
            f"Of {len(rows)} mistakes, planted one at a time in a hand-written network, it lets "
            f"{len(missed)} through. The doctor names {'them all' if named == len(missed) else named}.",
            "",
            *lines,
        ]
    )
