"""Finds out how a function wants to be called: its arguments' order, names, shapes and
orientations.

One problem is put into the shape that a function asks for, and what it returns is brought back to
ours. The natural form is f(params, x, y, h0), with ids; the course's has one-hot X and Y of shape
(K, T) and columns. Which one it is, is tried: a way of calling that runs and gives the right loss is
the function's own; where none gives it, the first that runs. It judges no gradient.
"""

import contextlib
import inspect
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from charloom.diagnosis.faulty_network import GATES, Array, Problem, reordered
from charloom.diagnosis.loss_and_gradients import Reply, parameter_of, read_reply
from charloom.diagnosis.returned_value import NotNumbers, as_array, shape_of
from charloom.errors import DoctorError
from charloom.formatting import number_of
from charloom.messages import argument, terminal_command

FORMS: Final = ("auto", "natural", "course", "torch")
LOSS_AGREES: Final = 1e-4  # two ways of calling differ by far more; float32 by far less

ROLES: Final = {
    "params": ("params", "parameters", "rnn", "net", "network", "model", "weights", "theta", "p", "m"),
    "x": ("x", "inputs", "input", "xs", "xids", "xonehot", "xbatch", "inp"),
    "y": ("y", "targets", "target", "ys", "labels", "yonehot", "ybatch", "t"),
    "h0": ("h0", "hprev", "h", "state", "hinit", "h0s", "hstart", "hidden", "hidden0", "initialstate"),
}  # fmt: skip


CELL_NAMES: Final = ("c0", "s0", "cprev", "sprev", "c", "s", "cell", "cell0", "cinit")
# What people call the numbers of characters and of hidden units.
K_NAMES: Final = ("k", "vocab", "vocabsize", "vocabularysize", "inputsize", "outputsize", "nvocab",
                  "numclasses", "nchars", "insize", "outsize", "numchars", "nin", "nout", "inputdim", "outputdim")  # fmt: skip
H_NAMES: Final = ("h", "m", "hidden", "hiddensize", "nhidden", "hiddendim", "numhidden", "units", "nhid")  # fmt: skip


@dataclass(frozen=True)
class Options:
    """What the user said about their function; empty where they left it to us.

    `names`: parameter -> what they call it; `gradients`: what the items of a returned tuple are;
    `arguments`: the roles of the arguments in their order (params, x, y, h0); `reduction`: whether
    the loss is meant to be the sum over time, or the mean; `gates`: the order of their gates.
    """

    form: str = "auto"
    cell: str = ""
    names: tuple[tuple[str, str], ...] = ()
    gradients: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    reduction: str = "sum"
    gates: str = ""


@dataclass(frozen=True)
class Convention:
    """One way of calling.

    `holder`: the parameters as a plain "dict", or with "attributes" too (`Network`); `ids`: "ids", or one-hot "KT" or "TK"; `bias`, `state`: "flat" (n,), "column" (n, 1) or "row"
    (1, n); `matrices`: "ours" or "transposed"; `recurrent`: W "ours" or "transposed" beside it.
    """

    ids: str = "ids"
    bias: str = "flat"
    state: str = "flat"
    matrices: str = "ours"
    recurrent: str = "ours"
    arguments: tuple[str, ...] = ("params", "x", "y", "h0")
    names: tuple[tuple[str, str], ...] = ()
    gates: str = ""
    holder: str = "dict"

    def told(self) -> str:
        """The convention in words."""
        ids = {
            "ids": "ids x and y (T,)",
            "KT": "one-hot X and Y (K, T)",
            "TK": "one-hot X and Y (T, K)",
        }
        parts = [ids[self.ids], f"{self.state} h0", f"{self.bias} biases"]
        if self.matrices == "transposed":
            parts.append("matrices transposed (U is (K, H))")
        if self.recurrent == "transposed":
            parts.append("W transposed (a = Wᵀ h)")
        if self.holder == "attributes":
            parts.append("parameters as attributes")
        if self.names:
            parts.append(
                ", ".join(f"{ours} called {own}" for ours, own in self.names if ours != own)
            )
        if self.gates:
            parts.append(f"gates in the order {', '.join(self.gates)}")
        return "; ".join(part for part in parts if part)


