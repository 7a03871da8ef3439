"""Defines every request and response of the server, with the bounds of every field.

FastAPI validates requests against these classes, and makes /openapi.json from them. This module does not know how a
response is computed. Losses are in nats, unless a name says bits; bits are per character. Durations are in seconds, and
times are Unix times.
"""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from charloom.cell_table import CellName
from charloom.config import MOST_ORDER, MOST_PAIRS, SEED_LIMIT
from charloom.model import DEFAULT_START, Start

TEXT_BODY: Final = 512 * 1024  # largest body of a JSON request with a text, in bytes
UPLOAD_BODY: Final = 64 * 1024 * 1024  # largest size of a text sent as bytes to train on
SMALL_BODY: Final = 64 * 1024  # largest body of a request without a text, in bytes

LONGEST_PROMPT: Final = 10_000
LONGEST_WRITING: Final = 100_000
MOST_SAMPLES: Final = 4  # texts that each model writes for one request
# The largest number of characters in a text whose surprise is computed, or on which units are shown or compared.
LONGEST_READ: Final = 50_000
# The largest number of characters for which all units of a layer are shown. The limit is low, because the response
# has a number for each character and unit.
LONGEST_MAP: Final = 4_000
MOST_RECORDS: Final = 20_000
SHORT: Final = 200

KEY: Final = r"^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,79}$"
MODEL: Final = r"^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,79}(@(latest|best|0|[1-9][0-9]{0,18}))?$"

Key = Annotated[str, StringConstraints(pattern=KEY, max_length=80)]
ModelKey = Annotated[
    str,
    Field(
        description="an `id` from GET /api/models: a key, or key@latest, key@best, key@<update>. A key alone means the "
        "best checkpoint of a run with a validation part, and the latest checkpoint of a run without",
        examples=["book-1@best"],
    ),
    StringConstraints(pattern=MODEL, max_length=100),
]
TextName = Annotated[str, StringConstraints(min_length=1, max_length=SHORT)]
Seed = Annotated[int, Field(ge=0, lt=SEED_LIMIT)]
Unknown = Literal["refuse", "skip"]
State = Literal[
    "starting",
    "training",
    "paused",
    "finished",
    "interrupted",
    "stopped",
    "failed",
    "damaged",
    "newer",
]
Probable = Annotated[
    list[str | float],
    Field(min_length=2, max_length=2, description="a character and its probability"),
]


