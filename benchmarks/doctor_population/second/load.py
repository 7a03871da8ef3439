"""The second population of submissions: reads the programs and tables of this folder.

    for id, form, source, function, truth in submissions(): ...

A wrong submission is a base program with one edit from `mistakes_NN.toml`; a correct one is a base
program, or one with a harmless edit from `correct.toml`. The population is for measuring the doctor
once: whoever changes the doctor doesn't read it. It imports nothing from charloom.

    python -m benchmarks.doctor_population.second.load

checks the tables and prints their counts.
"""

import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

from .problems import BASES

FOLDER = Path(__file__).parent
FORMS = range(1, 13)
STEPS = ["all", "first", "last", "first half"]
STEPS += ["all but the last", "all but the first", "all but the last two"]
PASSES = ["forward", "cache", "loss", "backward"]


@dataclass(frozen=True)
class Truth:
    """What is wrong with a submission; all but `base`, `cell` and `deviation` only if `wrong`.

    wrong: False for a correct submission, whose `deviation` from the base is a sentence.
    block: the gradients that differ from the derivative of the submission's own loss, by their
        names in the program; empty if the mistake is consistent.
    gate: the gates some of whose rows or blocks differ, as a list, or "all"; empty without gates.
        The candidate is called g in an LSTM and n in a GRU.
    made_in: the gates in whose formulas the mistake itself lies, from which it may spread.
    steps: the time steps at which the local error is made.
    pass_: forward, cache (what forward keeps for backward), loss or backward.
    consistent: the gradient is the derivative of the submission's own loss, which is a wrong one.
    loss_differs: the loss is not the base program's.
    in_one_step: it shows in a sequence of one character too.
    only_in_batch: with a batch of one, the gradient is right.
    only_second_call: the first call's gradient is right.
    """

    base: str
    cell: str
    wrong: bool
    deviation: str = ""
    tolerance: float = 1e-6
    same_loss: bool = True
    what: str = ""
    kind: str = ""
    block: tuple[str, ...] = ()
    gate: tuple[str, ...] | str = ()
    made_in: tuple[str, ...] | str = ()
    steps: str = ""
    pass_: str = ""
    consistent: bool = False
    loss_differs: bool = False
    in_one_step: bool = False
    only_in_batch: bool = False
    only_second_call: bool = False


class Submission(NamedTuple):
    """A submission; `function` is None if it is used through several functions."""

    id: str
    form: int
    source: str
    function: str | None
    truth: Truth


@cache
def program(base: str) -> str:
    """Return the text of a base program."""
    return (FOLDER / "programs" / f"{base}.py").read_text(encoding="utf-8")


def edited(base: str, edits: list[dict]) -> str:
    """Return a base program after some edits; raise ValueError if a text doesn't occur just once."""
    text = program(base)
    for edit in edits:
        count = text.count(edit["old"])
        if count != 1:
            raise ValueError(f"{base} has {edit['old']!r} {count} times, not once")
        text = text.replace(edit["old"], edit["new"])
    return text


def table(name: str) -> list[dict]:
    """Return the entries of a table."""
    return tomllib.loads((FOLDER / name).read_text(encoding="utf-8"))["entry"]


def names_of(value) -> tuple[str, ...] | str:
    """Return a list of names as a tuple; "all" remains "all"."""
    return value if isinstance(value, str) else tuple(value)


def wrong(form: int) -> Iterator[Submission]:
    """Yield a form's submissions with a mistake."""
    for entry in table(f"mistakes_{form:02}.toml"):
        base = BASES[entry["base"]]
        fields = {key: entry[key] for key in ("base", "what", "kind", "steps")}
        fields |= {key: names_of(entry[key]) for key in ("block", "gate", "made_in")}
        flags = ("consistent", "loss_differs", "in_one_step", "only_in_batch")
        flags += ("only_second_call",)
        fields |= {key: entry.get(key, False) for key in flags}
        truth = Truth(cell=base.cell, wrong=True, pass_=entry["pass"], **fields)
        source = edited(entry["base"], entry["edit"])
        yield Submission(entry["id"], base.form, source, base.function, truth)


def right() -> Iterator[Submission]:
    """Yield the correct submissions: all base programs, then the harmless variations."""
    for name, base in BASES.items():
        truth = Truth(name, base.cell, wrong=False)
        yield Submission(f"ok-{name}", base.form, program(name), base.function, truth)
    for entry in table("correct.toml"):
        base = BASES[entry["base"]]
        fields = {key: entry[key] for key in ("tolerance", "same_loss") if key in entry}
        truth = Truth(entry["base"], base.cell, wrong=False, deviation=entry["deviation"], **fields)
        source = edited(entry["base"], entry["edit"])
        function = entry.get("function", base.function)
        yield Submission(entry["id"], base.form, source, function, truth)


def submissions() -> Iterator[Submission]:
    """Yield all submissions, first the wrong ones."""
    for form in FORMS:
        yield from wrong(form)
    yield from right()


def faults(found: list[Submission]) -> list[str]:
    """Return a sentence for each rule that the tables break."""
    told = []
    for field in ("id", "source"):
        counts = Counter(getattr(submission, field) for submission in found)
        told += [f"{value[:40]!r} is there {n} times" for value, n in counts.items() if n > 1]
    for submission in found:
        truth = submission.truth
        if truth.wrong and (truth.steps not in STEPS or truth.pass_ not in PASSES):
            told.append(f"{submission.id}: unknown steps or pass")
        if truth.wrong and bool(truth.block) == truth.consistent:
            told.append(f"{submission.id}: either some blocks are wrong, or it is consistent")
    bad = [submission for submission in found if submission.truth.wrong]
    per_form = Counter(submission.form for submission in bad)
    bases = Counter(base.form for base in BASES.values())
    told += [f"form {form} has fewer than 15 mistakes" for form in FORMS if per_form[form] < 15]
    told += [f"form {form} has fewer than 3 programs" for form in FORMS if bases[form] < 3]
    gated = sum(submission.truth.cell != "rnn" for submission in bad)
    if len(bad) < 220 or gated < 100:
        told.append(f"there are {len(bad)} mistakes, {gated} of them in an LSTM or GRU")
    return told


def counts(found: list[Submission]) -> str:
    """Return the numbers of submissions for each form, pass, cell and number of steps."""
    bad = [submission for submission in found if submission.truth.wrong]
    lines = [f"{len(bad)} wrong and {len(found) - len(bad)} correct submissions"]
    for form in FORMS:
        wrong_ones = sum(submission.form == form for submission in bad)
        all_ones = sum(submission.form == form for submission in found)
        lines.append(f"form {form:2}: {wrong_ones} wrong, {all_ones - wrong_ones} correct")
    for field in ("cell", "pass_", "steps"):
        counted = Counter(getattr(submission.truth, field) for submission in bad)
        lines.append(", ".join(f"{name}: {number}" for name, number in counted.most_common()))
    flags = ("consistent", "only_in_batch", "only_second_call")
    return "\n".join(
        [*lines, *(f"{flag}: {sum(getattr(s.truth, flag) for s in bad)}" for flag in flags)]
    )


def main() -> int:
    """Check the tables and print their counts; return 1 if they break a rule."""
    found = list(submissions())
    told = faults(found)
    print("\n".join([counts(found), *told]))
    return 1 if told else 0


if __name__ == "__main__":
    sys.exit(main())
