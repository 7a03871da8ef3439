"""Requests that upload a text, or start, resume or dismiss a run, and their responses."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

from charloom.config import MOST_ORDER, MOST_PAIRS
from charloom.registered_cells import cell_names
from charloom.web.schemas.common import (
    KEY,
    SHORT,
    TEXT_BODY,
    Key,
    ListPage,
    ModelKey,
    RequestBody,
    ResponseBody,
    Seed,
)


def a_cell(name: str) -> str:
    """Return the name of a cell, built in or registered.

    Raises:
        PydanticCustomError: there is no such cell.
    """
    names = [repr(each) for each in cell_names()]
    if repr(name) not in names:
        wanted = f"{', '.join(names[:-1])} or {names[-1]}"
        raise PydanticCustomError(
            "literal_error", "Input should be {expected}", {"expected": wanted}
        )
    return name


TextName = Annotated[str, StringConstraints(min_length=1, max_length=SHORT)]


class NewText(RequestBody):
    """A text to train on, sent as JSON. The server stores the text unchanged.

    A text that is longer than the field `text` allows can be sent as application/octet-stream instead.
    """

    name: TextName
    text: Annotated[str, StringConstraints(max_length=TEXT_BODY)]


class TextAbout(ResponseBody):
    """A text that a run can train on.

    Attributes:
        key: the id of the text in POST /api/runs.
        kind: `builtin`, `uploaded`, or `run` if a run in the list trains on the text.
        bytes: the size of the text's files; None for a built-in text.
    """

    key: str
    name: str
    kind: Literal["builtin", "uploaded", "run"]
    bytes: int | None = None
    description: str | None = None


class Texts(ListPage):
    """A page of the list of texts.

    A text that a run trains on is missing from the list until the server has read the run.
    """

    texts: list[TextAbout]


class Settings(RequestBody):
    """The settings of a new run that the page can change. If a setting is not given, the recipe or the model sets it.

    Attributes:
        minutes: how long the run trains; sets the number of updates.
        find_learning_rate: true searches for the learning rate in short trials before the run begins.
        unknown: what to do with characters that the model to start from has never read. Only a run that starts
            from a model may have this setting and `replacement`.
        replacement: the known character that stands in place of each unknown one if `unknown` is `replace`.
    """

    cell: Annotated[str, StringConstraints(max_length=32), AfterValidator(a_cell)] | None = None
    hidden_size: Annotated[int, Field(ge=1, le=2048)] | None = None
    layers: Annotated[int, Field(ge=1, le=8)] | None = None
    ngram_order: Annotated[int, Field(ge=0, le=MOST_ORDER)] | None = None
    input_pairs: Annotated[int, Field(ge=0, le=MOST_PAIRS)] | None = None
    seq_length: Annotated[int, Field(ge=1, le=1024)] | None = None
    batch_size: Annotated[int, Field(ge=1, le=512)] | None = None
    order: Literal["sequential", "chunks", "random"] | None = None
    chunks: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    dropout: Annotated[float, Field(ge=0, le=0.9)] | None = None
    optimizer: Literal["adagrad", "sgd", "rmsprop", "adam", "adamw"] | None = None
    learning_rate: Annotated[float, Field(gt=0, le=10)] | None = None
    find_learning_rate: bool | None = None
    schedule: Literal["constant", "step", "cosine"] | None = None
    warmup: Annotated[int, Field(ge=0, le=2_000_000_000)] | None = None
    warmup_epochs: Annotated[float, Field(ge=0, le=100_000)] | None = None
    step_after: Annotated[int, Field(ge=0, le=100_000)] | None = None
    step_after_updates: Annotated[int, Field(ge=0, le=2_000_000_000)] | None = None
    step_every: Annotated[int, Field(ge=1, le=100_000)] | None = None
    step_every_updates: Annotated[int, Field(ge=1, le=2_000_000_000)] | None = None
    step_factor: Annotated[float, Field(gt=0, le=10)] | None = None
    cosine_end: Annotated[float, Field(ge=0, le=1)] | None = None
    weight_decay_on: Literal["all", "weights"] | None = None
    averaging: Annotated[float, Field(ge=0, le=1)] | None = None
    validation: Annotated[float, Field(ge=0, le=0.5)] | None = None
    judge_every: Annotated[int, Field(ge=0, le=2_000_000_000)] | None = None
    patience: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    tokens: Literal["characters", "bytes"] | None = None
    unknown: Literal["refuse", "skip", "replace", "add"] | None = None
    replacement: Annotated[str, StringConstraints(min_length=1, max_length=1)] | None = None
    seed: Seed | None = None
    epochs: Annotated[int, Field(ge=1, le=100_000)] | None = None
    updates: Annotated[int, Field(ge=1, le=2_000_000_000)] | None = None
    minutes: Annotated[float, Field(gt=0, le=10_080)] | None = None


class NewRun(RequestBody):
    """A run to start: the key of a text, a recipe, and the settings that differ from the recipe.

    Attributes:
        from_model: the id of the model whose network and weights the run takes; None begins with random weights.
        recipe: None means the default recipe or, with a model, the settings of the model; but not its `updates` and
            `unknown`.
    """

    text: Key
    from_model: ModelKey | None = None
    recipe: Annotated[str, StringConstraints(max_length=40)] | None = None
    name: Annotated[str, StringConstraints(pattern=KEY, max_length=60)] | None = None
    settings: Settings = Settings()


class ResumeRequest(RequestBody):
    """A request to resume a run; it may give a new end of training in epochs, updates or minutes.

    If none of the three fields is given, the end of training is unchanged. More than one field is an error.
    """

    epochs: Annotated[int, Field(ge=1, le=100_000)] | None = None
    updates: Annotated[int, Field(ge=1, le=2_000_000_000)] | None = None
    minutes: Annotated[float, Field(gt=0, le=10_080)] | None = None


class Dismissed(ResponseBody):
    """The answer to a request that removed from the list a run whose start failed; `run` is the run's key."""

    run: str


class Started(ResponseBody):
    """The answer to a request that started or resumed a run. `run` is the key of the run in the list."""

    run: str