class RequestBody(BaseModel):
    """The base of request bodies: rejects unknown fields, and strings where a number is expected."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class ResponseBody(BaseModel):
    """The base of response bodies."""

    model_config = ConfigDict(protected_namespaces=())


# Error responses


class ErrorDetail(ResponseBody):
    """The error in an error response: what was wrong, and how to fix it.

    Attributes:
        message: a sentence for a human reader.
        type: the kind of error: `invalid_request_error`, `not_found_error`, `busy_error` ….
        param: the name of the wrong field; None if the error is not about one field.
        code: the identifier of the error, such as `unknown_characters`; None if it has none.
        characters: with the code `unknown_characters`, the characters that are not in the model's
            vocabulary.
        advice: with the code `unknown_characters`, a sentence saying how a program can let the model skip
            these characters; None if the route has no way to do this.
    """

    message: str
    type: str
    param: str | None = None
    code: str | None = None
    characters: list[str] | None = None
    advice: str | None = None


class ErrorBody(ResponseBody):
    """The body of every error response, which has a status of 400 or more."""

    error: ErrorDetail


# Responses about the state of the server and of its runs


class Health(ResponseBody):
    """The state of the server.

    `writing` is the number of requests that models are processing, and `waiting` is the number of requests
    in the queue.
    """

    ok: bool
    version: str
    writing: int
    waiting: int


class RecipeAbout(ResponseBody):
    """A recipe with all its settings.

    Attributes:
        minutes: how many minutes a run with this recipe trains; None if a number of epochs or updates ends
            the run.
        nats: the loss that a run with this recipe reached in a test, in nats per character; None if not
            measured.
    """

    name: str
    purpose: str
    cost: str
    minutes: float | None
    nats: float | None
    settings: dict[str, Any]


class SettingAbout(ResponseBody):
    """A setting that the page can change.

    Attributes:
        help: a sentence that says what the setting means.
        kind: `choice`, `whole` (an integer), `number`, or `yes_no` (true or false).
        least, most: the smallest and the largest allowed value; None if `kind` is `choice` or `yes_no`.
    """

    name: str
    help: str
    kind: Literal["choice", "whole", "number", "yes_no"]
    choices: list[str] | None = None
    least: float | None = None
    most: float | None = None


class About(ResponseBody):
    """What the page requests first: version, engine, recipes, settings of the form and limits."""

    version: str
    engine: str
    folder: str
    default_recipe: str
    recipes: list[RecipeAbout]
    settings: list[SettingAbout]
    limits: dict[str, int]


class Run(ResponseBody):
    """The entry of a run in the list of runs.

    Attributes:
        key: the id of the run in other requests.
        state: `starting` until the process of the run has written its first status; `interrupted` if a signal
            ended the process, or if the process has disappeared.
        reason: why the run is in this state, or a problem that does not stop the training. While the run is
            starting: how far the search for its learning rate is.
        damage: sentences about damaged files of the run; None if no damage was found.
        end_change: a sentence saying that the end of the run moved because training is slower or faster than
            planned; None if it did not move, or if no process trains the run.
        here: whether a process trains the run. If not, no command can be sent to the run.
        resumable: whether POST /api/runs/{run}/resume can continue the run.
        text: the name of the text that the run trains on.
        characters: the number of characters in the run's text.
        update, updates: the current update and the total number of updates; None while not known.
        epoch: passes over the training text, with a fraction.
        bits: the last validation loss in bits per character; without a validation loss, the smooth training
            loss in bits per character.
        train_bits: the training loss in bits per character, averaged over the updates of the last record, or of
            the last two records if the last one covers fewer updates than the one before.
        validation_bits: the last validation loss in bits per character.
        best_bits: the loss of the best checkpoint in bits per character.
        overfitting: a sentence saying that a finished run overfitted, with a suggestion; None if the run did
            not overfit.
        start_warning: a sentence saying that the model of a finished run writes badly from a state in which it can
            begin; None if it does not, or if this was not measured.
        divergence: a sentence saying that training diverged, with advice; None if it did not, or while a process
            trains the run.
        held_out: the number of characters in the validation part that can be predicted; None if the run
            has no validation part.
        judged_characters: how many characters of the validation part each validation loss is computed on;
            None if the run has no validation part.
        smooth_loss: the smooth loss in nats per window: at `update` if the latest checkpoint was saved at `update`,
            otherwise at the update of the last record.
        learning_rate: the learning rate at `update`, multiplied by `learning_rate_factor`.
        learning_rate_factor: the factor that multiplies the learning rate of the settings: 1, unless a command, a
            new end of the run or a loss that was not finite changed it.
        seconds: training time so far.
        seconds_left: the remaining training time at the current speed; None if the run is not training.
        characters_per_second: the speed in the last record while a process trains the run, otherwise the
            mean speed of the run. None if the speed is not known; for example, a process that has just started
            must make two updates before its speed is known.
        dismissible: whether the start of the run failed or was stopped before the run had a directory. If so, POST
            /api/runs/{run}/dismiss removes the run from the list.
        changed: when the run last changed, in Unix time.
        checkpoints: the updates of all checkpoints that exist, including the latest and the best.
        model: the checkpoint that is the run's default model: `best` if the run has a validation part,
            otherwise `latest`.
    """

    key: str
    name: str
    state: State
    reason: str | None = None
    damage: str | None = None
    end_change: str | None = None
    here: bool = False
    resumable: bool = False
    dismissible: bool = False
    recipe: str | None = None
    cell: str | None = None
    hidden_size: int | None = None
    layers: int | None = None
    ngram_order: int | None = None
    input_pairs: int | None = None
    seq_length: int | None = None
    text: str | None = None
    characters: int | None = None
    vocabulary_size: int | None = None
    update: int | None = None
    updates: int | None = None
    epoch: float | None = None
    bits: float | None = None
    train_bits: float | None = None
    validation_bits: float | None = None
    best_bits: float | None = None
    overfitting: str | None = None
    start_warning: str | None = None
    divergence: str | None = None
    smooth_loss: float | None = None
    learning_rate: float | None = None
    learning_rate_factor: float = 1.0
    characters_per_second: float | None = None
    seconds: float | None = None
    seconds_left: float | None = None
    changed: float = 0.0
    checkpoints: list[int] = []
    judged_characters: int | None = None
    held_out: int | None = None
    best: int | None = None
    latest: int | None = None
    model: Literal["latest", "best"] = "latest"


class ListPage(ResponseBody):
    """The base of responses with a page of a list.

    Attributes:
        total: the number of items in the whole list.
        next: the value of the parameter `after` that requests the next page; None on the last page.
        unread: the number of runs that the server has not read yet. The list does not include these runs.
    """

    total: int
    next: str | None
    unread: int


class Runs(ListPage):
    """A page of the list of runs, most recently changed first."""

    runs: list[Run]


class SearchRound(ResponseBody):
    """The trials of a search for a learning rate that are compared after the same number of updates.

    Attributes:
        updates: the number of updates of each trial.
        learning_rates: the learning rate of each trial, ascending.
        losses: the training loss of each trial in nats per character; None if the trial diverged.
    """

    updates: int
    learning_rates: list[float]
    losses: list[float | None]


class SearchPlot(ResponseBody):
    """The part of a search that a plot shows.

    Attributes:
        learning_rates: the lowest and the highest learning rate of the horizontal axis.
        losses: the lowest and the highest loss of the vertical axis.
        left_out: the larger rates, ascending, at which every trial has a higher loss or diverged.
    """

    learning_rates: tuple[float, float]
    losses: tuple[float, float]
    left_out: list[float]


class RateSearch(ResponseBody):
    """The search that chose the learning rate of a run before training (spec/formats.md: Searches).

    Attributes:
        learning_rate: the chosen rate.
        rounds: the losses of the trials, with longer and longer trials at fewer and fewer rates.
        plot: the part that the page shows.
    """

    learning_rate: float
    rounds: list[SearchRound]
    plot: SearchPlot


class RunDetail(ResponseBody):
    """A run with its settings.

    Attributes:
        search: the search that chose the run's learning rate; None if the rate was given, or if the search
            cannot be read.
        damage: a sentence for each file of the run that is damaged or missing.
        request: the request to this server that started the run; None if another program started it.
    """

    run: Run
    settings: dict[str, Any] = {}
    version: str | None = None
    engine: str | None = None
    gradcheck: dict[str, Any] | None = None
    search: RateSearch | None = None
    passage: str | None = None
    damage: list[str] = []
    request: "NewRun | None" = None


class Record(ResponseBody):
    """A record: the losses and the speed of a run at an update (spec/formats.md: Records).

    `end` is true if the record is at the end of an epoch.
    """

    update: int
    epoch: float
    characters: int
    seconds: float
    loss: float
    smooth_loss: float
    train_nats: float
    validation_nats: float | None = None
    learning_rate: float
    gradient_norm: float
    characters_per_second: float
    end: bool = False


class Records(ResponseBody):
    """Records of a run, at most as many as the request allows. `total` is the number of all records of the run.

    Lines of the journal that cannot be read are left out, and `damage` has sentences about these lines.
    """

    records: list[Record]
    total: int
    damage: list[str] = []


class StoredSample(ResponseBody):
    """A text that the network of a run wrote after the update `update`, to show its progress."""

    update: int
    text: str


class JournalPage(ResponseBody):
    """The base of responses with a page of a run's journal.

    Attributes:
        total: the number of readable lines in the journal.
        next: the value of the parameter `after` that requests the next page; None on the last page.
        damage: sentences about damaged or lost lines of the journal.
    """

    total: int
    next: int | None
    damage: list[str] = []


class Samples(JournalPage):
    """A page of the samples of a run. The first sample of a run was written before training."""

    samples: list[StoredSample]


class Events(JournalPage):
    """A page of the events of a run, such as its start or a pause (spec/formats.md: Steering)."""

    events: list[dict[str, Any]]


# Controlling and starting runs


class Command(RequestBody):
    """A command for the process that trains a run, as `charloom control` sends it."""

    command: Literal["run", "pause", "stop"] = "run"
    learning_rate_factor: Annotated[float, Field(gt=0, lt=1e6)] | None = None


class Sent(ResponseBody):
    """The command that was sent. The training process executes the command within a fraction of a second.

    `sequence` is the number of the command in control.json; 0 if the run is starting and has no such file yet.
    """

    sequence: int
    command: str
    learning_rate_factor: float | None


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
    """The settings of a new run that the page can change. If a setting is not given, the recipe sets it.

    Attributes:
        minutes: how long the run trains; sets the number of updates.
        find_learning_rate: true searches for the learning rate in short trials before the run begins.
    """

    cell: CellName | None = None
    hidden_size: Annotated[int, Field(ge=1, le=2048)] | None = None
    layers: Annotated[int, Field(ge=1, le=8)] | None = None
    ngram_order: Annotated[int, Field(ge=0, le=MOST_ORDER)] | None = None
    input_pairs: Annotated[int, Field(ge=0, le=MOST_PAIRS)] | None = None
    seq_length: Annotated[int, Field(ge=1, le=1024)] | None = None
    batch_size: Annotated[int, Field(ge=1, le=512)] | None = None
    dropout: Annotated[float, Field(ge=0, le=0.9)] | None = None
    optimizer: Literal["adagrad", "sgd", "rmsprop", "adam", "adamw"] | None = None
    learning_rate: Annotated[float, Field(gt=0, le=10)] | None = None
    find_learning_rate: bool | None = None
    weight_decay_on: Literal["all", "weights"] | None = None
    averaging: Annotated[float, Field(ge=0, le=1)] | None = None
    validation: Annotated[float, Field(ge=0, le=0.5)] | None = None
    judge_every: Annotated[int, Field(ge=0, le=2_000_000_000)] | None = None
    patience: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    tokens: Literal["characters", "bytes"] | None = None
    seed: Seed | None = None
    epochs: Annotated[int, Field(ge=1, le=100_000)] | None = None
    updates: Annotated[int, Field(ge=1, le=2_000_000_000)] | None = None
    minutes: Annotated[float, Field(gt=0, le=10_080)] | None = None


class NewRun(RequestBody):
    """A run to start: the key of a text, a recipe, and the settings that differ from the recipe."""

    text: Key
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


class EmptyRequest(RequestBody):
    """A request without fields: `{}`."""


class Dismissed(ResponseBody):
    """The answer to a request that removed from the list a run whose start failed; `run` is the run's key."""

    run: str


