"""Holds where a gradient is wrong: its blocks, and the places in the backward pass, as plain data."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from charloom.diagnosis.blocks import Block
from charloom.diagnosis.found_mistake import Found
from charloom.formatting import listing


class Place(NamedTuple):
    """A place in the backward pass at which a function makes a mistake.

    Attributes:
        kind: "logits" (do is wrong), "dh" or "ds" (what a step receives is wrong), "gates" (the gradients
            of some gates), or a gradient, such as "dW", that does not follow from the steps.
        gates: the gates that are wrong; empty if all are, or if the cell has none.
        steps: the steps, from 1, at which it is wrong; empty for a gradient.
        seq_length: number of steps of the window.
        mistake: the known mistake that explains the place alone; None if there is none.
    """

    kind: str
    gates: tuple[str, ...]
    steps: tuple[int, ...]
    seq_length: int
    mistake: Found | None

    @property
    def is_plain_sum(self) -> bool:
        """Whether a whole gradient is wrong, and no known mistake explains it."""
        steps = ("logits", "dh", "ds", "gates")
        return self.kind not in steps and not self.gates and self.mistake is None

    def sentence(self) -> str:
        """Return the place in words."""
        gates = listing(list(self.gates))
        where = {
            "logits": "the gradient of the logits, do, is wrong",
            "dh": "the gradient dh that a step receives from its output and from step t+1 is wrong",
            "ds": "the gradient ds of the cell is wrong",
            "gates": f"the gradient of {'gate' if len(self.gates) == 1 else 'the gates'} {gates} is wrong"
            if self.gates
            else "the gradient da is wrong",
        }.get(self.kind)
        if where is None:
            rows = f" in the rows of {gates}" if self.gates else ""
            where = f"{self.kind} is summed wrongly over the steps{rows}"
        when = f" at {steps_text(self.steps, self.seq_length)}" if self.steps else ""
        name = f": {self.mistake.title}" if self.mistake else ""
        return f"{where}{when}{name}."


def steps_text(steps: Sequence[int], T: int) -> str:
    """Return the steps of a window of T steps in words, such as "all steps but the last"."""
    if len(steps) == T:
        return "every step"
    if tuple(steps) == tuple(range(1, T)):
        return "all steps but the last"
    if tuple(steps) == tuple(range(2, T + 1)):
        return "all steps but the first"
    if steps == (1,):
        return "the first step only"
    if steps == (T,):
        return "the last step only"
    return f"step{'' if len(steps) == 1 else 's'} {listing([str(t) for t in steps])} of {T}"


class Location(NamedTuple):
    """Where the gradients are wrong.

    Attributes:
        wrong: the blocks that are wrong in some trial.
        right: the blocks that are right in all trials.
        places: the places in the backward pass at which the mistakes are made.
        errors: pairs of a name and a tuple, for the logits, "do", and for each gate, such as "da_f", or for
            "da": the relative error of each step's gradient, compared with the one that follows from what the step receives. Empty if
            only the blocks are known.
    """

    wrong: tuple[Block, ...] = ()
    right: tuple[Block, ...] = ()
    places: tuple[Place, ...] = ()
    errors: tuple[tuple[str, tuple[float, ...]], ...] = ()

    def in_network(self, network: Sequence[Found], cell: str) -> "Location":
        """Return the location with the titles of mistakes for a network with this cell and these differences."""
        places = (
            place._replace(mistake=place.mistake and place.mistake.in_network(network, cell))
            for place in self.places
        )
        return self._replace(places=tuple(places))

    def sentences(self, everything: bool, right_said: bool) -> list[str]:
        """Return sentences about the blocks of gates.

        Args:
            everything: whether to return sentences about the places too.
            right_said: whether the gradients that are right as a whole are named already.
        """
        found = self.place_sentences() if everything else []
        if any(block.gate for block in self.wrong):
            found.append(self._wrong_rows)
            if self.right and (not right_said or any(block.gate for block in self.right)):
                found.append(f"right: {listing(blocks_text(self.right))}.")
        return found

    @property
    def _wrong_rows(self) -> str:
        """A sentence that says which rows are wrong, or at which gate the mistake is made that made them wrong."""
        parameters = list(dict.fromkeys(block.parameter for block in self.wrong if block.gate))
        names = listing([f"d{name}" for name in parameters])
        made_at = [gate for place in self.places for gate in place.gates if place.kind == "gates"]
        spread = any(block.gate not in made_at for block in self.wrong if block.gate)
        if made_at and spread and all(place.gates for place in self.places):
            gates = f"gate {made_at[0]}" if len(made_at) == 1 else f"the gates {listing(made_at)}"
            return (
                f"the mistake is made at {gates}; the other rows of {names} are wrong because the error spreads "
                "to earlier steps."
            )
        right_rows = {block.parameter for block in self.right if block.gate}
        if right_rows.isdisjoint(parameters):
            whole = [f"d{block.parameter}" for block in self.wrong if not block.gate]
            return f"wrong: every row of {names}{f', and {listing(whole)}' if whole else ''}."
        return f"wrong: {listing(blocks_text(self.wrong))}."

    def place_sentences(self) -> list[str]:
        """Return a sentence about each place; whole gradients without a known mistake share one."""
        sums = [place for place in self.places if place.is_plain_sum]
        found = [place.sentence() for place in self.places if place not in sums]
        if len(sums) == 1:
            found.append(sums[0].sentence())
        elif sums:
            names = listing([place.kind for place in sums])
            found.append(
                f"{names} are summed wrongly over the steps, although your da and do are right."
            )
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return the location as plain data."""
        return {
            "wrong": [list(block) for block in self.wrong],
            "right": [list(block) for block in self.right],
            "places": [
                {
                    "kind": place.kind,
                    "gates": list(place.gates),
                    "steps": list(place.steps),
                    "seq_length": place.seq_length,
                    "mistake": place.mistake and place.mistake.id,
                    "variant": place.mistake and place.mistake.variant,
                    "sentence": place.sentence(),
                }
                for place in self.places
            ],
            "errors": {name: list(errors) for name, errors in self.errors},
        }


def blocks_text(blocks: Sequence[Block]) -> list[str]:
    """Return the blocks in words; the rows of several gates of one gradient share an item."""
    by_parameter: dict[str, list[str]] = {}
    for block in blocks:
        by_parameter.setdefault(block.parameter, []).append(block.gate)
    return [
        f"the rows of {', '.join(gates)} in d{name}" if any(gates) else f"d{name}"
        for name, gates in by_parameter.items()
    ]


NOWHERE: Final = Location()