class Network(dict[str, Any]):
    """Parameters as people hold them: a dict whose entries are attributes too.

    It answers to the usual other names (Wxh, W_hh, by …), and remembers which were asked for.
    """

    def __init__(self, arrays: Mapping[str, Array], names: Mapping[str, str]) -> None:
        super().__init__({names.get(name, name): array for name, array in arrays.items()})
        object.__setattr__(self, "_names", {name: names.get(name, name) for name in arrays})
        object.__setattr__(self, "_asked", {})
        object.__setattr__(self, "_unknown", [])

    def __missing__(self, key: str) -> Any:
        names = object.__getattribute__(self, "__dict__").get("_names")
        if names is None or not isinstance(key, str):
            raise KeyError(key)
        parameter = parameter_of(key, list(names), {})
        if parameter is None:
            self._unknown.append(key)
            raise KeyError(key)
        self._asked[parameter] = key
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
        return (_rebuilt, (dict(self), dict(self._names)))


def _rebuilt(arrays: dict[str, Any], names: dict[str, str]) -> Network:
    """A copy of a network, for copy.copy and copy.deepcopy."""
    made = Network({}, {})
    made.update(arrays)
    made._names.update(names)
    return made


class Called:
    """One call as it was made: the arguments given, and copies of them from before it."""

    def __init__(self, problem: Problem, convention: Convention) -> None:
        self.problem, self.convention = problem, convention
        names = dict(convention.names)
        K = len(problem.parameters["c"])
        arrays = {
            name: oriented(name, array.copy(), convention)
            for name, array in problem.parameters.items()
        }
        self.shapes = {name: array.shape for name, array in arrays.items()}
        self.network: dict[str, Any] = {names.get(name, name): a for name, a in arrays.items()}
        if convention.holder == "attributes":
            self.network = Network(arrays, names)
        self.states = [vector(s.copy(), convention.state) for s in problem.state.values()]
        self.x = ids_as(problem.x, K, convention.ids)
        self.y = ids_as(problem.y, K, convention.ids)
        self._x, self._y = self.x.copy(), self.y.copy()

    def arguments(self) -> list[Any]:
        """The arguments in their order."""
        state = self.states[0] if len(self.states) == 1 else tuple(self.states)
        by_role = {"params": self.network, "x": self.x, "y": self.y, "h0": state}
        names = dict(self.convention.names)
        by_role |= {name: self.network[names.get(name, name)] for name in self.shapes}
        if "c0" in self.convention.arguments:
            by_role |= {"h0": self.states[0], "c0": self.states[1]}
        return [by_role[role] for role in self.convention.arguments]

    def changed(self) -> list[str]:
        """Which of the mistakes of changing its arguments the call has made."""
        found = []
        before = self.problem.state.values()
        if any(
            not np.array_equal(np.ravel(s), b) for s, b in zip(self.states, before, strict=True)
        ):
            found.append("initial-state-changed")
        now = self.parameters()
        if any(
            name not in now or not np.array_equal(now[name], p)
            for name, p in self.problem.parameters.items()
        ):
            found.append("parameters-changed")
        if not (np.array_equal(self.x, self._x) and np.array_equal(self.y, self._y)):
            found.append("inputs-changed")
        return found

    def parameters(self) -> dict[str, Array]:
        """The parameters as they are now, in our shapes, without those that have another shape now
        or are no numbers."""
        names = dict(self.convention.names)
        found = {}
        for name, array in self.problem.parameters.items():
            value = self.network.get(names.get(name, name))
            if shape_of(value) == self.shapes[name]:
                with contextlib.suppress(NotNumbers):
                    now = restored(name, as_array(value), self.convention)
                    found[name] = now.reshape(array.shape)
        return found


def oriented(name: str, array: Array, convention: Convention) -> Array:
    """A parameter in the shape that a convention wants."""
    if convention.gates and name in ("U", "W", "b"):
        array = reordered(array, gates_of(convention), convention.gates)
    if array.ndim == 1:
        return vector(array, convention.bias)
    turned = convention.matrices == "transposed"
    if name == "W" and convention.recurrent == "transposed":
        turned = not turned
    return np.ascontiguousarray(array.T) if turned else array


