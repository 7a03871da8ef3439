"""Holds the diagnosis as plain data, and the sentences that describe it.

This module computes no gradients, and does not know files, pictures or terminals.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from charloom.diagnosis.found_mistake import Found, reasons_text
from charloom.diagnosis.notebook_diagnosis import diagnosis_card
from charloom.diagnosis.places import NOWHERE, Location, blocks_text
from charloom.formatting import listing, number_of, scientific
from charloom.gradient_errors import rank
from charloom.messages import for_python

RIGHT: Final = "right"
OWN: Final = "right for its own network"
WRONG: Final = "wrong"
IN_THIS_TEXT: Final = (
    "in this text, "  # how a note begins that says what the doctor's names stand for
)
# A difference that is not named beside others: a GRU without a second bias is accepted.
ACCEPTED: Final = "second-bias-left-out"
LOSS: Final = "loss"  # value of `Row.parameter` for the loss


@dataclass(frozen=True)
class Row:
    """The errors of one gradient, or of the loss, in one trial.

    Attributes:
        trial: index of the trial in `Tried.trials`.
        parameter: U, W, b, d, V, c or loss.
        absolute, elementwise, norm_relative: the errors (spec/mathematics.md: The gradient check).
        limit: the largest norm-relative error that rounding can cause.
        index: index of the entry with the largest error in the gradient; empty for the loss.
        given, exact: the function's value and the right value of that entry.
    """

    trial: int
    parameter: str
    absolute: float
    elementwise: float
    norm_relative: float
    limit: float
    index: tuple[int, ...]
    given: float
    exact: float

    @property
    def passed(self) -> bool:
        """Whether the norm-relative error is at most `limit`; False if the error is NaN."""
        return self.norm_relative <= self.limit

    def to_dict(self) -> dict[str, Any]:
        """Return the errors as plain data."""
        return {**vars(self), "index": list(self.index), "passed": self.passed}


@dataclass(frozen=True)
class TrialInfo:
    """The settings of one trial.

    Attributes:
        name: name of the trial.
        hidden_size, seq_length, vocabulary_size: its sizes H, T and K.
        sigma: standard deviation of the weights.
        state: initial state, "zero" or "non-zero".
    """

    name: str
    hidden_size: int
    seq_length: int
    vocabulary_size: int
    sigma: float
    state: str

    def description(self) -> str:
        """Return the sizes, the standard deviation of the weights and the initial state in words."""
        return (
            f"H = {self.hidden_size}, T = {self.seq_length}, K = {self.vocabulary_size}, "
            f"sigma {self.sigma:g}, {self.state} state"
        )


@dataclass(frozen=True)
class Tried:
    """The settings of all trials.

    The certificate shows them, so that users can repeat the trials.
    """

    cell: str
    dtype: str
    reduction: str
    seed: int
    convention: str
    calls: int
    trials: tuple[TrialInfo, ...]


@dataclass(frozen=True, repr=False)
class Diagnosis:
    """The result of `charloom.doctor`. A notebook shows the verdict, the mistakes and the errors.

    Attributes:
        verdict: "right", "right for its own network" or "wrong". The second one says that the gradient
            is exactly that of the function's own loss, but that the network or the loss is not that of
            the specification.
        found: all mistakes that were found, likeliest first; empty if the function is right or no
            known mistake explains its errors.
        explanations: sets of mistakes, likeliest first. Each set alone explains the errors of all
            trials. There are several sets if no trial can distinguish them.
        exact: whether code with the mistakes of an explanation would return every number of every
            trial. It is False if each wrong gradient has a separate explanation, or if the loss is
            not explained.
        rows: errors of each gradient and of the loss in each trial.
        errors_by_step: for each parameter and each step t of the first trial's window, the
            norm-relative error of the gradient of step t's loss alone.
        clues: sentences about the pattern of the errors, such as the first step with an error.
        notes: sentences about the check itself, such as the tolerance that was used.
        tried: the settings of the trials.
        seconds: how long the diagnosis took.
        numerical: the errors of the user's numerical gradient; empty if the user gave none.
        subject: the name of the checked function, or FILE.py:FUNCTION.
        network: the differences of the function's network and loss from the specification, such as a
            reset gate that acts before the product.
        network_known: whether these differences predict the function's losses.
        network_wanted: the differences that the user asked for.
        location: where the gradients are wrong; empty if they are right.
    """

    verdict: str
    found: tuple[Found, ...]
    explanations: tuple[tuple[Found, ...], ...]
    exact: bool
    rows: tuple[Row, ...]
    errors_by_step: dict[str, tuple[float, ...]]
    clues: tuple[str, ...]
    notes: tuple[str, ...]
    tried: Tried
    seconds: float
    numerical: tuple[Row, ...] = ()
    subject: str = ""
    network: tuple[Found, ...] = ()
    network_known: bool = True
    network_wanted: tuple[Found, ...] = ()
    location: Location = NOWHERE

    def __repr__(self) -> str:
        return f"<Diagnosis of {self.subject or 'a function'}: {self.headline()}>"

    def _repr_html_(self) -> str:
        """Return the diagnosis as HTML for a notebook."""
        return diagnosis_card(self.to_dict())

    @property
    def hints(self) -> tuple[str, ...]:
        """The sentences in `clues` that the headline does not have already."""
        headline = self.headline()
        return tuple(clue for clue in self.clues if clue not in headline)

    @property
    def names(self) -> tuple[str, ...]:
        """The sentences in `notes` that say what the doctor's names stand for in the user's code."""
        return tuple(note for note in self.notes if note.startswith(IN_THIS_TEXT))

    @property
    def other_notes(self) -> tuple[str, ...]:
        """The sentences in `notes` that are not in `names`."""
        return tuple(note for note in self.notes if not note.startswith(IN_THIS_TEXT))

    @property
    def named_differences(self) -> tuple[Found, ...]:
        """The differences in `network` that are worth a word: beside others, not a missing second bias."""
        others = tuple(one for one in self.network if one.id != ACCEPTED)
        return others or self.network

    @property
    def accounted(self) -> tuple[Found, ...]:
        """What differs from the exact gradient although the function is right, such as clipping; likeliest first."""
        return self.explanations[0] if self.passed and self.explanations else ()

    @property
    def mistakes(self) -> tuple[str, ...]:
        """The ids of the mistakes in `found`, likeliest first."""
        return tuple(dict.fromkeys(one.id for one in self.found))

    def errors_in_steps(self, limit: float) -> tuple[dict[str, tuple[float, ...]], bool]:
        """Return the errors for a picture, by the name of a gradient, and whether they are those of the places.

        If a place within the steps is wrong by more than `limit`, they are the errors of each step's gradients,
        given what the step receives (`Location.errors`). Otherwise they are `errors_by_step`, because a sum
        over the steps is wrong.
        """
        places = dict(self.location.errors)
        if any(not error <= limit for errors in places.values() for error in errors):
            return places, True
        return {f"d{name}": errors for name, errors in self.errors_by_step.items()}, False

    @property
    def differences(self) -> tuple[str, ...]:
        """The ids of the differences in `network`."""
        return tuple(one.id for one in self.network)

    @property
    def passed(self) -> bool:
        """Whether the gradient is right, for the specification's network or for the function's own."""
        return self.verdict != WRONG

    @property
    def largest_error(self) -> float:
        """The largest norm-relative error of the results that are right; 0 if there are none."""
        return max((row.norm_relative for row in self.rows if row.passed), default=0.0)

    def worst(self) -> Row:
        """Return the row of the gradient or loss with the largest norm-relative error in any trial."""
        return max(self.rows, key=lambda row: rank(row.norm_relative))

    def headline(self) -> str:
        """Return the verdict in one sentence."""
        if self.verdict == RIGHT:
            error = scientific(self.largest_error)
            asked = " for the network that you asked for" if self.network else ""
            if not any(row.parameter == LOSS for row in self.rows):
                return f"Your gradients are right{asked}; your function returned no loss."
            return f"Right{asked}: the largest error is {error}, which rounding explains."
        if self.verdict == OWN:
            return f"{self._own_gradient} {self._own_network}".strip()
        unknown = not self.network_known and LOSS in {
            r.parameter for r in self.rows if not r.passed
        }
        unplaced = bool(self.found) or not (self.location.wrong and self.location.right)
        own = self._own_network if self.network or (unknown and unplaced) else ""
        return f"{self._reason} {own}".strip()

    @property
    def _reason(self) -> str:
        """Why the function is wrong, in one sentence."""
        if not self.found or (self.mistakes == ("not-a-number",) and self.location.wrong):
            if {row.parameter for row in self.rows if not row.passed} == {LOSS}:
                return (
                    "Your gradients are right; the loss is wrong, and no known mistake explains it."
                )
            return f"{self._place} {self._also_not_numbers}".strip()
        kinds = {one.mistake.kind for one in self.found}
        if kinds == {"numerical"}:
            title = self.found[0].mistake.title
            return f"Your gradient is right; your numerical gradient is wrong: {title}."
        if not self.exact and all(one.is_accounted for one in self.found):
            return (
                "Wrong: your gradient is not that of your loss. It is that of the specification's loss, except "
                f"that {listing([one.title for one in self.explanations[0]])}."
            )
        titles = reasons_text(self.explanations[0])
        several = titles.startswith("(1)")
        if len(self.explanations) > 1:
            others = len(self.explanations) - 1
            likely = (
                "these are the most likely reasons" if several else "this is the most likely reason"
            )
            return (
                f"Wrong, and {likely}: {titles} "
                f"({number_of(others, 'other explanation')} would also fit)."
            )
        why = "these are the reasons" if several else "this is why"
        return f"Wrong, and {why}: {titles}."

    @property
    def _place(self) -> str:
        """Where the function is wrong if no known mistake explains it, in one sentence."""
        if self.location.places:
            return f"Wrong: {self.location.place_sentences()[0]}"
        if not self.location.right or not self.location.wrong:
            return "Wrong, and no known mistake explains it."
        wrong, right = blocks_text(self.location.wrong), blocks_text(self.location.right)
        loss = "" if self.network_known else " as gradients of your own loss"
        verb = "are" if len(self.location.wrong) > 1 else "is"
        return (
            f"Wrong, and no known mistake explains it: {listing(wrong)} {verb} wrong{loss}; "
            f"{listing(right)} {'are' if len(self.location.right) > 1 else 'is'} right."
        )

    @property
    def _also_not_numbers(self) -> str:
        """A sentence saying which numbers are not finite, if this is not the only mistake; otherwise ""."""
        titles = [one.title for one in self.found if one.id == "not-a-number"]
        return f"Also, in some trials {listing(titles)}." if titles else ""

    @property
    def _own_gradient(self) -> str:
        """A sentence saying that the gradient is right for the function's own loss."""
        except_for = [one.title for one in self.explanations[0]] if self.explanations else []
        loss = any(row.parameter == LOSS for row in self.rows) or not self.network_known
        right = "that of your loss" if loss else "right for your own network"
        if except_for:
            return f"Your gradient is {right}, except that {listing(except_for)}."
        return f"Your gradient is {'exactly ' if loss else ''}{right}."

    @property
    def _own_network(self) -> str:
        """A sentence saying how the function's network differs from the one that is wanted."""
        if not self.network_known:
            return (
                "Your loss differs from that of the specification, and the doctor does not know why: no "
                "difference that it knows explains it."
            )
        titles = [one.title for one in self.named_differences]
        missing = [
            wanted.title
            for wanted in self.network_wanted
            if not any(one.is_meant_by(wanted) for one in self.network)
        ]
        sentences = []
        if titles:
            sentences.append(
                f"Your network or loss differs from the specification: {listing(titles)}."
            )
        if missing:
            sentences.append(
                f"You asked for this too, but your network is without it: {listing(missing)}."
            )
        return " ".join(sentences)

    def certificate(self) -> str:
        """Return a line that students can hand in: it says that the function is right.

        The line also has the settings of the trials, and the differences of the function's network.
        Return "" if the function is wrong.
        """
        if not self.passed:
            return ""
        tried, sizes = self.tried, self.tried.trials
        mean = ", mean over time" if tried.reduction == "mean" else ""
        names = [*self.differences, *self.mistakes]
        known = ", ".join(names) if self.network_known else "unknown loss"
        asked = bool(self.network_wanted) and self.verdict == RIGHT
        differing = f" [{known}]" if self.verdict == OWN or asked else ""
        longest = max(trial.seq_length for trial in sizes)
        ranges = [
            range_text([getattr(trial, name) for trial in sizes])
            for name in ("hidden_size", "seq_length", "vocabulary_size", "sigma")
        ]
        return (
            f"charloom doctor: {self.subject or 'the function'} is {self.verdict}{differing} ({tried.cell}, {tried.dtype}{mean}): "
            f"{number_of(len(sizes), 'trial')} with H {ranges[0]}, T {ranges[1]}, K {ranges[2]}, sigma "
            f"{ranges[3]}, zero and non-zero initial states, repeated characters, {tried.calls} calls, "
            f"no window longer than {longest} steps, "
            f"seed {tried.seed}; {self._certified}."
        )

    @property
    def _certified(self) -> str:
        """What the certificate says about the errors."""
        if self.network_known:
            return f"largest norm-relative error {self.largest_error:.1e}"
        exceptions = listing([one.title for one in self.found])
        but = f", except that {exceptions}" if exceptions else ""
        return f"the gradient is the derivative of the function's own loss up to 1e-7{but}"

    def to_dict(self, spell: Callable[[str], str] = for_python) -> dict[str, Any]:
        """Return the diagnosis as plain data. Most programs need only `verdict` and `mistakes`.

        Args:
            spell: function that replaces the placeholders in a message by names of arguments. By
                default, the names are those of the Python function.
        """
        return {
            "verdict": self.verdict,
            "mistakes": list(self.mistakes),
            "headline": self.headline(),
            "certificate": self.certificate() or None,
            "exact": self.exact,
            "network": [one.to_dict(spell) for one in self.network],
            "network_known": self.network_known,
            "location": self.location.to_dict(),
            "explanations": [
                [one.to_dict(spell) for one in explanation] for explanation in self.explanations
            ],
            "rows": [row.to_dict() for row in self.rows],
            "numerical": [row.to_dict() for row in self.numerical],
            "errors_by_step": {name: list(errors) for name, errors in self.errors_by_step.items()},
            "clues": list(self.hints),
            "notes": list(self.notes),
            "tried": {
                **vars(self.tried),
                "trials": [dict(vars(trial)) for trial in self.tried.trials],
            },
            "subject": self.subject,
            "seconds": self.seconds,
        }


def range_text(values: Sequence[float]) -> str:
    """Return the smallest and the largest of `values`, such as "3–20", or one number if all are equal."""
    low, high = min(values), max(values)
    return f"{low:g}" if low == high else f"{low:g}–{high:g}"
