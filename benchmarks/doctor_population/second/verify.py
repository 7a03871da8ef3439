"""Measures what is wrong with each submission of the second population and compares its table.

The oracle is the central difference of a submission's own loss in float64, on random problems with
large weights and an initial state that is not zero. It knows nothing of charloom.

    python -m benchmarks.doctor_population.second.verify [--only TEXT]
"""

import argparse
import sys
import time
import warnings
from dataclasses import dataclass

import numpy as np

from .load import Submission, Truth, program, submissions
from .problems import BASES, Base, Problem

STEP = 1e-5  # of the central difference: its error is about 1e-9, relative
WRONG = 1e-4  # relative norm of the error from which a block is called wrong
SAME = 1e-9  # relative difference of two losses that are called the same
T, N = 6, 2  # not the sizes of the network, so that a wrong divisor shows
FLAGS = ("loss_differs", "in_one_step", "only_in_batch", "only_second_call")
INITIAL = ("h0", "dh0", "da0")  # to which a gradient is carried also in one step


@dataclass(frozen=True)
class Measured:
    """What the numbers say about a submission, in the words of `Truth`, and the relative errors."""

    block: tuple[str, ...]
    gate: tuple[str, ...] | str
    loss_differs: bool
    only_in_batch: bool
    only_second_call: bool
    at_one_step: tuple[str, ...] | str  # gates that are wrong in a sequence of one character
    in_one_step: bool
    largest_right: float
    smallest_wrong: float


def fresh(code) -> dict:
    """Run a compiled submission and return its namespace."""
    namespace = {"__name__": "submission"}
    exec(code, namespace)
    return namespace


def started(namespace: dict, problem: Problem, blocks=None):
    """Return a function that calls the submission of a namespace on copies of the blocks."""
    blocks = problem.blocks if blocks is None else blocks
    return problem.start(namespace, {name: value.copy() for name, value in blocks.items()})


def difference(code, problem: Problem, clip: float | None) -> dict[str, np.ndarray]:
    """Return the central differences of the submission's loss, clipped as the program clips."""
    result = {}
    namespace = fresh(code)
    blocks = {name: value.copy() for name, value in problem.blocks.items()}
    for name, value in blocks.items():
        slope = np.zeros_like(value)
        for index in np.ndindex(value.shape):
            kept = value[index]
            value[index] = kept + STEP
            upper = started(namespace, problem, blocks)()[0]
            value[index] = kept - STEP
            slope[index] = (upper - started(namespace, problem, blocks)()[0]) / (2 * STEP)
            value[index] = kept
        result[name] = slope if clip is None else np.clip(slope, -clip, clip)
    return result


def error(found, wanted) -> float:
    """Return the norm of the difference relative to the larger norm; infinite for another shape."""
    found, wanted = np.asarray(found, dtype=float), np.asarray(wanted)
    if found.shape != wanted.shape or not np.isfinite(found).all():
        return np.inf
    size = max(np.linalg.norm(found), np.linalg.norm(wanted))
    return 0.0 if size < 1e-9 else float(np.linalg.norm(found - wanted) / size)


def errors_of(call, wanted) -> tuple[float, dict, dict]:
    """Call the submission; return its loss, its gradients and the relative error of each block."""
    loss, grads = call()
    grads = {name: np.array(grads[name]) for name in wanted}
    return float(loss), grads, {name: error(grads[name], wanted[name]) for name in wanted}


def gates_wrong(problem: Problem, grads, wanted) -> tuple[str, ...] | str:
    """Return the gates with a wrong part in some block; "all" if no gate is right."""
    found = [
        gate
        for gate, parts in problem.gates.items()
        if any(
            grads[name].shape != wanted[name].shape
            or error(grads[name][index], wanted[name][index]) > WRONG
            for name, index in parts
        )
    ]
    return "all" if found and len(found) == len(problem.gates) else tuple(sorted(found))


def seeded(base: Base, steps: int, batch: int) -> Problem:
    """Return the random problem of a base program for a number of steps and a batch size."""
    return base.make(np.random.default_rng(2), steps, batch)


def differs(first: float, second: float) -> bool:
    """Tell whether two losses are different numbers."""
    return bool(abs(first - second) > SAME * max(abs(first), abs(second)))


