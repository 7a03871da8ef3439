"""Requests for the values of the units of a model, and their responses: the view Inside."""

from typing import Annotated, Final

from pydantic import Field, StringConstraints

from charloom.web.schemas.common import (
    LONGEST_READ,
    SHORT,
    ModelResponse,
    ResponseBody,
    TextRequest,
)

# The largest number of characters for which all units of a layer are shown. The limit is low, because the response
# has a number for each character and unit.
LONGEST_MAP: Final = 4_000


# The name of a value of a unit, such as h or z. A registered cell names its own.
What = Annotated[str, StringConstraints(max_length=64, pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]


class UnitRequest(TextRequest):
    """A request for the value of one unit after each character of a text."""

    text: Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_READ)]
    layer: Annotated[int, Field(ge=0, le=63)] = 0
    unit: Annotated[int, Field(ge=0, le=65_535)] = 0
    what: What = "h"


class ActivityResponse(ModelResponse):
    """The base of responses with the values of units after each character of a text.

    `low` and `high` are bounds of the values, such as 0 and 1 for a gate. For a quantity without fixed bounds,
    they are -m and m, where m is the largest absolute value in the response.
    """

    characters: list[str]
    low: float
    high: float


class UnitValues(ActivityResponse):
    """A unit's value after each character of a text."""

    values: list[float]


class NGramRequest(TextRequest):
    """A request for the weight of the n-grams in the prediction of each character of a text."""

    text: Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_READ)]


class NGramWeights(ModelResponse):
    """How much a model relies on its n-grams when it predicts each character of a text.

    Attributes:
        characters: the text, a string for each character; empty if the model has no n-grams.
        weights: the weight of the n-grams in the prediction of each character. At 0 the network predicts alone;
            at 1 it starts from the probabilities as they were counted. None for the first character, which is
            not predicted. The whole list is None if the model has no n-grams.
    """

    characters: list[str]
    weights: list[float | None] | None


class MapRequest(TextRequest):
    """A request for the values of all units of a layer after each character of a text."""

    text: Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_MAP)]
    layer: Annotated[int, Field(ge=0, le=63)] = 0
    what: What = "h"


class UnitMap(ActivityResponse):
    """The values of all units of a layer after each character of a text.

    `values` is a base64 string of unsigned bytes: a byte for each character for the first unit, then for the
    second unit, and so on. The byte with the index `unit * len(characters) + n` is for character n. The value
    of the unit after the character is `low + byte / 255 * (high - low)`.
    """

    units: int
    values: str


class RankingRequest(TextRequest):
    """A request for the units whose values follow properties of a text most closely.

    A property is a number for each character, such as 1 inside quotation marks and 0 elsewhere. The response has
    the built-in properties and the properties that `pattern` and `marks` define.

    Attributes:
        pattern: a regular expression in the syntax of Python's re, as for `charloom neurons`. It defines a
            property that is 1 inside each match.
        marks: parts of the text, as pairs [start, end] of character indices; `end` is excluded. The indices do
            not count characters that the model skips. The marks define a property that is 1 inside these parts.
        top: the number of units to return for each property.
    """

    text: Annotated[str, StringConstraints(min_length=2, max_length=LONGEST_READ)]
    pattern: Annotated[str, StringConstraints(min_length=1, max_length=SHORT)] | None = None
    marks: Annotated[
        list[Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=2, max_length=2)],],
        Field(max_length=1_000),
    ] = []
    top: Annotated[int, Field(ge=1, le=50)] = 5


class UnitFound(ResponseBody):
    """A unit whose values follow a property of a text.

    Attributes:
        what: which quantity of the unit follows the property, such as `h` (the hidden state) or a gate.
        r: the Pearson correlation of this quantity with the property, from -1 to 1.
    """

    layer: int
    unit: int
    what: str
    r: float


class PropertyRanked(ResponseBody):
    """A property of a text and the units that follow it most closely, best first.

    Attributes:
        mean: the mean of the property over the text. For a yes-or-no property, the share of characters that
            have the property.
        by_chance: the largest |r|, the absolute correlation, that any unit has with the property after the
            property is shifted along the text. If the |r| of a unit is not larger than `by_chance`, the
            correlation can be due to chance.
        why_none: the reason why no unit is returned; empty if units are returned.
    """

    property: str
    description: str
    mean: float
    by_chance: float | None
    units: list[UnitFound]
    why_none: str = ""


class Ranking(ModelResponse):
    """The units whose values follow each property of a text most closely."""

    characters: int
    properties: list[PropertyRanked]
