"""Finds out how to call a user's function: the shapes, the orientations and the names that it expects.

The natural form is f(params, x, y, h0), where x and y are ids. The course's form has one-hot X and
Y of shape (K, T) and column vectors. This module tries the forms. It takes the first form with
which the function returns the right loss, or else the first form that raises no error. It does not
check gradients.
"""

import contextlib
import itertools
import operator
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from charloom.cell_table import in_table_order
from charloom.diagnosis.argument_roles import argument_order
from charloom.diagnosis.call_options import Options
from charloom.diagnosis.faulty_cells import reorder_gates
from charloom.diagnosis.faulty_network import answer
from charloom.diagnosis.loss_and_gradients import ALIASES, Reply, items_of, parameter_of, read_reply
from charloom.diagnosis.outcome import CHANGES
from charloom.diagnosis.problem import Array, Problem
from charloom.diagnosis.returned_names import order_of_return
from charloom.diagnosis.returned_value import NotNumbers, as_array, is_scalar, shape_of
from charloom.errors import DoctorError
from charloom.messages import argument

# A loss counts as right up to this relative error. A wrong way of calling the function causes a far
# larger error, and float32 causes a far smaller error.
LOSS_TOLERANCE: Final = 1e-4


@dataclass(frozen=True)
class Convention:
    """A way of calling the function.

    Attributes:
        ids: how x is passed: as "ids", or as a one-hot array, "KT" (K, T) or "TK" (T, K).
        targets: how y is passed; "" for the same way as x.
        bias, state: the shape of a bias and of h0: "flat" (n,), "column" (n, 1) or "row" (1, n).
        matrices: "ours" if U and V have charloom's shapes, or "transposed" if they are transposed.
        recurrent: "ours" if W has the same orientation as U and V (both charloom's or both
            transposed), or "transposed" if it has the other one.
        arguments: the roles of the arguments, in the function's order.
        names: maps charloom's name of a parameter to the function's name for it.
        gates: the function's order of the gates; "" for charloom's order.
        holder: "dict" if the parameters are passed in a plain dict, or "attributes" if they are
            passed in a `Network`.
    """

    ids: str = "ids"
    bias: str = "flat"
    state: str = "flat"
    matrices: str = "ours"
    recurrent: str = "ours"
    arguments: tuple[str, ...] = ("params", "x", "y", "h0")
    names: Mapping[str, str] = field(default_factory=dict)
    gates: str = ""
    holder: str = "dict"
    targets: str = ""

    def transposes(self, name: str) -> bool:
        """Return True if the function expects the transpose of charloom's matrix `name`."""
        other_way = name == "W" and self.recurrent == "transposed"
        return (self.matrices == "transposed") != other_way

    def in_words(self, cell_state: bool = False) -> str:
        """Return a description of this convention for the user, with its parts separated by semicolons.

        `cell_state`: whether the function also gets the cell state c0.
        """
        ids = {
            "ids": "ids x and y of shape (T,)",
            "KT": "one-hot X and Y of shape (K, T)",
            "TK": "one-hot X and Y of shape (T, K)",
        }
        shapes = {"flat": "(H,)", "column": "(H, 1)", "row": "(1, H)"}
        state = "h0 and c0, each of shape" if cell_state else "h0 of shape"
        biases = {"flat": "with one axis", "column": "as columns (n, 1)", "row": "as rows (1, n)"}
        if self.targets:
            ids = {
                "KT": "one-hot X of shape (K, T) and ids y",
                "TK": "one-hot X of shape (T, K) and ids y",
            }
        parts = [ids[self.ids], f"{state} {shapes[self.state]}", f"biases {biases[self.bias]}"]
        if self.matrices == "transposed":
            parts.append("transposed matrices (U has the shape (K, H))")
        if self.recurrent == "transposed":
            parts.append("W transposed (a = Wᵀ h)")
        if self.holder == "attributes":
            parts.append("parameters as attributes")
        if self.names:
            parts.append(
                ", ".join(
                    f"{ours} called {name}" for ours, name in self.names.items() if ours != name
                )
            )
        if self.gates:
            parts.append(f"gates in the order {', '.join(self.gates)}")
        return "; ".join(part for part in parts if part)


