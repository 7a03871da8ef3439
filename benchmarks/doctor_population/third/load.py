"""The third population of submissions: reads the programs and tables of this folder.

    for id, form, source, function, truth in submissions(): ...

A wrong submission is a program with one mistake from `tables/wrong_NN.toml`; a correct one is a
program, or one with a harmless edit from `tables/correct.toml`. From each form's mistakes, a fixed
seed chooses so that forms and kinds of mistakes are spread evenly. The population is for measuring
the doctor: whoever changes the doctor doesn't read it. It imports nothing from charloom.

    python -m benchmarks.doctor_population.third.load

checks the tables and prints their counts.
"""

import random
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .bases import FORMS, Base
from .oracle import Network
from .program_calls import BASES

FOLDER = Path(__file__).parent
STEPS = ["all", "first", "last", "first half"]
STEPS += ["all but the last", "all but the first", "all but the last two"]
PASSES = ["forward", "cache", "loss", "backward"]
PER_FORM = 16  # wrong submissions of each form
SEED = 3  # of the choice


@dataclass(frozen=True)
class Truth:
    """What is wrong with a submission; the first fields are about every submission.

    wrong: False for a correct submission, whose `deviation` from the program is a sentence.
    network: what a correct submission computes; for a wrong one, what its program does.
    without: arrays that a correct submission doesn't have; absent: those of the oracle that are 0.
    clip: the limit at which the submission clips its finished gradients, or 0; clip_norm: the norm
        to which it scales them if it is larger, or 0.
    block: the gradients that differ from the derivative of the submission's own loss, by the names
        of the arrays in the program; empty if the mistake is consistent.
    gate: the gates some of whose rows or blocks differ, as a list, or "all"; empty without gates.
        The candidate is called g in an LSTM and n in a GRU.
    made_in: the gates in whose formulas the mistake itself lies, from which it may spread: all
        three for a mistake in the gradient of an LSTM's cell state.
    steps: the time steps at which the local error is made. What a step hands on to the one before
        is an error of that one: a carry that is missing is wrong at all steps but the last.
    pass_: forward, cache (what forward keeps for backward), loss or backward.
    consistent: the gradient is the derivative of the submission's own loss, which is a wrong one.
    loss_differs: the loss is not the program's.
    in_one_step: it shows in a sequence of one character too (not measured if it is consistent).
    only_in_batch: with a batch of one, the gradient is right.
    only_second_call: the first call's gradient is right.
    repeats: it shows only if a character occurs twice.
    """

    base: str
    cell: str
    wrong: bool
    network: Network
    deviation: str = ""
    without: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    clip: float = 0.0
    clip_norm: float = 0.0
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
    repeats: bool = False


class Submission(NamedTuple):
    """A submission; `function` is None if it is used through several functions."""

    id: str
    form: int
    source: str
    function: str | None
    truth: Truth


@cache
def program(base: str) -> str:
    """Return the text of a program."""
    return (FOLDER / "programs" / f"{base}.py").read_text(encoding="utf-8")


def edited(base: str, edits: list[list[str]]) -> str:
    """Return a program after some edits; raise ValueError if a text doesn't occur just once."""
    text = program(base)
    for old, new in edits:
        count = text.count(old)
        if count != 1:
            raise ValueError(f"{base} has {old!r} {count} times, not once")
        text = text.replace(old, new)
    return text


def table(name: str) -> dict[str, dict[str, dict]]:
    """Return the entries of a table, by the name of the program and their own."""
    return tomllib.loads((FOLDER / "tables" / name).read_text(encoding="utf-8"))


def named(value: list[str] | str) -> tuple[str, ...] | str:
    """Return a list of names as a tuple; "all" remains "all"."""
    return value if isinstance(value, str) else tuple(value)


@cache
def labels(base: Base) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the gate of each entry, and the column of U0, of a program's arrays."""
    return base.labelled(base.problem(1))


def blocks(base: Base, text: str) -> tuple[str, ...]:
    """Return the arrays for which a table's words stand.

    `out` is the output's weights and biases, `cell` everything else, `all` both.
    """
    gates, _ = labels(base)
    output = parts(base, "V", "c")
    groups = {"out": output, "cell": set(gates) - output, "all": set(gates)}
    chosen = set()
    for word in text.split():
        chosen |= groups.get(word, {word})
    if chosen - set(gates):
        raise ValueError(f"{base.name} has no {sorted(chosen - set(gates))}")
    return tuple(name for name in gates if name in chosen)


@cache
def parts(base: Base, *wanted: str) -> frozenset[str]:
    """Return the program's arrays that have entries of some of the oracle's arrays."""
    C = base.problem(1).C
    marked = {name: np.full(value.shape, name in wanted) for name, value in C.items()}
    return frozenset(name for name, value in base.layout(marked).items() if value.any())


def gates_of(base: Base, names: tuple[str, ...]) -> tuple[str, ...] | str:
    """Return the gates that have entries in some arrays, or "all"."""
    if len(base.gates) == 1:
        return ()
    found = {int(index) for name in names for index in np.unique(labels(base)[0][name])} - {0}
    letters = tuple(sorted(base.gates[index - 1] for index in found))
    return "all" if len(letters) == len(base.gates) else letters


