"""Measures each submission of the third population and compares the numbers with its table.

The right gradient is the central difference of the oracle's loss, or, if the submission has another
loss than the oracle's, of its own loss. It knows nothing of charloom.

    python -m benchmarks.doctor_population.third.verify [--only TEXT] [--every N]
"""

import argparse
import contextlib
import io
import sys
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from multiprocessing import get_context

import numpy as np

from charloom.cpu_limits import processors

from .bases import FORMS, Base, Problem
from .load import Submission, Truth, candidates, labels, parts, right, submissions
from .oracle import Network, derivative
from .oracle import loss as oracle_loss
from .program_calls import BASES

STEP = 1e-5  # of the central difference of a submission's loss: its error is about 1e-9, relative
WRONG = 1e-4  # relative norm of the error from which an array is called wrong
SAME = 1e-9  # relative difference of two losses that are called the same
T, N = 5, 2  # not the sizes of the network, so that a wrong divisor shows
SEEDS = (7, 8, 9)  # of the problems on which losses are compared


@dataclass(frozen=True)
class Setting:
    """The problem on which something is measured."""

    T: int
    N: int
    absent: tuple[str, ...] = ()
    repeats: bool = False
    seed: int = SEEDS[0]


@dataclass(frozen=True)
class Result:
    """The numbers of one measurement; errors and wanted are by the names of the program's arrays."""

    same_loss: bool
    first_is_right: bool
    grads: dict[str, np.ndarray]
    wanted: dict[str, np.ndarray]
    errors: dict[str, float]

    @property
    def bad(self) -> tuple[str, ...]:
        """The arrays whose gradient is wrong."""
        return tuple(name for name, value in self.errors.items() if value > WRONG)


@cache
def posed(base: Base, setting: Setting) -> Problem:
    """Return a program's random problem; with `repeats`, some character occurs more than once."""
    problem = base.problem(setting.T, setting.N, setting.absent, setting.seed)
    if setting.repeats:
        problem.ids[:] = np.arange(setting.T) % 2
        problem.C["x"] = np.eye(problem.C["x"].shape[2])[problem.ids]
    return problem


@cache
def oracle(base: Base, network: Network, setting: Setting) -> tuple[float, dict]:
    """Return the loss of the oracle and its derivative, as the program arranges it."""
    problem = posed(base, setting)
    slopes = derivative(network, problem.C, problem.y)
    return oracle_loss(network, problem.C, problem.y), base.layout(slopes)