def restored(name: str, array: Array, convention: Convention) -> Array:
    """The inverse of `oriented`, of a matrix; a bias keeps its shape."""
    matrix = array.ndim == 2 and 1 not in array.shape and name not in ("b", "c", "d")
    turned = matrix and convention.matrices == "transposed"
    if matrix and name == "W" and convention.recurrent == "transposed":
        turned = not turned
    array = array.T if turned else array
    if convention.gates and name in ("U", "W", "b") and len(array) % len(convention.gates) == 0:
        return reordered(array, convention.gates, gates_of(convention))
    return array


def gates_of(convention: Convention) -> str:
    """charloom's own order of the gates, which a convention may change."""
    return next(own for own in GATES.values() if sorted(own) == sorted(convention.gates))


def vector(array: Array, kind: str) -> Array:
    """A vector flat, as a column or as a row."""
    return {"flat": array, "column": array.reshape(-1, 1), "row": array.reshape(1, -1)}[kind]


def ids_as(ids: Array, K: int, kind: str) -> Array:
    """Ids (T,) as they are, or one-hot as (K, T) or (T, K)."""
    if kind == "ids":
        return ids.copy()
    onehot = np.zeros((len(ids), K))
    onehot[np.arange(len(ids)), ids] = 1
    return np.ascontiguousarray(onehot.T) if kind == "KT" else onehot


def call(
    function: Callable[..., Any], problem: Problem, convention: Convention, options: Options
) -> tuple[Reply, Called]:
    """Call a function by a convention; its reply in our orientation."""
    made = Called(problem, convention)
    return reply_of(function, made, options), made


def reply_of(function: Callable[..., Any], made: Called, options: Options) -> Reply:
    """What a function answers to a call that was made ready, in our orientation."""
    convention = made.convention
    with np.errstate(all="ignore"):
        returned = function(*made.arguments())
    names = {**dict(options.names), **dict(convention.names)}
    reply = read_reply(returned, made.shapes, names, options.gradients, len(made.problem.x))
    ours = {name: restored(name, g, convention) for name, g in reply.gradients.items()}
    return reply._replace(gradients=ours)


def settle(
    function: Callable[..., Any], problem: Problem, loss: float, options: Options
) -> Convention:
    """The way in which this function wants to be called; `loss` is the right one of the problem."""
    arguments = argument_order(function, options, tuple(problem.parameters))
    first_error: Exception | None = None
    first_running: Convention | None = None
    plain = list(conventions(options, arguments))
    for convention in (*plain, *(replace(one, holder="attributes") for one in plain)):
        if convention.holder == "attributes" and first_running is not None:
            break
        try:
            reply, convention = try_names(function, problem, convention, options)
        except Exception as error:
            # The most telling error is that of the form the user named, or of the natural one.
            if first_error is None or (
                isinstance(error, DoctorError) and not isinstance(first_error, DoctorError)
            ):
                first_error = error
            continue
        # Without a loss only the shapes can tell: the first that runs.
        if reply.loss is None or agrees(reply.loss, loss, len(problem.x)):
            return convention
        first_running = first_running or convention
    if first_running is not None:
        return first_running
    assert first_error is not None
    raise first_error


def try_names(
    function: Callable[..., Any], problem: Problem, convention: Convention, options: Options
) -> tuple[Reply, Convention]:
    """Call until the parameters are called what the function calls them.

    It gets a plain dict, which other libraries (JAX) take for what it is; a `Network` only where it
    wants attributes, or asks for names that tell nothing.
    """
    asked: dict[str, str] = {}
    while convention.holder == "dict":
        made = Called(problem, replace(convention, names=(*convention.names, *asked.items())))
        try:
            return reply_of(function, made, options), made.convention
        except AttributeError as error:
            if error.obj is not made.network:
                raise
            break
        except KeyError as error:
            key = error.args[0] if error.args else None
            if not isinstance(key, str) or key in made.network:
                raise
            parameter = parameter_of(key, list(made.shapes), {})
            if parameter is None or parameter in asked:
                break
            asked[parameter] = key
    return with_network(function, problem, replace(convention, holder="attributes"), options)


