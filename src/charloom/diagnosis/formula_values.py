"""Computes the right side of an equation that is given as text, such as "ds ∘ f_t ∘ (1 - i_t)".

An equation is a sum of products of factors with the names of spec/mathematics.md (The cells). This module
does not know which equations are right.
"""

import re
from collections.abc import Mapping

import numpy as np

from charloom.diagnosis.problem import Array, Switches

Values = Mapping[str, Array]  # maps each name, such as "f_t", to its value, (H,)


def formula(name: str, right: Array, values: Values, switches: Switches) -> Array:
    """Return `right`, or what the equation says that `switches` has for the mistake with the id `name`."""
    if name not in switches:
        return right
    _, _, expression = switches[name].partition(" = ")
    return value(expression, values)


def value(expression: str, values: Values) -> Array:
    """Return the value of a sum of products, (H,), or zeros for "0". `values` has the values of the names."""
    if expression == "0":
        return np.zeros_like(next(iter(values.values())))
    total = None
    for term in split_outside(expression, " + "):
        one = product(term, values)
        total = one if total is None else total + one
    return np.asarray(total)


def product(term: str, values: Values) -> Array:
    """Return the value of a product of factors; a minus sign before it changes its sign."""
    sign, factors = (-1.0, term[1:]) if term.startswith("-") else (1.0, term)
    found = np.asarray(sign)
    for one in split_outside(factors, " ∘ "):
        found = found * factor(one, values)
    return found


def split_outside(text: str, between: str) -> list[str]:
    """Split a text at each `between` that is outside parentheses."""
    found = [""]
    for part in text.split(between):
        inside = found[-1].count("(") > found[-1].count(")")
        if inside:
            found[-1] += between + part
        else:
            found.append(part)
    return found[1:]


def factor(text: str, values: Values) -> Array:
    """Return the value of a factor: a name, "(1 - name)", "(1 - name²)" or "(name - name)".

    A factor that `values` has as a whole, such as the derivative of a function, is taken from there.
    """
    if text in values:
        return values[text]
    inner = re.fullmatch(r"\((.+?) - (.+)\)", text)
    if inner is None:
        raise KeyError(text)
    first, second = inner[1], inner[2]
    taken = values[second[:-1]] ** 2 if second.endswith("²") else values[second]
    return np.asarray((1.0 if first == "1" else values[first]) - taken)
