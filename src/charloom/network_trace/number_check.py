"""Compares a student's own numbers with the values of a trace, and finds the first wrong one."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from charloom.errors import ConfigError
from charloom.formatting import counted, excerpt
from charloom.name_suggestions import did_you_mean
from charloom.network_trace.given_numbers import GivenNumbers
from charloom.network_trace.trace_text import rows_of
from charloom.network_trace.traced_value import TracedValue
from charloom.notebook_html import verdict as verdict_html

Verdict = Literal["right", "wrong", "unknown"]

# Names from well-known course code, and the names here.
ALIASES: Final = {
    "Wxh": "U", "Whh": "W", "bh": "b", "Why": "V", "by": "c", "hs": "h", "xs": "x", "ys": "o", "ps": "p",
    "dWxh": "dU", "dWhh": "dW", "dbh": "db", "dWhy": "dV", "dby": "dc", "dy": "do", "dhraw": "da", "dhnext": "dh_next",
    "Wax": "U", "Waa": "W", "ba": "b", "Wya": "V", "dWax": "dU", "dWaa": "dW", "dba": "db", "dWya": "dV",
}  # fmt: skip
INDEXED: Final = re.compile(r"(.*?[A-Za-z])_?[\[(]?(\d+)[\])]?")
MOST_NAMES: Final = 30  # names in a line of the text
# A wrong value is called a multiple of the right one only if it differs from it by this many tolerances.
CLEAR_FACTOR: Final = 5.0
TRANSPOSED: Final = "your matrix is transposed"
TRANSPOSE: Final = "your numbers are the transpose of the right ones"
WHOLE: Final = "numbers without decimals are judged as rounded to whole numbers"
MOST_MISSING: Final = 5  # names of values that were not given

OTHER_NETWORK: Final = (
    "None of your numbers is right, so they may be those of another network. Compare its seed, parameters, ids and initial "
    "state with the trace."
)


@dataclass(frozen=True, eq=False)
class JudgedNumbers:
    """The verdict on the student's numbers for one value.

    Attributes:
        name: the name of the value, or the student's own name if it is unknown.
        verdict: "right", "wrong" or "unknown".
        value: the right value; None if the name is unknown.
        given: the student's numbers in the shape of the right value; None if they do not have its size.
        error: the absolute difference of the worst entry; None without `given`.
        tolerance: the largest difference with which this entry would be right.
        index: the worst entry.
        remark: what else there is to say, such as "your numbers are the transpose of the right ones"; else "".
    """

    name: str
    verdict: Verdict
    value: TracedValue | None = None
    given: NDArray[np.float64] | None = None
    error: float | None = None
    tolerance: float = 0.0
    index: tuple[int, ...] = ()
    remark: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the verdict as plain data for JSON."""
        plain: dict[str, Any] = {"name": self.name, "verdict": self.verdict, "remark": self.remark}
        if self.value is None:
            return plain
        return plain | {
            "equation": self.value.statement,
            "error": self.error,
            "tolerance": self.tolerance,
            "index": list(self.index),
            "given": None if self.given is None else self.given.tolist(),
            "right": self.value.numbers.tolist(),
        }


@dataclass(frozen=True, eq=False)
class NumberCheck:
    """The verdicts on a student's numbers.

    Attributes:
        judged: the verdicts in the order of the computation; unknown names last.
        missing: the names of the values that the student did not give, in the order of the computation.
    """

    judged: tuple[JudgedNumbers, ...]
    missing: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """True if at least one value was given, and all given values are right."""
        return bool(self.judged) and all(one.verdict == "right" for one in self.judged)

    def of(self, verdict: Verdict) -> list[JudgedNumbers]:
        """Return the values with a verdict."""
        return [one for one in self.judged if one.verdict == verdict]

    @property
    def hint(self) -> str:
        """A sentence about the network of the numbers if several values are wrong and none is right; else ""."""
        return OTHER_NETWORK if len(self.of("wrong")) > 1 and not self.of("right") else ""

    @property
    def first_wrong(self) -> JudgedNumbers | None:
        """The first wrong value in the order of the computation; None if there is none."""
        return next(iter(self.of("wrong")), None)

    def to_dict(self) -> dict[str, Any]:
        """Return the verdicts as plain data for JSON."""
        first = self.first_wrong
        return {
            "passed": self.passed,
            "first_wrong": None if first is None else first.name,
            "judged": [one.to_dict() for one in self.judged],
            "missing": list(self.missing),
        }

    def __repr__(self) -> str:
        return f"<NumberCheck: {next(check_lines(self))}>"

    def _repr_html_(self) -> str:
        """Return the verdicts as HTML for a notebook."""
        return verdict_html("\n".join(check_lines(self)), self.passed)

    def __str__(self) -> str:
        return "\n".join(check_lines(self))


