"""Describes how a user's functions take arrays: ids or one-hot, columns or rows, transposed or not.

It also writes each way as a Python expression. The right way is found by calling the functions in
each of the usual ways.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

# The ways to pass ids of shape (T,): the Python expression, and words for the user.
IDS: Final = {
    "ids": ("{ids}", "ids (T,)"),
    "list": ("{ids}.tolist()", "a list of ids"),
    "columns": ("[np.eye(K)[:, [k]] for k in {ids}]", "a list of one-hot columns (K, 1)"),
    "vectors": ("[np.eye(K)[k] for k in {ids}]", "a list of one-hot vectors (K,)"),
    "KT": ("np.eye(K)[:, {ids}]", "one-hot (K, T)"),
    "TK": ("np.eye(K)[{ids}]", "one-hot (T, K)"),
    "NTK": ("np.eye(K)[{ids}][None]", "one-hot (1, T, K)"),
    "TNK": ("np.eye(K)[{ids}][:, None]", "one-hot (T, 1, K)"),
    "TK1": ("np.eye(K)[{ids}][:, :, None]", "one-hot (T, K, 1)"),
    "KNT": ("np.eye(K)[:, None, {ids}]", "one-hot (K, 1, T)"),
    "KTN": ("np.eye(K)[:, {ids}][:, :, None]", "one-hot (K, T, 1)"),
    "NT": ("{ids}[None]", "ids (1, T)"),
    "TN": ("{ids}[:, None]", "ids (T, 1)"),
    "NKT": ("np.eye(K)[:, {ids}][None]", "one-hot (1, K, T)"),
    "listed": ("[{ids}.tolist()]", "a list with one list of ids"),
    "last": ("int({ids}[-1])", "the last id"),
    "last one": ("{ids}[-1:]", "the last id (1,)"),
    "last column": ("np.eye(K)[:, [{ids}[-1]]]", "the last one, as a one-hot column (K, 1)"),
    "last vector": ("np.eye(K)[{ids}[-1]]", "the last one, as a one-hot vector (K,)"),
}
# One step's input or target, for the functions of a single step.
STEP: Final = {
    "ids": ("int({ids})", "an id"),
    "columns": ("np.eye(K)[:, [{ids}]]", "a one-hot column (K, 1)"),
    "vectors": ("np.eye(K)[{ids}]", "a one-hot vector (K,)"),
    "rows": ("np.eye(K)[[{ids}]]", "a one-hot row (1, K)"),
}
# The value of each size that a function or a class may take; a learning rate is 0.
SIZES: Final = {"K": "K", "H": "H", "T": "len(x)", "one": "1", "zero": "0.0"}
VECTORS: Final = {
    "flat": "{array}",
    "column": "{array}[:, None]",
    "row": "{array}[None]",
    "box": "{array}[None, None]",
}
SHAPES: Final = {"flat": "(n,)", "column": "(n, 1)", "row": "(1, n)", "box": "(1, 1, n)"}
# Expressions for the states of all steps, as (T, H), and back from the gradient (T, H).
STATES: Final = {
    "NTK": ("{h}[0]", "{dh}[None]"),
    "TNK": ("np.array({h})[:, 0]", "{dh}[:, None]"),
    "TN": ("np.array({h})[:, 0]", "{dh}[:, None]"),
    "TK": ("np.array({h})", "{dh}"),
    "KT": ("{h}.T", "{dh}.T"),
    "KNT": ("{h}[:, 0].T", "{dh}.T[:, None]"),
    "TK1": ("np.array({h})[:, :, 0]", "{dh}[:, :, None]"),
    "columns": ("np.array({h})[:, :, 0]", "{dh}[:, :, None]"),
    "vectors": ("np.array({h})", "{dh}"),
    "ids": ("np.array({h})", "{dh}"),
    "list": ("np.array({h})", "{dh}"),
}


@dataclass(frozen=True)
class Passing:
    """A way to pass arrays.

    Attributes:
        ids, targets: how x and y are passed, keys of `IDS`.
        bias, state: the shape of biases and of initial states, keys of `VECTORS`.
        transposed: whether matrices are passed transposed.
        joined: "hx" if W stands left of U in a joined matrix; "xh" for the other order.
        numbers: "numpy", "lists" or "torch".
        gates: the order of the rows of gates that share one matrix; "" for ours.
    """

    ids: str = "list"
    targets: str = "list"
    bias: str = "flat"
    state: str = "flat"
    transposed: bool = False
    joined: str = "hx"
    numbers: str = "numpy"
    gates: str = ""

    def in_words(self, has_bias: bool = True, joined: bool = False) -> str:
        """Return a description of this way for the user, with its parts separated by semicolons."""
        same = self.ids == self.targets
        parts = [
            f"x and y as {IDS[self.ids][1]}"
            if same
            else f"x as {IDS[self.ids][1]}, y as {IDS[self.targets][1]}",
            f"h0 of shape {SHAPES[self.state]}".replace("n", "H"),
        ]
        if has_bias:
            parts.append(f"biases of shape {SHAPES[self.bias]}")
        if self.transposed:
            parts.append("matrices transposed (U has K rows)")
        if joined:
            parts.append(f"matrices over [{', '.join(self.joined)}]")
        if self.gates:
            parts.append(f"gates in the order {', '.join(self.gates)}")
        if self.numbers != "numpy":
            parts.append({"lists": "as plain lists", "torch": "as tensors"}[self.numbers])
        return "; ".join(parts)

    def vector(self, array: str, kind: str) -> str:
        """Return the expression for a vector in the shape `kind`."""
        return VECTORS[kind].format(array=array)

    def converted(self, expression: str) -> str:
        """Return the expression for an array as this way's kind of numbers."""
        if self.numbers == "lists":
            return f"{expression}.tolist()" if is_simple(expression) else f"({expression}).tolist()"
        if self.numbers == "torch":
            return f"torch.tensor({expression})"
        return expression

    def sequence(self, ids: str, kind: str) -> str:
        """Return the expression for the ids called `ids`, passed as `kind`."""
        expression = IDS[kind][0].format(ids=ids)
        if self.numbers == "torch" and kind not in ("list", "columns", "vectors", "listed", "last"):
            return f"torch.tensor({expression})"
        return expression