class Network(dict[str, Any]):
    """A dict of parameters that the function can also read as attributes, such as net.W.

    The function can read a parameter by its key or by any usual name, such as Wxh or W_hh. The dict
    records each usual name that the function used instead of a key.
    """

    def __init__(self, arrays: Mapping[str, Any], names: Mapping[str, str]) -> None:
        """Store `arrays` by the user's names; `names` maps charloom's names to the user's names."""
        super().__init__(arrays)
        object.__setattr__(self, "_names", dict(names))
        object.__setattr__(self, "_used", {})
        object.__setattr__(self, "_unknown", [])

    def __missing__(self, key: str) -> Any:
        names = object.__getattribute__(self, "__dict__").get("_names")
        if names is None or not isinstance(key, str):
            raise KeyError(key)
        parameter = parameter_of(key, list(names), {})
        if parameter is None:
            self._unknown.append(key)
            raise KeyError(key)
        self._used[parameter] = key
        return self[names[parameter]]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __reduce__(self) -> Any:
        return Network, (dict(self), self._names)


class PreparedCall:
    """The arguments of one call; after the call, `changed` returns which arguments it changed."""

    def __init__(self, problem: Problem, convention: Convention) -> None:
        self.problem, self.convention = problem, convention
        K = len(problem.parameters["c"])
        arrays = {
            name: to_user_shape(name, array.copy(), convention)
            for name, array in problem.parameters.items()
        }
        self.shapes = {name: array.shape for name, array in arrays.items()}
        self.keys = {name: convention.names.get(name, name) for name in arrays}
        self.network: dict[str, Any] = {self.keys[name]: array for name, array in arrays.items()}
        if convention.holder == "attributes":
            self.network = Network(self.network, self.keys)
        self.states = [vector(s.copy(), convention.state) for s in problem.state.values()]
        self.x = ids_as(problem.x, K, convention.ids)
        self.y = ids_as(problem.y, K, convention.targets or convention.ids)
        self._x, self._y = self.x.copy(), self.y.copy()

    def arguments(self) -> list[Any]:
        """Return the arguments of the call, in the order in which the function takes them."""
        state = self.states[0] if len(self.states) == 1 else tuple(self.states)
        by_role = {"params": self.network, "x": self.x, "y": self.y, "h0": state}
        by_role |= {name: self.network[key] for name, key in self.keys.items()}
        if "c0" in self.convention.arguments:
            by_role |= {"h0": self.states[0], "c0": self.states[1]}
        return [by_role[role] for role in self.convention.arguments]

    def changed(self) -> tuple[str, ...]:
        """Return a mistake's id for each kind of argument that the call changed, such as "inputs-changed"."""
        before, after = self.problem.state.values(), self.parameters()
        same = (
            all(np.array_equal(np.ravel(s), b) for s, b in zip(self.states, before, strict=True)),
            all(
                name in after and np.array_equal(after[name], p)
                for name, p in self.problem.parameters.items()
            ),
            np.array_equal(self.x, self._x) and np.array_equal(self.y, self._y),
        )
        return tuple(itertools.compress(CHANGES, map(operator.not_, same)))

    def parameters(self) -> dict[str, Array]:
        """Return the parameters with the values that they have after the call, in charloom's shapes.

        A parameter is left out if its shape changed or it is not an array of numbers any more.
        """
        found = {}
        for name, array in self.problem.parameters.items():
            value = self.network.get(self.keys[name])
            if shape_of(value) == self.shapes[name]:
                with contextlib.suppress(NotNumbers):
                    current = from_user_shape(name, as_array(value), self.convention)
                    found[name] = current.reshape(array.shape)
        return found


def to_user_shape(name: str, array: Array, convention: Convention) -> Array:
    """Convert the parameter `name` to the shape and the gate order that the user's function expects."""
    if convention.gates and name in ("U", "W", "b"):
        array = reorder_gates(array, in_table_order(convention.gates), convention.gates)
    if array.ndim == 1:
        return vector(array, convention.bias)
    return np.ascontiguousarray(array.T) if convention.transposes(name) else array


def from_user_shape(name: str, array: Array, convention: Convention) -> Array:
    """Convert a parameter or a gradient from the user's shape and gate order to charloom's.

    This is the inverse of `to_user_shape`, except that a bias keeps its shape.
    """
    matrix = array.ndim == 2 and 1 not in array.shape and name not in ("b", "c", "d")
    array = array.T if matrix and convention.transposes(name) else array
    if convention.gates and name in ("U", "W", "b") and len(array) % len(convention.gates) == 0:
        return reorder_gates(array, convention.gates, in_table_order(convention.gates))
    return array


def vector(array: Array, kind: str) -> Array:
    """Return a vector in the shape that `kind` names: "flat" (n,), "column" (n, 1) or "row" (1, n)."""
    return {"flat": array, "column": array.reshape(-1, 1), "row": array.reshape(1, -1)}[kind]