def check_numbers(
    values: Sequence[TracedValue], given: Mapping[str, GivenNumbers], tolerance: float | None = None
) -> NumberCheck:
    """Compare a student's numbers with the values of a trace.

    A name may be written in several ways: h_1, h1, H1, h[1] and hs[1] are the same. The name h alone stands for all
    steps: h_1 … h_T if it has T rows or columns, or h_0 … h_T if it has one more.

    Args:
        values: the values of the trace in the order of their computation.
        given: the student's numbers by name.
        tolerance: the largest difference of a right number; None chooses it for each value.

    Raises:
        ConfigError: two names stand for the same value.
    """
    right = {value.name: value for value in values}
    found: dict[str, JudgedNumbers] = {}
    named: dict[str, str] = {}
    unknown = []
    for name, numbers in given.items():
        parts = named_parts(name, numbers, right)
        refuse_second_name(name, parts, named)
        if not parts:
            unknown.append(
                JudgedNumbers(name, "unknown", remark=did_you_mean(canonical(name), right))
            )
        for part, own in parts.items():
            found[part] = with_other_step(judge(right[part], own, tolerance), own, right)
    ordered = in_one_convention([found[name] for name in right if name in found])
    missing = [v.name for v in values if v.name not in found and v.part != "given"]
    return NumberCheck((*ordered, *unknown), tuple(missing))


def refuse_second_name(name: str, parts: Collection[str], named: dict[str, str]) -> None:
    """Raise ConfigError if an earlier name stands for the same value `parts`; else note `name` for it.

    `named` has the student's name of each value so far. A name such as h, which stands for several steps, may stand
    beside that of one step.
    """
    for part in parts if len(parts) == 1 else ():
        if part in named:
            names = f"{excerpt(named[part], 40)} and {excerpt(name, 40)}"
            raise ConfigError(f"{names} both stand for {part}; give its numbers only once.")
        named[part] = name


def in_one_convention(judged: Sequence[JudgedNumbers]) -> list[JudgedNumbers]:
    """Return the verdicts, where a transposed square matrix is right if another right matrix is transposed too.

    A student who writes h_{t-1} W instead of W h_{t-1} has all matrices transposed. Only the shape of a matrix that is
    not square shows this.
    """
    if not any(one.verdict == "right" and one.remark == TRANSPOSED for one in judged):
        return list(judged)
    return [
        replace(one, verdict="right", remark=TRANSPOSED) if one.remark == TRANSPOSE else one
        for one in judged
    ]


def named_parts(
    name: str, numbers: GivenNumbers, right: Mapping[str, TracedValue]
) -> dict[str, GivenNumbers]:
    """Return the student's numbers by the names of the values that they stand for; empty for an unknown name."""
    exact = known_spelling(canonical(name), right)
    if exact in right:
        return {exact: numbers}
    steps = [n for n in right if base_of(n) == exact]
    steps.sort(key=lambda n: int(n.rpartition("_")[2]))
    if not steps or numbers.array is None or not numbers.array.ndim:
        return {}
    for chosen in (steps, steps[1:] if steps[0].endswith("_0") else []):
        expected = np.array([right[step].numbers.ravel() for step in chosen])
        if (stack := _stack_of_steps(numbers.array, expected)) is not None:
            return {step: numbers.part(row) for step, row in zip(chosen, stack, strict=True)}
    return {}


