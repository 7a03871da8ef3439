"""Requests for texts and predictions of models, and their responses: the view Playground."""

from typing import Annotated, Any, Final

from pydantic import Field, StringConstraints

from charloom.config import GRID_TEMPERATURES, GRID_TOP_PS
from charloom.model import DEFAULT_START, Start
from charloom.web.schemas.common import (
    LONGEST_READ,
    SHORT,
    ListPage,
    ModelKey,
    ModelResponse,
    Probable,
    RequestBody,
    ResponseBody,
    Seed,
    State,
    TextRequest,
    Unknown,
)

LONGEST_PROMPT: Final = 10_000
LONGEST_WRITING: Final = 100_000
MOST_GRID_SIDE: Final = 6  # temperatures, and values of top-p, of a table of texts
MOST_SAMPLES: Final = 4  # texts that each model writes for one request


class ModelAbout(ResponseBody):
    """The entry of a model in the list of models.

    Attributes:
        id: the id of the model in other requests.
        run: the key of the run that saved the model; None for a model file.
        which: the checkpoint of the run: `latest`, `best` or an update; `file` for a model file.
    """

    id: str
    run: str | None
    which: str
    update: int | None = None
    name: str
    state: State | None = None
    created: int = 0


class Models(ListPage):
    """A page of the list of models."""

    models: list[ModelAbout]


class ModelDetail(ResponseBody):
    """A model that was opened: its size, its vocabulary and its settings.

    `whats` lists the quantities of the model's units that can be shown: h (the hidden state), cell, and the
    gates. `ngram_order` is the length of the model's n-grams; 0 if it has none. `input_pairs` is how many pairs
    of characters have a learned input. `parameters` is the number of trained numbers, without the n-grams.
    `settings` and `minutes` are those of a run that starts from the model and changes none. `minutes` is None if
    `settings` say when the run ends.
    """

    id: str
    update: int
    cell: str
    hidden_size: int
    layers: int
    ngram_order: int
    input_pairs: int
    tokens: str
    vocabulary: str
    parameters: int
    recipe: str
    settings: dict[str, Any]
    minutes: float | None
    whats: list[str]


Temperature = Annotated[float, Field(ge=0, le=100)]
TopP = Annotated[float, Field(gt=0, le=1)]


class HeldUnit(RequestBody):
    """A hidden unit of the model that is held at a value at every step, as `Model.clamp` does."""

    layer: Annotated[int, Field(ge=0, le=63)] = 0
    unit: Annotated[int, Field(ge=0, le=65_535)]
    value: Annotated[float, Field(ge=-1, le=1)] = 0.0


class TextOptions(RequestBody):
    """A prompt, and how texts after it are sampled, without the temperature and top-p.

    The defaults are those of `charloom sample`. `hold` is a unit that is held while each model writes; None holds none.
    """

    prompt: Annotated[str, StringConstraints(max_length=LONGEST_PROMPT)] = ""
    length: Annotated[int, Field(ge=1, le=LONGEST_WRITING)] = 200
    top_k: Annotated[int, Field(ge=0, le=1_114_112)] = 0
    min_p: Annotated[float, Field(ge=0, le=1)] = 0.0
    repetition_penalty: Annotated[float, Field(ge=0.01, le=100)] = 1.0
    repetition_window: Annotated[int, Field(ge=1, le=100_000)] = 64
    seed: Seed = 0
    stop: Annotated[
        list[Annotated[str, StringConstraints(min_length=1, max_length=SHORT)]],
        Field(max_length=8),
    ] = []
    unknown: Unknown = "refuse"
    start: Start = DEFAULT_START
    hold: HeldUnit | None = None
    probabilities: bool = Field(
        False,
        description="also send the surprise of each character and the most likely next characters",
    )


class SamplingOptions(TextOptions):
    """A prompt, and how characters are sampled after it. The defaults are those of `charloom sample`."""

    temperature: Temperature = 1.0
    top_p: TopP = 1.0


class WritingRequest(SamplingOptions):
    """The base of requests for texts that are streamed.

    Attributes:
        samples: the number of texts that each model writes. They are those that `charloom sample`
            writes with as many samples.
    """

    samples: Annotated[int, Field(ge=1, le=MOST_SAMPLES)] = 1


class Generate(WritingRequest):
    """A request for one or more texts that one model writes.

    The response is a stream of server-sent events:

    - `begin`: `{model, update, seed, prompt, unknowns, warning, held}`, and with `probabilities` also `read`, an
      Analysis of the prompt. `update` is the update at which the model was saved; `unknowns` is a sentence
      about the characters of the prompt that the model skips, or empty; `warning` is a sentence saying that the
      model writes badly from `start`, or empty; `held` says which units are held, or is empty;
    - `text`, repeated: `{text}`, a few characters, and with `probabilities` also `analysis`, an Analysis of
      these characters;
    - `end`: `{ended: "length" | "stop", characters, seconds}`;
    - `mistake` instead of `end`: an `error` as in every error response.

    If `samples` is more than 1, there are these events for each text, in turn. Each event but `mistake` then also has
    the field `number`, the index of the text, from 0.

    The model stops writing when the client closes the connection.
    """

    model: ModelKey


class Compare(WritingRequest):
    """A request for texts that two to four models write side by side, from the same seed.

    The response has the events that the schema Generate describes. Each event also has the field `side`, the
    index of the model in `models`, from 0.
    """

    models: Annotated[list[ModelKey], Field(min_length=2, max_length=4)]


class Grid(TextOptions):
    """A request for a table of texts that one model writes, from the same seed and random numbers.

    There is a text for each temperature (a row) and each value of top-p (a column). The response has the events that the
    schema Generate describes. Each event but `mistake` also has the fields `row` and `column`, the indices of the
    temperature and of the value of top-p, from 0.
    """

    model: ModelKey
    temperatures: Annotated[list[Temperature], Field(min_length=1, max_length=MOST_GRID_SIDE)] = (
        list(GRID_TEMPERATURES)
    )
    top_ps: Annotated[list[TopP], Field(min_length=1, max_length=MOST_GRID_SIDE)] = list(
        GRID_TOP_PS
    )


class Analysis(ResponseBody):
    """A model's prediction for each character of a text, as lists of the same length.

    Attributes:
        characters: the characters of the text. Bytes that are not UTF-8 are shown as U+FFFD.
        nats: -ln of the probability of each character after all previous characters; None for a character
            that the model does not predict.
        likely: for each character, the five most likely characters to follow the character, with their
            probabilities.
    """

    characters: list[str]
    nats: list[float | None]
    likely: list[list[Probable]]


class Score(TextRequest):
    """A request for the surprise of each character of a text."""

    text: Annotated[str, StringConstraints(min_length=2, max_length=LONGEST_READ)]
    likely: bool = False


class Surprises(ModelResponse):
    """The surprise of each character of a text, in nats and in bits.

    `likely` has, for each character, the five most likely characters to follow the character, with their
    probabilities; None if the request does not set `likely`.
    """

    characters: list[str]
    nats: list[float | None]
    bits: list[float | None]
    mean_bits: float
    likely: list[list[Probable]] | None = None
    unknowns: str = ""


class Next(TextRequest):
    """A request for the most likely characters after a text."""

    text: Annotated[str, StringConstraints(max_length=LONGEST_PROMPT)] = ""
    count: Annotated[int, Field(ge=1, le=256)] = 5


class NextLikely(ModelResponse):
    """The most likely characters after a text, beginning with the most likely one."""

    likely: list[Probable]