def with_network(
    function: Callable[..., Any], problem: Problem, convention: Convention, options: Options
) -> tuple[Reply, Convention]:
    """The same with a `Network`, which tells what it was asked for."""
    for _ in range(8):
        made = Called(problem, convention)
        assert isinstance(made.network, Network)
        error: Exception | None = None
        reply: Reply | None = None
        try:
            reply = reply_of(function, made, options)
        except Exception as caught:
            error = caught
        asked = {**dict(convention.names), **made.network._asked}
        if asked != dict(convention.names):
            convention = replace(convention, names=tuple(asked.items()))
            continue
        if error is not None:
            if made.network._unknown and isinstance(error, (KeyError, AttributeError)):
                raise DoctorError(
                    f"the function asks the parameters for {made.network._unknown[0]!r}, which is "
                    f"none of {', '.join(made.shapes)} by any usual name; say what you call them all, "
                    f"for example {argument('names', names_example(made.network, made.shapes))}."
                ) from error
            raise error
        assert reply is not None
        return reply, convention
    raise DoctorError(
        f"the function asks for ever new names of its parameters; give {argument('names')}."
    )


def names_example(network: Network, names: Iterable[str]) -> dict[str, str]:
    """What each parameter may be called: the names that were asked for, those not known last."""
    own = {**network._asked}
    left = iter(network._unknown)
    return {name: own.get(name) or next(left, "…") for name in names}


def agrees(loss: float, right: float, T: int) -> bool:
    """Whether a loss is the right one, or its mean over time."""
    return any(abs(loss - r) <= LOSS_AGREES * abs(r) for r in (right, right / T))


def conventions(options: Options, arguments: tuple[str, ...]) -> Iterator[Convention]:
    """The ways of calling, the usual ones first."""
    ids = {"natural": ("ids",), "course": ("KT", "TK")}.get(options.form, ("ids", "KT", "TK"))
    vectors = {
        "ids": (("flat", "flat"), ("column", "column"), ("row", "row"), ("column", "flat"), ("flat", "column")),
        "KT": (("column", "column"), ("column", "flat"), ("flat", "flat"), ("flat", "column"), ("row", "row")),
        "TK": (("flat", "flat"), ("row", "row"), ("row", "flat"), ("column", "column"), ("flat", "row")),
    }  # fmt: skip
    for kind, turned in itertools.product(ids, ("ours", "transposed")):
        for bias, state in vectors[kind]:
            for recurrent in ("ours", "transposed"):
                yield Convention(
                    kind, bias, state, turned, recurrent, arguments, options.names, options.gates
                )


def argument_order(
    function: Callable[..., Any], options: Options, known: tuple[str, ...]
) -> tuple[str, ...]:
    """The roles of the function's arguments, by their names; asks where they do not tell.

    `known`: the parameters. They may come as one argument, or each as one of its own.
    """
    wanted = ("params", "x", "y", "h0")
    pair = ("h0", "c0") if options.cell == "lstm" else ("h0",)
    forms = [("params", "x", "y", *pair), (*known, "x", "y", *pair)]
    if options.arguments:
        if sorted(options.arguments) not in map(sorted, (wanted, (*known, "x", "y", "h0"), *forms)):
            raise DoctorError(
                f"{argument('arguments')} is {','.join(options.arguments)}; it must name each of "
                f"{', '.join(wanted)} once, in the order of the function's arguments; or in place "
                f"of params each of {', '.join(known)}."
            )
        return options.arguments
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return wanted
    needed = [
        p
        for p in parameters
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]  # fmt: skip
    if any(p.kind == p.VAR_POSITIONAL for p in parameters) and not needed:
        return wanted
    required = [p.name for p in needed if p.default is p.empty]
    if len(required) > 4:
        return spread_out(required, forms, known, options)
    roles = [role_of(p.name) for p in needed[:4]]
    if len(needed) < 4:
        raise DoctorError(
            f"the function takes {number_of(len(required), 'argument')} "
            f"({', '.join(required) or 'none'}); it must take four: the parameters, x, y and the initial "
            f"state h0. {wrapper(function, required, known)}"
        )
    if sorted(role or "" for role in roles) == sorted(wanted):
        return tuple(role for role in roles if role)
    if sum(role is None for role in roles) == 1 and len({r for r in roles if r}) == 3:
        (left,) = set(wanted) - set(roles)
        return tuple(role or left for role in roles)
    if roles == [None] * 4:
        return wanted
    raise DoctorError(
        f"the function's arguments are {', '.join(p.name for p in needed)}: which of them are the "
        f"parameters, x, y and h0? Say it in their order, for example "
        f"{argument('arguments', ['x', 'y', 'h0', 'params'])}."
    )