def wrong_truth(base: Base, kind: str, entry: dict) -> Truth:
    """Return what a table says about a mistake, with what follows from its words."""
    steps, pass_ = entry.get("steps", "all"), entry.get("pass", "backward")
    block = blocks(base, entry.get("block", ""))
    flags = ("consistent", "only_in_batch", "only_second_call", "repeats")
    return Truth(
        base=base.name,
        cell=base.network.cell,
        wrong=True,
        network=base.network,
        clip=base.clip,
        what=entry["what"],
        kind=entry.get("kind", kind),
        block=block,
        gate=named(entry.get("gate", gates_of(base, block))),
        made_in=named(entry.get("made_in", gates_of(base, block) if block else ())),
        steps=steps,
        pass_=pass_,
        loss_differs=entry.get("loss_differs", pass_ in ("forward", "loss")),
        in_one_step=entry.get("in_one_step", steps in ("all", "first", "last")),
        **{flag: entry.get(flag, False) for flag in flags},
    )


def candidates(form: int) -> list[Submission]:
    """Return all mistakes in a form's table."""
    found = []
    for name, entries in table(f"wrong_{form:02}.toml").items():
        base = BASES[name]
        for kind, entry in entries.items():
            source, truth = edited(name, entry["edit"]), wrong_truth(base, kind, entry)
            found.append(Submission(f"{name}-{kind}", base.form, source, base.function, truth))
    return found


@cache
def wrong() -> tuple[Submission, ...]:
    """Return the chosen mistakes: in each form, those of the kinds that are rare so far."""
    rng = random.Random(SEED)
    kinds: Counter[str] = Counter()
    chosen = []
    for form in FORMS:
        left, programs = candidates(form), Counter()
        for _ in range(PER_FORM):
            rng.shuffle(left)
            left.sort(key=lambda one: (programs[one.truth.base], kinds[one.truth.kind]))
            one = left.pop(0)
            kinds[one.truth.kind] += 1
            programs[one.truth.base] += 1
            chosen.append(one)
    return tuple(chosen)


def right_truth(base: Base, entry: dict) -> Truth:
    """Return what a table says about a harmless edit."""
    network = replace(base.network, **entry.get("network", {}))
    lists = {key: tuple(entry.get(key, ())) for key in ("without", "absent")}
    return Truth(
        base=base.name,
        cell=base.network.cell,
        wrong=False,
        network=network,
        deviation=entry["deviation"],
        clip=entry.get("clip", base.clip),
        clip_norm=entry.get("clip_norm", 0.0),
        tolerance=entry.get("tolerance", 1e-6),
        same_loss=network == base.network and not lists["absent"],
        **lists,
    )


def right() -> Iterator[Submission]:
    """Yield the correct submissions: all programs, then the harmless variations."""
    for name, base in BASES.items():
        truth = Truth(name, base.network.cell, False, base.network, clip=base.clip)
        yield Submission(f"ok-{name}", base.form, program(name), base.function, truth)
    for name, entries in table("correct.toml").items():
        base = BASES[name]
        for kind, entry in entries.items():
            source = edited(name, entry["edit"])
            truth = right_truth(base, entry)
            yield Submission(f"ok-{name}-{kind}", base.form, source, base.function, truth)


def submissions() -> Iterator[Submission]:
    """Yield all submissions, first the wrong ones."""
    yield from wrong()
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
    return told + spread_faults(found)


def spread_faults(found: list[Submission]) -> list[str]:
    """Return a sentence for each number of submissions that is too small."""
    bad = Counter(submission.form for submission in found if submission.truth.wrong)
    good = Counter(submission.form for submission in found if not submission.truth.wrong)
    told = [f"form {form} has {bad[form]} mistakes" for form in FORMS if bad[form] < PER_FORM]
    told += [f"form {form} has {good[form]} correct ones" for form in FORMS if good[form] < 6]
    if bad.total() < 250 or good.total() < 150:
        told.append(f"there are {bad.total()} wrong and {good.total()} correct submissions")
    return told


def counts(found: list[Submission]) -> str:
    """Return the numbers of submissions for each form, pass, cell and number of steps."""
    bad = [submission for submission in found if submission.truth.wrong]
    lines = [f"{len(bad)} wrong and {len(found) - len(bad)} correct submissions"]
    for form, title in FORMS.items():
        wrong_ones = sum(submission.form == form for submission in bad)
        all_ones = sum(submission.form == form for submission in found)
        lines.append(
            f"form {form:2}: {wrong_ones} wrong, {all_ones - wrong_ones:2} correct: {title}"
        )
    for attribute in ("cell", "pass_", "steps", "kind"):
        counted = Counter(getattr(submission.truth, attribute) for submission in bad)
        lines.append(", ".join(f"{name}: {number}" for name, number in counted.most_common()))
    flags = ("consistent", "only_in_batch", "only_second_call")
    lines += [f"{flag}: {sum(getattr(one.truth, flag) for one in bad)}" for flag in flags]
    return "\n".join(lines)


def main() -> int:
    """Check the tables and print their counts; return 1 if they break a rule."""
    found = list(submissions())
    told = faults(found)
    print("\n".join([counts(found), *told]))
    return 1 if told else 0


if __name__ == "__main__":
    sys.exit(main())
