"""Writes and reads variants that code has at some steps only, and several variants of one mistake.

Students often treat the last step before the loop, and make a mistake in one of the two places only. Such
a variant is the usual one with an end such as " at the last step only". Several variants of one mistake,
such as wrong derivatives of two gates, are joined with "; ".
"""

from collections.abc import Sequence
from typing import Final

from charloom.diagnosis.problem import Switches

LAST: Final = "at the last step only"
NOT_LAST: Final = "at all steps but the last"
FIRST: Final = "at the first step only"
NOT_FIRST: Final = "at all steps but the first"
AT: Final = (LAST, NOT_LAST, FIRST, NOT_FIRST)
BETWEEN: Final = "; "


def limited(variant: str, where: str) -> str:
    """Return the variant for code that has it only at the steps that `where` says, one of `AT`."""
    return f"{variant}, {where}" if variant else where


def without_limit(variant: str) -> tuple[str, str]:
    """Return the usual variant, and at which steps the code has it; "" means at every step."""
    where = next((where for where in AT if variant.endswith(where)), "")
    return variant.removesuffix(where).removesuffix(" ").removesuffix(
        ","
    ) if where else variant, where


def joined(variants: Sequence[str]) -> str:
    """Return one variant that stands for several variants of the same mistake."""
    return BETWEEN.join(variants)


def has_limit(switches: Switches) -> bool:
    """Return True if a variant in `switches` is limited to some steps."""
    return any(one.endswith(AT) for variant in switches.values() for one in variant.split(BETWEEN))


def at_step(switches: Switches, t: int, T: int) -> Switches:
    """Return the mistakes that the code makes at step `t` (from 0) of `T` steps."""
    found = {}
    for name, variant in switches.items():
        here = [
            one for one, where in map(without_limit, variant.split(BETWEEN)) if is_at(where, t, T)
        ]
        if here:
            found[name] = joined(here)
    return found


def is_at(where: str, t: int, T: int) -> bool:
    """Return True if step `t` (from 0) is among the steps that `where` says."""
    last, first = t == T - 1, t == 0
    return {"": True, LAST: last, NOT_LAST: not last, FIRST: first, NOT_FIRST: not first}[where]