class Runner:
    """Runs a submission on problems."""

    def __init__(self, submission: Submission):
        self.base = BASES[submission.truth.base]
        self.truth = submission.truth
        self.code = compile(submission.source, submission.id, "exec")
        self.results: dict[Setting, Result] = {}
        self.pure: dict | None = (
            None  # the namespace of a program in JAX, which takes long to compile
        )

    def fresh(self) -> dict:
        """Execute the submission and return its namespace."""
        if self.pure is not None:
            return self.pure
        namespace = {"__name__": "submission"}
        with contextlib.redirect_stdout(io.StringIO()):  # a notebook prints while it is run
            exec(self.code, namespace)
        self.pure = namespace if self.base.form == 16 else None
        return namespace

    def arrays(self, problem: Problem) -> dict[str, np.ndarray]:
        """Return the arrays that the submission has."""
        arranged = self.base.layout(problem.C).items()
        return {k: np.array(v) for k, v in arranged if k not in self.truth.without}

    def started(self, namespace: dict, problem: Problem, arrays: dict):
        """Return a function that calls the submission on copies of the arrays."""
        copies = {name: value.copy() for name, value in arrays.items()}
        return self.base.start(namespace, copies, problem)

    def own_derivative(self, problem: Problem) -> dict[str, np.ndarray]:
        """Return the central differences of the submission's own loss."""
        namespace, arrays, result = self.fresh(), self.arrays(problem), {}
        for name, value in arrays.items():
            slope = np.zeros(value.shape)
            for index in np.ndindex(value.shape):
                kept, found = value[index], []
                for distance in (STEP, -STEP):
                    value[index] = kept + distance
                    found.append(float(self.started(namespace, problem, arrays)()[0]))
                value[index] = kept
                slope[index] = (found[0] - found[1]) / (2 * STEP)
            result[name] = slope
        return result

    def has_the_oracles_loss(self, network: Network, setting: Setting) -> bool:
        """Tell whether the losses of some problems are those of the oracle."""
        namespace = self.fresh()
        for seed in SEEDS:
            problem = posed(self.base, replace(setting, seed=seed))
            call = self.started(namespace, problem, self.arrays(problem))
            expected = oracle_loss(network, problem.C, problem.y)
            if differs(call()[0], expected, max(SAME, self.truth.tolerance / 10)):
                return False
        return True

    def clipped(self, grads: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return gradients as the submission clips them."""
        limit = self.truth.clip or np.inf
        norm = np.sqrt(sum(np.sum(value**2) for value in grads.values()))
        scale = min(1.0, self.truth.clip_norm / norm) if self.truth.clip_norm else 1.0
        return {name: np.clip(scale * value, -limit, limit) for name, value in grads.items()}

    def measured(self, setting: Setting) -> Result:
        """Return the numbers for a setting; measure each only once."""
        setting = setting if self.base.batched else replace(setting, N=1)
        if setting not in self.results:
            self.results[setting] = self.measure(setting)
        return self.results[setting]

    def measure(self, setting: Setting) -> Result:
        """Call the submission, twice if the first gradient is right, and compare the gradient."""
        problem = posed(self.base, setting)
        same_loss = self.has_the_oracles_loss(self.truth.network, setting)
        if same_loss:
            wanted = oracle(self.base, self.truth.network, setting)[1]
        else:
            wanted = self.own_derivative(problem)
        wanted = self.clipped({k: v for k, v in wanted.items() if k not in self.truth.without})
        call = self.started(self.fresh(), problem, self.arrays(problem))
        grads, errors = compared(call()[1], wanted)
        first_is_right = max(errors.values()) <= WRONG
        if first_is_right:
            grads, errors = compared(call()[1], wanted)
        return Result(same_loss, first_is_right, grads, wanted, errors)


def compared(found: dict, wanted: dict[str, np.ndarray]) -> tuple[dict, dict]:
    """Return gradients as arrays, and the error of each."""
    grads = {name: np.array(found[name], dtype=float) for name in wanted}
    return grads, {name: error(grads[name], wanted[name]) for name in wanted}


def differs(first: float, second: float, limit: float = SAME) -> bool:
    """Tell whether two losses are different numbers."""
    return bool(abs(first - second) > limit * max(abs(first), abs(second)))


def error(found: np.ndarray, wanted: np.ndarray) -> float:
    """Return the norm of the difference relative to the larger norm; infinite for another shape."""
    if found.shape != wanted.shape or not np.isfinite(found).all():
        return np.inf
    size = max(np.linalg.norm(found), np.linalg.norm(wanted))
    return 0.0 if size < 1e-9 else float(np.linalg.norm(found - wanted) / size)


def misses(result: Result, name: str, own: np.ndarray) -> bool:
    """Tell whether the marked entries of a gradient are wrong; all are if its shape is wrong."""
    if result.errors[name] == np.inf:
        return True
    return error(result.grads[name][own], result.wanted[name][own]) > WRONG


def gates_wrong(base: Base, result: Result, among: frozenset[str] = frozenset()):
    """Return the gates with a wrong part in some array; "all" if no gate is right."""
    if len(base.gates) == 1:
        return ()
    gates, _ = labels(base)
    found = []
    for index, letter in enumerate(base.gates, start=1):
        for name in result.wanted:
            if among and name not in among:
                continue
            own = gates[name] == index
            if not own.any():
                continue
            if misses(result, name, own):
                found.append(letter)
    letters = tuple(sorted(set(found)))
    return "all" if len(letters) == len(base.gates) else letters


def columns_wrong(base: Base, problem: Problem, result: Result) -> dict[int, set[str]] | None:
    """Return the gates whose part of a step's column of U0 is wrong, for each step with such gates.

    Steps begin with 1. The result is None if no array with columns of U0 is wrong.
    """
    gates, columns = labels(base)
    named = [name for name in result.bad if columns[name].any()]
    if not named:
        return None
    found: dict[int, set[str]] = {}
    for t, character in enumerate(problem.ids[0], start=1):
        for name in named:
            for index, letter in enumerate(base.gates, start=1):
                own = (columns[name] == character + 1) & (gates[name] == index)
                if misses(result, name, own):
                    found.setdefault(t, set()).add(letter)
    return found


def steps_faults(steps: str, seen: dict[int, set[str]], in_one_step: bool) -> list[str]:
    """Compare the stated steps with the columns of U0: an error spreads to earlier steps only.

    in_one_step: whether the only column is wrong in a sequence of one character. If it isn't, a
    mistake at all steps shows there from the last but one on.
    """
    last = max(seen, default=0)
    expected = {
        "all": T if in_one_step else T - 1,
        "last": T,
        "first": 1,
        "all but the last": T - 1,
        "all but the last two": T - 2,
        "all but the first": T,
        "first half": T // 2,
    }[steps]
    if last != expected:
        return [f"the steps are {steps!r}, but the columns of {sorted(seen)} are wrong"]
    if steps == "all but the first" and 1 in seen:
        return ["the column of the first step is wrong too"]
    return []


def made_in_faults(base: Base, truth: Truth, gates: set[str], first_step: bool) -> list[str]:
    """Compare `made_in` with the gates that are wrong in the last wrong step: none are from others.

    first_step: whether it is the first one, where the f of a program without c0 multiplies zeros.
    """
    stated = set(base.gates if truth.made_in == "all" else truth.made_in)
    unseen = {"f"} if first_step and "s0" not in base.states else set()
    if len(base.gates) > 1 and gates - unseen != stated - unseen:
        return [f"made in {sorted(stated)}, but {sorted(gates)} are wrong in the last wrong step"]
    return []


def one_step_faults(runner: Runner, truth: Truth) -> list[str]:
    """Compare `in_one_step` and `made_in` with a sequence of one character."""
    base = runner.base
    result = runner.measured(Setting(1, N, repeats=truth.repeats))
    # Carries reach the initial state, whose gradient is one step further back.
    initial = {"h0", "a0", "x"}
    seen = set(result.bad) - (initial if set(truth.block) - initial else set())
    if bool(seen) != truth.in_one_step:
        return [f"in_one_step is {truth.in_one_step}, but with one step {sorted(seen)} are wrong"]
    # Within a step, errors spread from the last layer to the others only.
    last = base.network.layers - 1
    upper = parts(base, *(f"{name}{last}" for name in "UWbd"))
    gates = gates_wrong(base, result, upper) or gates_wrong(base, result)
    gates = set(base.gates) if gates == "all" else set(gates)
    return made_in_faults(base, truth, gates, True) if truth.in_one_step else []


def wrong_faults(runner: Runner) -> list[str]:
    """Return what the table of a wrong submission says otherwise than the numbers."""
    truth, base = runner.truth, runner.base
    result = runner.measured(Setting(T, N, repeats=truth.repeats))
    found = {
        "block": result.bad,
        "gate": gates_wrong(base, result),
        "loss_differs": not result.same_loss,
        "only_second_call": result.first_is_right and bool(result.bad),
    }
    if base.batched or truth.only_in_batch:
        single = runner.measured(Setting(T, 1, repeats=truth.repeats))
        found["only_in_batch"] = bool(result.bad) and not single.bad
    told = [
        f"{name} is {getattr(truth, name)}, but measured {value}"
        for name, value in found.items()
        if getattr(truth, name) != value
    ]
    if truth.consistent:
        return (
            told if not result.same_loss else [*told, "nothing is wrong: the loss is the oracle's"]
        )
    right_ones = [value for name, value in result.errors.items() if name not in result.bad]
    if max(right_ones, default=0.0) > truth.tolerance:
        told.append(f"the error of a right array is {max(right_ones):.1e}")
    told += one_step_faults(runner, truth)
    return told + column_faults(runner)


def column_faults(runner: Runner) -> list[str]:
    """Compare the stated steps with the columns of U0 that are wrong, if they can show them."""
    truth, base = runner.truth, runner.base
    if truth.only_in_batch or truth.only_second_call or truth.repeats:
        return []
    only_sums = not parts(base, "b0") & set(truth.block)  # each da is right
    if truth.pass_ == "forward" or (truth.pass_ == "cache" and only_sums):
        return []
    found = []
    for setting in (Setting(T, 1), Setting(1, N)):
        result = runner.measured(setting)
        found.append(columns_wrong(base, posed(base, setting), result))
    if found[0] is None or (not found[0] and len(truth.block) == 1):  # such as W over [h, x]
        return []
    told = steps_faults(truth.steps, found[0], bool(found[1]) or not truth.in_one_step)
    if found[0] and not truth.in_one_step and base.network.layers == 1:
        last = max(found[0])
        told += made_in_faults(base, truth, found[0][last], last == 1)
    return told


def right_faults(runner: Runner) -> list[str]:
    """Return why a correct submission is not correct, on a batch and with one step."""
    truth, told = runner.truth, []
    for setting in (Setting(T, N, truth.absent), Setting(3, 1, truth.absent, repeats=True)):
        result = runner.measured(setting)
        if not result.same_loss:
            told.append("the loss is not that of the stated network")
        told += [
            f"the error of {name} is {value:.1e}"
            for name, value in result.errors.items()
            if value > truth.tolerance
        ]
    return told


def check(submission: Submission) -> list[str]:
    """Return a sentence for each statement about a submission that the numbers contradict."""
    runner = Runner(submission)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # such as the logarithm of zero: students' code has them
        told = wrong_faults(runner) if submission.truth.wrong else right_faults(runner)
    return [f"{submission.id}: {sentence}" for sentence in told]


def check_all(found: list[Submission]) -> list[str]:
    """Check some submissions; one that fails is reported too."""
    told = []
    for submission in found:
        try:
            told += check(submission)
        except Exception as problem:
            told.append(f"{submission.id}: {type(problem).__name__}: {problem}")
    return told


def prepare() -> None:
    """Let PyTorch use one thread, since the arrays are tiny, and JAX use float64."""
    if find_spec("torch"):
        import torch

        torch.set_num_threads(1)
    if find_spec("jax"):
        import jax

        jax.config.update("jax_enable_x64", True)


def available(found: list[Submission]) -> list[Submission]:
    """Return the submissions whose library is installed; say how many are left out."""
    missing = [name for name in ("torch", "jax") if find_spec(name) is None]
    kept = [one for one in found if not any(f"import {name}" in one.source for name in missing)]
    if missing:
        print(f"{len(found) - len(kept)} submissions are left out, without {' and '.join(missing)}")
    return kept


def chosen(options: argparse.Namespace) -> list[Submission]:
    """Return the submissions for which the options ask."""
    found = list(submissions())
    if options.candidates:
        found = [one for form in FORMS for one in candidates(form)] + list(right())
    found = [one for one in found if options.only in one.id]
    return available(found[:: options.every])


def main() -> int:
    """Check all submissions, or some of them; return 1 if some table is false."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="check only ids that contain this text")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="check every Nth only")
    parser.add_argument(
        "--candidates", action="store_true", help="check also the mistakes that were not chosen"
    )
    began = time.perf_counter()
    found = chosen(parser.parse_args())
    by_base: dict[str, list[Submission]] = {}
    for submission in found:
        by_base.setdefault(submission.truth.base, []).append(submission)
    false = 0
    with ProcessPoolExecutor(processors(), get_context("spawn"), prepare) as pool:
        for told in pool.map(check_all, by_base.values()):
            false += len(told)
            print(*told, sep="\n", end="\n" if told else "", flush=True)
    seconds = time.perf_counter() - began
    print(f"{len(found)} submissions checked in {seconds:.0f} s, {false} false statements")
    return 1 if false else 0


if __name__ == "__main__":
    sys.exit(main())
