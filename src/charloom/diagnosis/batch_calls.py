"""Calls a user's functions on a batch of two texts, and on each text alone, by rewriting the wrapper around them.

A wrapper passes one text, with an axis of length 1 where the code has its batch: `x[None]`, for example. For a
batch, this axis gets both texts. A way counts if its loss is the sum of the losses of the two texts, or its
mean. This module runs in the same process as the user's code; it judges no gradient.
"""

import contextlib
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np

from charloom.diagnosis.loss_and_gradients import read_reply
from charloom.diagnosis.outcome import Call
from charloom.diagnosis.problem import Array, Problem
from charloom.diagnosis.trials import Fixed, Plan, make_trial

TEXTS: Final = 2  # number of texts in the batch
PLAN: Final = Plan("a batch", 4, 5, 7, 0.5, "non-zero")
PLACE: Final = 70  # the argument `place` of `make_trial` for the first text
SAME_LOSS: Final = 1e-6  # largest relative difference of two losses that are the same
CHECKED: Final = "def checked("
# How a wrapper passes x or y, {v}, with an axis for the batch, and the same for ids of shape (T, texts).
AXES: Final = {
    "np.eye(K)[{v}][None]": "np.eye(K)[{v}.T]",
    "np.eye(K)[{v}][:, None]": "np.eye(K)[{v}]",
    "np.eye(K)[:, None, {v}]": "np.eye(K)[:, {v}.T]",
    "np.eye(K)[:, {v}][None]": "np.eye(K)[{v}.T].transpose(0, 2, 1)",
    "E[{v}][None]": "E[{v}.T]",
    "E[{v}][:, None]": "E[{v}]",
    "{v}[None]": "{v}.T",
    "{v}[:, None]": "{v}",
}
# Ids without such an axis may be meant as they are, with one row for each text, or as one row of all texts.
PLAIN: Final = ("{v}", "{v}.T", "{v}.reshape(-1)", "{v}.T.reshape(-1)")
STATES: Final = {"[None, None]": "[None]", "[:, None]": ".T", "[None]": ""}


def batch_texts(wrapper: str) -> Iterator[str]:
    """Yield the wrapper rewritten for x and y of shape (T, texts) and initial states of shape (texts, H)."""
    head, mark, body = wrapper.rpartition(CHECKED)
    body = body.replace("len(h0)", "h0.shape[-1]")
    for state, (one, many) in itertools.product(("h0", "c0"), STATES.items()):
        body = body.replace(f"{state}{one}", f"{state}{many}")
    ways: list[Sequence[str]] = []
    for name in "xy":
        changed = with_axis(body, name)
        ways.append(PLAIN if changed == body else PLAIN[:1])
        body = changed
    if mark and PLAIN[:1] in ways:
        first, lines = body.split("\n", 2)[0], body.split("\n")[1:]
        for way in itertools.product(*ways):
            given = [
                f"    {name} = {one.format(v=name)}" for name, one in zip("xy", way, strict=True)
            ]
            yield "\n".join([f"{head}{mark}{first}", *given, *lines])


def with_axis(body: str, name: str) -> str:
    """Return the lines of a wrapper in which the axis of length 1 of x or y, `name`, is that of the texts."""
    for one, many in AXES.items():
        pattern = r"(?<![\w.])" + re.escape(one.format(v=name))
        changed = many.format(v=name).join(re.split(pattern, body))
        if changed != body:
            return changed
    return body


def batch_problems(cell: str, seed: int, sizes: Fixed) -> list[Problem]:
    """Return one problem for each text of the batch; they have the same parameters.

    The texts have the same character at one step.
    """
    first, *others = (make_trial(cell, seed, PLACE + n, PLAN, sizes).problem for n in range(TEXTS))
    return [first] + [
        other._replace(
            parameters=first.parameters, x=np.where(np.arange(len(other.x)) == 2, first.x, other.x)
        )
        for other in others
    ]


def calls_on_batch(
    checked: Callable[..., Any],
    load: Callable[[str], Callable[..., Any]],
    wrapper: str,
    problems: Sequence[Problem],
) -> list[Call]:
    """Return the results for each text alone, and then those for the batch; nothing if no way has the right loss.

    `checked` is the function of the wrapper, and `load` returns that of a rewritten wrapper.
    """
    for text in batch_texts(wrapper):
        with contextlib.suppress(Exception), np.errstate(all="ignore"):
            alone = [
                called(checked, one, [one.x, one.y], list(one.state.values())) for one in problems
            ]
            ids = [
                np.stack([one.x for one in problems], 1),
                np.stack([one.y for one in problems], 1),
            ]
            states = [np.stack([one.state[s] for one in problems]) for s in problems[0].state]
            batch = called(load(text), problems[0], ids, states)
            total = sum(one.loss or 0.0 for one in alone)
            if batch.loss is not None and any(
                abs(batch.loss - share * total) <= SAME_LOSS * abs(total)
                for share in (1, 1 / TEXTS)
            ):
                return [*alone, batch]
    return []


def called(
    checked: Callable[..., Any], problem: Problem, ids: list[Array], states: list[Array]
) -> Call:
    """Return the result of the function of a wrapper."""
    parameters = {name: p.copy() for name, p in problem.parameters.items()}
    shapes = {name: p.shape for name, p in parameters.items()}
    state = states[0].copy() if len(states) == 1 else tuple(s.copy() for s in states)
    returned = checked(parameters, ids[0].copy(), ids[1].copy(), state)
    reply = read_reply(returned, shapes, {}, (), len(problem.x))
    return Call(reply.loss, reply.gradients, (), {}, reply.float32)