class Started(ResponseBody):
    """The answer to a request that started or resumed a run. `run` is the key of the run in the list."""

    run: str


# Models, and the page's view Playground


class TextRequest(RequestBody):
    """The base of requests in which a model reads a text."""

    model: ModelKey
    text: str
    unknown: Unknown = "refuse"


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
    """A model that was opened: its size, its vocabulary and its recipe.

    `whats` lists the quantities of the model's units that can be shown: h (the hidden state), cell, and the
    gates. `ngram_order` is the length of the model's n-grams; 0 if it has none. `input_pairs` is how many pairs
    of characters have a learned input. `parameters` is the number of trained numbers, without the n-grams.
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
    whats: list[str]


class SamplingOptions(RequestBody):
    """A prompt, and how characters are sampled after it. The defaults are those of `charloom sample`."""

    prompt: Annotated[str, StringConstraints(max_length=LONGEST_PROMPT)] = ""
    length: Annotated[int, Field(ge=1, le=LONGEST_WRITING)] = 200
    temperature: Annotated[float, Field(ge=0, le=100)] = 1.0
    top_k: Annotated[int, Field(ge=0, le=1_114_112)] = 0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
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
    probabilities: bool = Field(
        False,
        description="also send the surprise of each character and the most likely next characters",
    )


class WritingRequest(SamplingOptions):
    """The base of requests for texts that are streamed.

    Attributes:
        samples: the number of texts that each model writes. They are those of `charloom sample --samples`.
    """

    samples: Annotated[int, Field(ge=1, le=MOST_SAMPLES)] = 1


class Generate(WritingRequest):
    """A request for one or more texts that one model writes.

    The response is a stream of server-sent events:

    - `begin`: `{model, update, seed, prompt, unknowns, warning}`, and with `probabilities` also `read`, an
      Analysis of the prompt. `update` is the update at which the model was saved; `unknowns` is a sentence
      about the characters of the prompt that the model skips, or empty; `warning` is a sentence saying that the
      model writes badly from `start`, or empty;
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


class ModelResponse(ResponseBody):
    """The base of responses about a text that a model has read.

    `model` is the id of the model in the request. `update` is the update at which the model was saved. While a run
    trains, its latest model changes, so `update` can be larger in the next response.
    """

    model: str
    update: int


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


# The page's view Inside, which shows the units of a model

What = Literal["h", "cell", "i", "f", "g", "o", "r", "z", "n"]


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
        pattern: a plain string, not a regular expression. It defines a property that is 1 inside each occurrence of
            the string.
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