def spread_out(
    required: Sequence[str],
    forms: Sequence[tuple[str, ...]],
    known: tuple[str, ...],
    options: Options,
) -> tuple[str, ...]:
    """The roles of more than four arguments: each parameter as one, or h0 and c0 apart."""
    inputs = ("x", "y", "h0", "c0")
    roles: list[str | None] = []
    for name in required:
        role = role_of(name)
        one = parameter_of(name, known, dict(options.names))
        # Short names say more of a parameter (c, b, W) than of an input, but those of ROLES do.
        roles.append(role if role in ("x", "y", "h0", "params") else one)
    if options.cell == "lstm" and roles.count("h0") == 1 and "params" in roles:
        roles = ["c0" if name.lower().replace("_", "") in CELL_NAMES else role
                 for name, role in zip(required, roles, strict=True)]  # fmt: skip
    for form in forms:
        if sorted(role or "" for role in roles) == sorted(form):
            return tuple(role for role in roles if role)
        if len(required) == len(form) and sum(role is None for role in roles) == 1:
            left = set(form) - set(roles)
            if len(left) == 1 and len(set(roles)) == len(roles):
                return tuple(role or next(iter(left)) for role in roles)
    example = [*known, *inputs[: 4 if options.cell == "lstm" else 3]]
    raise DoctorError(
        f"the function takes {number_of(len(required), 'argument')} ({', '.join(required)}); which of "
        "them is what? It may take the parameters as one argument, or each as one of its own, and x, y "
        f"and h0. Say it in their order, for example {argument('arguments', example)}."
    )


def wrapper(function: Callable[..., Any], required: Sequence[str], known: Sequence[str]) -> str:
    """The lines that make a function of the natural form out of one that takes too few arguments."""
    roles = [role_of(name) for name in required]
    own = getattr(function, "__globals__", {})
    used = getattr(getattr(function, "__code__", None), "co_names", ())
    given = {}
    for name in used:
        parameter = parameter_of(name, known, {})
        if name in own and parameter is not None and hasattr(own[name], "shape"):
            given[name] = f'params["{parameter}"]'
        elif name in own and isinstance(own[name], int) and size_of(name):
            given[name] = size_of(name)
    if len(given) == 0 or sorted(role or "" for role in roles) != ["h0", "x", "y"]:
        template = terminal_command("doctor", template="numpy")
        return f"Write a line around it: {template} shows how."
    lines = ", ".join(f"{name}={value}" for name, value in given.items())
    return (
        "It reads its parameters from the module. Put this below it, and name judged:\n\n"
        "def judged(params, x, y, h0):\n"
        f"    globals().update({lines})\n"
        f"    return {getattr(function, '__name__', 'function')}({', '.join(str(role) for role in roles)})\n"
    )


def size_of(name: str) -> str:
    """What a size of the module is, in the parameters: of K or H; empty where it is neither."""
    plain = name.lower().replace("_", "")
    if plain in K_NAMES:
        return 'len(params["c"])'
    return "len(h0)" if plain in H_NAMES else ""


def role_of(name: str) -> str | None:
    """The role of an argument by its name."""
    plain = name.lower().replace("_", "")
    return next((role for role, names in ROLES.items() if plain in names), None)