def _stack_of_steps(
    array: NDArray[np.float64], right: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """Return an array with a row for each step, as `right` has it; None if it has another size.

    The given array may be flat, as in a CSV file, or have a column for each step. If both rows and columns may be the
    steps, they are what is closer to `right`.
    """
    if array.size != right.size or not right.size:
        return None
    if array.ndim == 1:
        return array.reshape(right.shape)
    columns = array.T if array.ndim == 2 and array.T.shape == right.shape else None
    if len(array) != len(right):
        return columns
    if columns is not None and np.abs(columns - right).sum() < np.abs(array - right).sum():
        return columns
    return array


def known_spelling(name: str, right: Mapping[str, TracedValue]) -> str:
    """Return a name with the capitals of the trace, such as h_1 for H_1, if only one of its names has these letters."""
    names = {*right, *map(base_of, right)} - {""}
    if name in names:
        return name
    same = [one for one in names if one.lower() == name.lower()]
    return same[0] if len(same) == 1 else name


def base_of(name: str) -> str:
    """Return the name of a value of a step without the step, such as h for h_1; "" if it has no step."""
    match = INDEXED.fullmatch(name)
    return match[1].rstrip("_") if match else ""


def canonical(name: str) -> str:
    """Return a student's name of a value as a trace writes it: h_1 for h1, h[1], h(1) and hs[1]."""
    name = name.replace(" ", "")
    if name in ALIASES:
        return ALIASES[name]
    match = INDEXED.fullmatch(name)
    if match is None:
        return name
    base = match[1].rstrip("_")
    return f"{ALIASES.get(base, base)}_{match[2]}"


def judge(value: TracedValue, own: GivenNumbers, tolerance: float | None) -> JudgedNumbers:
    """Return the verdict on a student's numbers for one value."""
    right = np.asarray(value.numbers, dtype=np.float64)
    if own.array is None:
        return JudgedNumbers(value.name, "wrong", value, remark=own.problem)
    if own.array.size != right.size:
        remark = f"it must have {_shape_text(right)}, but you gave {_shape_text(own.array)}"
        return JudgedNumbers(value.name, "wrong", value, remark=remark)
    remark = ""
    shaped = own.array.reshape(right.shape)
    if own.array.ndim == 2 == right.ndim and own.array.shape != right.shape:
        shaped, remark = own.array.T, TRANSPOSED
    limits = own.tolerance(shaped, right) if tolerance is None else np.full(right.shape, tolerance)
    with np.errstate(invalid="ignore"):
        differences = np.abs(shaped - right)
    differences = np.where(np.isfinite(differences), differences, np.inf)
    place = np.unravel_index(int((differences - limits).argmax()), right.shape)
    verdict: Verdict = "right" if bool((differences <= limits).all()) else "wrong"
    if verdict == "wrong":
        remark = _wrong_remark(shaped, right, limits) or remark or (WHOLE if own.whole else "")
    index = tuple(int(one) for one in place) if right.ndim else ()
    error, limit = float(differences[place]), float(limits[place])
    return JudgedNumbers(value.name, verdict, value, shaped, error, limit, index, remark)


def with_other_step(
    judged: JudgedNumbers, own: GivenNumbers, right: Mapping[str, TracedValue]
) -> JudgedNumbers:
    """Return a verdict with a remark if its wrong numbers are right for another step, as if steps counted from 0."""
    if judged.verdict != "wrong" or judged.given is None or judged.remark:
        return judged
    base = base_of(judged.name)
    for value in right.values():
        same = value.name != judged.name and base and base_of(value.name) == base
        if same and value.numbers.shape == judged.given.shape and value.numbers.any():
            numbers = np.asarray(value.numbers, dtype=np.float64)
            if _agree(judged.given, numbers, own.tolerance(judged.given, numbers)):
                return replace(
                    judged, remark=f"your numbers are those of {value.name}; steps count from 1"
                )
    return judged


def _wrong_remark(
    own: NDArray[np.float64], right: NDArray[np.float64], limits: NDArray[np.float64]
) -> str:
    """Return what wrong numbers are instead: the transpose, the opposite or a multiple of the right ones; else ""."""
    if right.ndim == 2 and right.shape[0] == right.shape[1] and _agree(own, right.T, limits):
        return TRANSPOSE
    if _agree(own, -right, limits):
        return "your numbers have the opposite sign"
    size = float(np.sum(right * right))
    if not size or not np.isfinite(own).all():
        return ""
    factor = float(np.sum(own * right)) / size
    clear = bool((np.abs(factor * right - right) > CLEAR_FACTOR * limits).any())
    if clear and abs(factor) > 1e-6 and right.size > 1 and _agree(own, factor * right, limits):
        return f"your numbers are {factor:.4g} times the right ones"
    return ""


def _agree(
    own: NDArray[np.float64], other: NDArray[np.float64], limits: NDArray[np.float64]
) -> bool:
    """Return True if no entry of `own` and `other` differs by more than its limit."""
    return bool((np.abs(own - other) <= limits).all())


def _shape_text(array: NDArray[Any]) -> str:
    """Return the size of an array in words: "one number", "3 numbers" or "2 × 3 numbers"."""
    if array.size == 1:
        return "one number"
    return f"{' × '.join(map(str, array.shape))} numbers"


def check_lines(check: NumberCheck) -> Iterator[str]:
    """Yield the lines that tell a student which numbers are right and which is the first wrong one."""
    right, wrong, unknown = (check.of(verdict) for verdict in ("right", "wrong", "unknown"))
    yield f"{len(right)} of {counted(len(check.judged), 'value')} right."
    if right:
        yield f"right:      {_names(right)}"
        transposed = [one for one in right if one.remark == TRANSPOSED]
        if transposed:
            yield f"            Transposed, as for row vectors: {_names(transposed)}."
    if wrong:
        yield f"wrong:      {_names(wrong)}"
    if unknown:
        yield f"unknown:    {_names(unknown)}"
        yield from (f"  {excerpt(one.name, 40)}: {one.remark}" for one in unknown if one.remark)
    if check.missing:
        yield f"not given:  {_shortened_list(list(check.missing), MOST_MISSING)}"
    first = check.first_wrong
    if first is not None:
        yield from first_wrong_lines(first, others=len(wrong) > 1)
    if check.hint:
        yield from ("", check.hint)


def first_wrong_lines(first: JudgedNumbers, others: bool) -> Iterator[str]:
    """Yield the lines about the first wrong value. `others` is True if later values are wrong too."""
    assert first.value is not None
    where = "" if first.value.step is None else f" ({first.value.part}, step {first.value.step})"
    yield ""
    yield f"The first wrong value in the order of the computation is {first.name}{where}:"
    yield f"  {first.value.statement}" if first.value.equation else f"  {first.name} is given."
    for title, numbers in (("yours", first.given), ("right", first.value.numbers)):
        if numbers is not None:
            rows = rows_of(numbers)
            yield from (f"  {title if not n else '':<7}{row}" for n, row in enumerate(rows))
    if first.error is not None:
        at = f" at {list(first.index)}" if first.index else ""
        yield f"  The largest difference is {first.error:.3g}{at}; up to {first.tolerance:.2g} counts as right."
    if first.remark:
        yield f"  Note: {first.remark}."
    if others:
        yield "Correct it first: what is computed from it is wrong too, even if its equation is right."


def _names(judged: Sequence[JudgedNumbers]) -> str:
    """Return the names of values as text."""
    return _shortened_list([excerpt(one.name, 40) for one in judged])


def _shortened_list(names: list[str], most: int = MOST_NAMES) -> str:
    """Return names as text; of more than `most`, only the first ones and how many more there are."""
    shown = names[:most]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