def is_simple(expression: str) -> bool:
    """Return True if `.name` can be put behind an expression without parentheses."""
    return not any(sign in expression for sign in (" ", "+", "-")) or expression.endswith("]")


# The usual ways: x and y, biases and states, and whether matrices are transposed.
USUAL: Final = (
    ("list", "list", "column", "column"),
    ("ids", "ids", "flat", "flat"),
    ("NTK", "NT", "flat", "row"),
    ("KNT", "KNT", "column", "column"),
    ("KT", "KT", "column", "column"),
    ("KTN", "KTN", "column", "column"),
    ("KTN", "TN", "column", "column"),
    ("KT", "ids", "column", "column"),
    ("KT", "ids", "flat", "flat"),
    ("columns", "list", "column", "column"),
    ("columns", "columns", "column", "column"),
    ("TK", "ids", "flat", "flat"),
    ("TK", "TK", "flat", "flat"),
    ("TK", "ids", "column", "column"),
    ("TK1", "TK1", "column", "column"),
    ("TK1", "list", "column", "column"),
    ("TNK", "ids", "row", "row"),
    ("TNK", "TNK", "row", "row"),
    ("TNK", "TN", "flat", "row"),
    ("TNK", "TN", "row", "row"),
    ("NTK", "NT", "row", "row"),
    ("TN", "TN", "flat", "row"),
    ("TN", "TN", "row", "row"),
    ("TNK", "ids", "flat", "row"),
    ("TN", "TN", "column", "column"),
    ("NT", "NT", "column", "column"),
    ("vectors", "vectors", "flat", "flat"),
    ("vectors", "list", "flat", "flat"),
    ("NTK", "NTK", "flat", "row"),
    ("NTK", "NTK", "row", "row"),
    ("TK", "ids", "row", "row"),
    ("TK", "TK", "row", "row"),
    ("NT", "NT", "flat", "row"),
    ("NT", "NT", "row", "row"),
    ("list", "list", "flat", "flat"),
    ("list", "list", "row", "row"),
    ("listed", "listed", "column", "column"),
    ("list", "list", "flat", "row"),
    ("KT", "ids", "column", "flat"),
    ("list", "list", "column", "flat"),
    ("list", "list", "flat", "column"),
    ("NKT", "NKT", "column", "column"),
    ("columns", "last", "column", "column"),
    ("columns", "last column", "column", "column"),
    ("vectors", "last", "flat", "flat"),
    ("list", "last", "column", "column"),
    ("list", "last", "flat", "flat"),
    ("TK", "last", "flat", "flat"),
    ("NT", "last one", "flat", "row"),
    ("NTK", "last one", "flat", "row"),
    ("TNK", "last one", "flat", "row"),
    ("TK", "last vector", "flat", "flat"),
    ("TK1", "last column", "column", "column"),
)


Kinds = tuple[str, str, str, str]  # how x, y, biases and states are passed


def usual_ways(
    first: Passing, joined: bool, more: Sequence[Kinds] = (), lists: bool = True
) -> Iterator[Passing]:
    """Yield the ways to try, beginning with those that are most like `first`.

    `first` is the way that the source suggests. `joined` says whether a matrix has W and U side by
    side, so that both orders are tried. `more` are further ways, and `lists` says whether plain lists
    are tried.
    """
    ways = [
        replace(first, ids=ids, targets=targets, bias=bias, state=state, transposed=transposed)
        for (ids, targets, bias, state), transposed in itertools.product(
            (*USUAL, *more), (False, True)
        )
    ]
    ways.sort(key=lambda way: unlike(way, first))
    other = "xh" if first.joined == "hx" else "hx"
    for way in ways:
        yield way
        if joined:
            yield replace(way, joined=other)
    plain = [
        way for way in ways if way.ids in ("list", "vectors") and way.bias == way.state == "flat"
    ]
    yield from (replace(way, numbers="lists") for way in plain if lists)


def unlike(way: Passing, first: Passing) -> int:
    """Return in how many respects two ways differ; the form of the ids counts most."""
    return (
        4 * (way.ids != first.ids)
        + 2 * (way.targets != first.targets)
        + 2 * (way.transposed != first.transposed)
        + (way.bias != first.bias)
        + (way.state != first.state)
    )
