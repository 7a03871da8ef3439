"""Converts an error of pydantic to a message: what is wrong with a field of a request, and what was wanted.

pydantic checks requests against the classes of `charloom.web.schemas`.
"""

import re
from typing import Any, Final

from charloom.config import Config
from charloom.formatting import counted, shortened
from charloom.messages import argument
from charloom.name_suggestions import did_you_mean

# For each type of pydantic's errors: what the field must be.
WANTED: Final = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number with fewer digits",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "a string",
    "string_unicode": "a string without unpaired surrogates",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
}
# For each bound that a pydantic error may name: the words for the bound in the message.
BOUNDS: Final = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
LENGTHS: Final = {"min_length": "at least", "max_length": "at most"}
FIELD: Final = re.compile(r"[a-z][a-z_]*")
# Names in an error's `loc` that are not names of fields: types of a union, and parts of a request.
TYPES: Final = ("str", "int", "float", "bool", "list", "body", "query", "path")


def validation_message(error: Any) -> str:
    """Return a message about `error`, one of pydantic's errors, without a full stop.

    Most messages name the wrong field. They contain a mark that `argument` returns, and `charloom.messages`
    replaces the mark by the name of the field before the message is shown.
    """
    kind, given, limits = error["type"], error.get("input"), error.get("ctx", {})
    if kind == "extra_forbidden":
        return unknown_field(error["loc"])
    field = field_of(error["loc"])
    if kind == "missing":
        return f"{field} is missing"
    for name, words in LENGTHS.items():
        if name in limits:
            unit = "character" if isinstance(given, str) else "item"
            length = counted(limits[name], unit)
            return f"{field} must have {words} {length}, not {len(given):,}"
    if kind == "string_pattern_mismatch":
        return (
            f"{field} {'is empty' if given == '' else f'cannot be {shortened(given)}'}; use letters, digits, "
            f"_, - and ., without . at the beginning"
        )
    wanted = WANTED.get(kind)
    for name, words in BOUNDS.items():
        if name in limits:
            bound = limits[name]
            wanted = f"{words} {int(bound) if bound == int(bound) else bound:,}"
    if kind == "literal_error":
        wanted = limits["expected"]
    if wanted is None:
        return f"{field}: {error['msg'][:300]}"
    return f"{field} must be {wanted}, not {shortened(given)}"


def unknown_field(place: tuple[int | str, ...]) -> str:
    """Return a message about a field that a request cannot have. If it is a misspelt setting, name what is meant."""
    name = str(place[-1])
    settings = Config.__dataclass_fields__ if "settings" in place[:-1] else ()
    meant = did_you_mean(name, settings)
    return f"there is no field {shortened(name)} here{f' ({meant})' if meant else ''}"


def field_of(place: tuple[int | str, ...]) -> str:
    """Return a mark for the wrong field, to be put into a message; "the request" if `place` names no field.

    `charloom.messages` replaces the mark by the name of the field before the message is shown.

    Args:
        place: where pydantic found the error: the names of fields and the indices of list items, from the
            outermost to the innermost.
    """
    names = [part for part in place if isinstance(part, str) and part not in TYPES]
    fields = [name for name in names if FIELD.fullmatch(name)]
    return argument(fields[-1][:200]) if fields else "the request"