def measure(submission: Submission) -> Measured:
    """Measure a submission on a batch, in a sequence of one character and with a batch of one."""
    base = BASES[submission.truth.base]
    code = base.compiled(submission.source, submission.id)
    original = base.compiled(program(submission.truth.base), submission.truth.base)

    problem = seeded(base, T, N)
    wanted = difference(code, problem, base.clip)
    call = started(fresh(code), problem)
    loss, grads, errors = errors_of(call, wanted)
    loss_differs = differs(loss, started(fresh(original), problem)()[0])
    first_is_right = max(errors.values()) <= WRONG
    if first_is_right:  # a second call must not change anything
        again, later, later_errors = errors_of(call, wanted)
        if not differs(loss, again):
            grads, errors = later, later_errors
    bad = {name for name, value in errors.items() if value > WRONG}

    short = seeded(base, 1, N)
    short_wanted = difference(code, short, base.clip)
    short_call = started(fresh(code), short)
    _, short_grads, short_errors = errors_of(short_call, short_wanted)
    if first_is_right:
        _, short_grads, short_errors = errors_of(short_call, short_wanted)

    only_in_batch = False
    if bad and base.batched:
        single = seeded(base, 3, 1)
        single_wanted = difference(code, single, base.clip)
        single_call = started(fresh(code), single)
        single_errors = errors_of(single_call, single_wanted)[2]
        if first_is_right:
            single_errors = errors_of(single_call, single_wanted)[2]
        only_in_batch = max(single_errors.values()) <= WRONG

    return Measured(
        block=tuple(name for name in wanted if name in bad),
        gate=gates_wrong(problem, grads, wanted),
        loss_differs=loss_differs,
        only_in_batch=only_in_batch,
        only_second_call=first_is_right and bool(bad),
        at_one_step=gates_wrong(short, short_grads, short_wanted),
        in_one_step=any(v > WRONG for name, v in short_errors.items() if name not in INITIAL),
        largest_right=max([v for name, v in errors.items() if name not in bad], default=0.0),
        smallest_wrong=min([errors[name] for name in bad], default=np.inf),
    )


def names(base: Base, gates: tuple[str, ...] | str) -> set[str]:
    """Return the set of gates that a tuple or "all" stands for."""
    return set(seeded(base, 1, 1).gates if gates == "all" else gates)


def one_step_faults(truth: Truth, found: Measured) -> list[str]:
    """Compare the steps and `made_in` with a sequence of one character: no mistake spreads there."""
    base = BASES[truth.base]
    spread = truth.steps.startswith("all but") or truth.steps == "first half"
    if spread and found.in_one_step:
        return [f"steps are {truth.steps!r}, but it is wrong with one step"]
    unseen = {"f"} if base.form == 5 else set()  # its layers begin with a cell of zeros
    places = [names(base, gates) - unseen for gates in (found.at_one_step, truth.made_in)]
    if found.in_one_step and places[0] != places[1]:
        return [f"made in {truth.made_in}, but with one step {found.at_one_step} are wrong"]
    return []


def wrong_faults(truth: Truth, found: Measured) -> list[str]:
    """Return what the table of a wrong submission says otherwise than the numbers."""
    told = [
        f"{name} is {getattr(truth, name)}, but measured {getattr(found, name)}"
        for name in ("block", "gate", *FLAGS)
        if getattr(truth, name) != getattr(found, name)
    ]
    if truth.loss_differs != (truth.pass_ in ("forward", "loss")):
        told.append(f"the pass is {truth.pass_}, but the loss differs: {truth.loss_differs}")
    if truth.consistent and not found.loss_differs:
        told.append("it is consistent, and its loss is the base program's: nothing is wrong")
    return told + one_step_faults(truth, found)


def right_faults(truth: Truth, found: Measured) -> list[str]:
    """Return why a correct submission is not correct."""
    told = [f"{name} is wrong" for name in found.block]
    if found.loss_differs == truth.same_loss:
        told.append(f"the loss is the base's: {not found.loss_differs}, not {truth.same_loss}")
    return told


def check(submission: Submission) -> list[str]:
    """Return a sentence for each statement about a submission that the numbers contradict."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # such as the logarithm of zero: students' code has them
        found = measure(submission)
    truth = submission.truth
    told = wrong_faults(truth, found) if truth.wrong else right_faults(truth, found)
    if found.largest_right > truth.tolerance:
        told.append(f"the error of a right block is {found.largest_right:.1e}")
    return [f"{submission.id}: {sentence}" for sentence in told]


def one_thread() -> None:
    """Let PyTorch use one thread: the arrays are tiny."""
    import torch

    torch.set_num_threads(1)


def main() -> int:
    """Check all submissions, or those whose id contains a text; return 1 if some table is false."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="check only ids that contain this text")
    only = parser.parse_args().only
    one_thread()
    began = time.perf_counter()
    chosen = [submission for submission in submissions() if only in submission.id]
    false = 0
    for submission in chosen:
        for sentence in check(submission):
            print(sentence, flush=True)
            false += 1
    seconds = time.perf_counter() - began
    print(f"{len(chosen)} submissions checked in {seconds:.0f} s, {false} false statements")
    return 1 if false else 0


if __name__ == "__main__":
    sys.exit(main())