def ids_as(ids: Array, K: int, kind: str) -> Array:
    """Return the ids of a window in the form that `kind` names.

    "ids" is a copy of shape (T,). "KT" is a one-hot array of shape (K, T), and "TK" one of shape
    (T, K).
    """
    if kind == "ids":
        return ids.copy()
    onehot = np.zeros((len(ids), K))
    onehot[np.arange(len(ids)), ids] = 1
    return np.ascontiguousarray(onehot.T) if kind == "KT" else onehot


def reply_of(function: Callable[..., Any], prepared: PreparedCall, options: Options) -> Reply:
    """Call the function with the prepared arguments.

    Returns:
        The loss and the gradients in charloom's shapes.
    """
    convention = prepared.convention
    with np.errstate(all="ignore"):
        returned = function(*prepared.arguments())
    names = {**options.names, **convention.names}
    T = len(prepared.problem.x)
    try:
        reply = read_reply(returned, prepared.shapes, names, options.gradients, T)
    except DoctorError:
        order = () if options.gradients else order_of_return(function, tuple(prepared.shapes))
        if not order:
            raise
        reply = read_reply(returned, prepared.shapes, names, order, T)
    gradients = {name: from_user_shape(name, g, convention) for name, g in reply.gradients.items()}
    return reply._replace(gradients=gradients)


def complex_loss_of(
    function: Callable[..., Any], prepared: PreparedCall, options: Options
) -> complex:
    """Call the function with complex parameters, and return its loss, which is then complex too.

    Raises:
        Exception: the function fails with complex numbers, drops their imaginary parts, or returns no loss.
    """
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("error", np.exceptions.ComplexWarning)
        returned = function(*prepared.arguments())
    flat = [part for item in items_of(returned) for part in (items_of(item) or [item])]
    if len(flat) == len(options.gradients) and "loss" in options.gradients:
        return complex_number(flat[options.gradients.index("loss")])
    return complex_number(next(item for item in flat if is_scalar(item)))


def complex_number(value: Any) -> complex:
    """Return a number, or an array with a single entry, as a complex number."""
    return complex(np.asarray(value).reshape(()))


def find_convention(
    function: Callable[..., Any], problem: Problem, loss: float, options: Options
) -> Convention:
    """Return a convention (a way of calling) with which the function returns the right loss.

    The conventions are tried in the order of `conventions`. If none of them gives the right loss,
    return the first one with which the function raises no error. If the function returns no loss,
    return the one with which most of its gradients are right. `loss` is the right loss of `problem`.

    Raises:
        Exception: the function raised an error with every convention. Its first DoctorError is
            raised, or its first error if none is a DoctorError.
    """
    arguments = argument_order(function, options, tuple(problem.parameters))
    first_error: Exception | None = None
    first_running: Convention | None = None
    without_loss: list[tuple[int, Convention]] = []
    plain = list(conventions(options, arguments))
    for convention in (*plain, *(replace(one, holder="attributes") for one in plain)):
        if convention.holder == "attributes" and first_running is not None:
            break
        try:
            reply, convention = find_names(function, problem, convention, options)
        except Exception as error:
            # Keep the error of the first convention. It helps the user most, because this convention
            # has the form that the user gave, or else the natural form.
            if first_error is None or (
                isinstance(error, DoctorError) and not isinstance(first_error, DoctorError)
            ):
                first_error = error
            continue
        if reply.loss is None:
            without_loss.append((right_gradients(reply, problem), convention))
            if without_loss[-1][0] == len(problem.parameters):
                return convention
        elif is_right_loss(reply.loss, loss, len(problem.x)):
            return convention
        first_running = first_running or convention
    if without_loss:
        return max(without_loss, key=lambda one: one[0])[1]
    if first_running is not None:
        return first_running
    assert first_error is not None
    raise first_error


def find_names(
    function: Callable[..., Any], problem: Problem, convention: Convention, options: Options
) -> tuple[Reply, Convention]:
    """Call the function, and find the names by which it reads the parameters.

    Pass the parameters of `problem` in a plain dict, which other libraries, such as JAX, accept. Pass
    a `Network`, a dict that can be read as attributes, only if the function reads attributes or uses
    a name that is not a usual name of a parameter.

    Returns:
        First the loss and the gradients, in charloom's shapes. Second the convention, with the
        names that the function uses.
    """
    used: dict[str, str] = {}
    while convention.holder == "dict":
        names = {**convention.names, **used}
        prepared = PreparedCall(problem, replace(convention, names=names))
        try:
            return reply_of(function, prepared, options), prepared.convention
        except AttributeError as error:
            if error.obj is not prepared.network:
                raise
            break
        except KeyError as error:
            key = error.args[0] if error.args else None
            if not isinstance(key, str) or key in prepared.network:
                raise
            parameter = parameter_of(key, list(prepared.shapes), {})
            if parameter is None or parameter in used:
                break
            used[parameter] = key
    network = replace(convention, holder="attributes")
    return find_names_with_network(function, problem, network, options)


def find_names_with_network(
    function: Callable[..., Any], problem: Problem, convention: Convention, options: Options
) -> tuple[Reply, Convention]:
    """Call the function with a `Network`, and find the names by which it reads the parameters.

    The `Network` holds the parameters, and records each name by which the function reads one.

    Returns:
        First the loss and the gradients, in charloom's shapes. Second the convention, with the
        names that the function uses.

    Raises:
        DoctorError: the function reads a parameter by a name that is not usual, or one parameter by
            several names.
    """
    for _ in range(8):
        prepared = PreparedCall(problem, convention)
        network = prepared.network
        assert isinstance(network, Network)
        error: Exception | None = None
        reply: Reply | None = None
        try:
            reply = reply_of(function, prepared, options)
        except Exception as caught:
            error = caught
        names = {**convention.names, **network._used}
        if names != convention.names:
            convention = replace(convention, names=names)
            continue
        if error is not None:
            if network._unknown and isinstance(error, (KeyError, AttributeError)):
                unknown = network._unknown[0]
                gru = unknown in ALIASES["d"] and "d" not in prepared.shapes
                advice = f" If the function is a GRU, use {argument('cell', 'gru')}." if gru else ""
                raise DoctorError(
                    f"the function reads the parameter {unknown!r}, which is not a usual "
                    f"name of {' or '.join(prepared.shapes)}. Give your names of all parameters, for "
                    f"example {argument('names', names_example(network, prepared.shapes))}.{advice}"
                ) from error
            raise error
        assert reply is not None
        return reply, convention
    raise DoctorError(
        "the function reads one parameter by several names, in one call or in different calls. Change "
        "the function so that it reads each parameter by only one name."
    )


def names_example(network: Network, parameters: Iterable[str]) -> dict[str, str]:
    """Guess by which name the function reads each parameter, and return the names for an error message.

    If the function read a parameter by one of its usual names, this is its name. The names that the
    function read and that are not usual names go to the other parameters, in the order of reading.
    """
    unknown = iter(network._unknown)
    return {name: network._used.get(name) or next(unknown, "…") for name in parameters}


def right_gradients(reply: Reply, problem: Problem) -> int:
    """Return how many of the gradients are right, up to a common factor such as 1 / T."""
    exact = answer(problem).gradients
    if any(reply.gradients[name].size != right.size for name, right in exact.items()):
        return 0
    right = np.concatenate([g.ravel() for g in exact.values()])
    given = np.concatenate([reply.gradients[name].ravel() for name in exact])
    factors = (1.0, 1 / len(problem.x), float(np.vdot(given, right)) / float(np.vdot(right, right)))
    return max(
        sum(
            bool(
                np.linalg.norm(reply.gradients[name].ravel() - factor * g.ravel())
                <= LOSS_TOLERANCE * np.linalg.norm(factor * g)
            )
            for name, g in exact.items()
        )
        for factor in factors
    )


def is_right_loss(loss: float, right: float, T: int) -> bool:
    """Return True if `loss` is nearly `right` or nearly `right` / T.

    `right` is the right sum of the losses of T steps, and `right` / T is their mean.
    """
    return any(abs(loss - r) <= LOSS_TOLERANCE * abs(r) for r in (right, right / T))


def conventions(options: Options, arguments: tuple[str, ...]) -> Iterator[Convention]:
    """Yield the conventions (ways of calling the user's function) to try, the likeliest first.

    `arguments` are the roles of the function's arguments in order, such as "params" and "x".
    """
    ids = {"natural": ("ids",), "course": ("KT", "TK")}.get(options.form, ("ids", "KT", "TK"))
    vectors = {
        "ids": (("flat", "flat"), ("column", "column"), ("row", "row"), ("column", "flat"), ("flat", "column")),
        "KT": (("column", "column"), ("column", "flat"), ("flat", "flat"), ("flat", "column"), ("row", "row")),
        "TK": (("flat", "flat"), ("row", "row"), ("row", "flat"), ("column", "column"), ("flat", "row")),
    }  # fmt: skip
    kinds = [(kind, "") for kind in ids] + [(kind, "ids") for kind in ids if kind != "ids"]
    for (kind, targets), matrices in itertools.product(kinds, ("ours", "transposed")):
        for bias, state in vectors[kind]:
            for recurrent in ("ours", "transposed"):
                yield Convention(
                    kind,
                    bias,
                    state,
                    matrices,
                    recurrent,
                    arguments,
                    options.names,
                    options.gates,
                    targets=targets,
                )
