"""Every request and every answer of the server, with the bounds of every field.

FastAPI checks requests by these and makes /openapi.json of them. It knows nothing of how an answer
is found. Losses are nats; bits are per character; times are seconds, points in time Unix time.
"""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from charloom.config import SEED_LIMIT

# Bytes of a request's body, most; and how long all of it may take to come.
SMALL_BODY: Final = 64 * 1024
TEXT_BODY: Final = 512 * 1024  # of requests that bring a text to be read
UPLOAD_BODY: Final = 64 * 1024 * 1024  # of a text to learn from

# Characters.
LONGEST_PROMPT: Final = 10_000
LONGEST_WRITING: Final = 100_000
LONGEST_READ: Final = 50_000  # a text that is scored, or read to look inside
LONGEST_MAP: Final = 4_000  # a text whose units are all shown: (characters, units) numbers
MOST_RECORDS: Final = 20_000
SHORT: Final = 200

KEY: Final = r"^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,79}$"
MODEL: Final = r"^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,79}(@(latest|best|0|[1-9][0-9]{0,18}))?$"

Key = Annotated[str, StringConstraints(pattern=KEY, max_length=80)]
ModelKey = Annotated[
    str,
    Field(
        description="an `id` of GET /api/models: a key, or key@latest, key@best, key@<update>; a key alone is the "
        "best of a run with a validation part, and the latest of one without",
        examples=["book-1@best"],
    ),
    StringConstraints(pattern=MODEL, max_length=100),
]
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
    list[str | float], Field(min_length=2, max_length=2, description="a character, its probability")
]


class Asked(BaseModel):
    """A request's body: nothing that is not named here, no text where a number is wanted."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Told(BaseModel):
    """An answer."""

    model_config = ConfigDict(protected_namespaces=())


# Mistakes


class Mistake(Told):
    """What was wrong and how to mend it.

    Attributes:
        message: a sentence for people.
        type: the kind of mistake: `invalid_request_error`, `not_found_error`, `busy_error` ….
        param: the field that was wrong, if one was.
        code: for programs, such as `unknown_characters`.
        characters: of `unknown_characters`, those that the model has never read.
    """

    message: str
    type: str
    param: str | None = None
    code: str | None = None
    characters: list[str] | None = None


class Refusal(Told):
    """The body of every answer from 400 up."""

    error: Mistake


# What there is


class Health(Told):
    """That the server answers, and how busy it is."""

    ok: bool
    version: str
    writing: int
    waiting: int


class RecipeAbout(Told):
    """A recipe, and all its settings."""

    name: str
    purpose: str
    cost: str
    minutes: float | None
    nats: float | None
    settings: dict[str, Any]


class SettingAbout(Told):
    """A setting that the page may change.

    Attributes:
        kind: `choice`, `whole` or `number`.
        least, most: bounds, both included.
    """

    name: str
    help: str
    kind: Literal["choice", "whole", "number"]
    choices: list[str] | None = None
    least: float | None = None
    most: float | None = None


class About(Told):
    """What a page needs to know before it shows anything."""

    version: str
    engine: str
    folder: str
    default_recipe: str
    recipes: list[RecipeAbout]
    settings: list[SettingAbout]
    limits: dict[str, int]


class Run(Told):
    """A run as a list shows it.

    Attributes:
        key: what other requests call it.
        state: `starting` until its directory is there; `interrupted` also where its process is gone.
        reason: why it is in that state, or a problem that training survives.
        here: whether the page can steer it: a process trains it.
        resumable: whether POST /api/runs/{run}/resume would go on with it.
        text: the name of what it reads; characters: how many.
        update, updates: how far, and of how many; None while that is not known.
        epoch: passes over the training text, with a fraction.
        bits: per character, of the validation part where it was judged, else of what it trains on.
        train_bits, validation_bits: the last of each; best_bits: of the best checkpoint.
        judged_characters: how many of the `held_out` characters of the validation part each judgement
            predicts; None where nothing is held out.
        learning_rate: of the last record; learning_rate_factor: that steering has set.
        seconds: trained so far; seconds_left: at the present speed, while it trains.
        characters_per_second: of the last record; None as long as this training has none of more than
            its first update.
        dismissible: whether it is a start that came to nothing, which POST
            /api/runs/{run}/dismiss takes off the list.
        changed: when something last happened, Unix time.
        checkpoints: the updates of those that are kept; latest and best are two of them.
        model: which of the two the run's key alone means: best with a validation part, else latest.
    """

    key: str
    name: str
    state: State
    reason: str | None = None
    here: bool = False
    resumable: bool = False
    dismissible: bool = False
    recipe: str | None = None
    cell: str | None = None
    hidden_size: int | None = None
    layers: int | None = None
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


class Runs(Told):
    """A page of the runs, those that changed last first.

    Attributes:
        total: how many runs there are.
        next: `after` of the next page; None where this is the last one.
        unread: how many of them the server has not read yet; they come into the list as it does.
    """

    runs: list[Run]
    total: int
    next: str | None
    unread: int


class RunDetail(Told):
    """A run with its settings; `damage` has a sentence about each part that cannot be read."""

    run: Run
    settings: dict[str, Any] = {}
    version: str | None = None
    engine: str | None = None
    gradcheck: dict[str, Any] | None = None
    passage: str | None = None
    damage: list[str] = []


class Record(Told):
    """A line of metrics.jsonl (spec/formats.md: Records). `end` says that an epoch ended there."""

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


class Records(Told):
    """Records of a run, `total` before they were thinned to `most`; lines that cannot be read are left
    out, and `damage` says so."""

    records: list[Record]
    total: int
    damage: list[str] = []


class SampleTaken(Told):
    """What the network wrote at an update."""

    update: int
    text: str


class Samples(Told):
    """A page of the samples of a run, `total` in all, the first one from before training; `next` is
    `after` of the next page, None where this is the last one."""

    samples: list[SampleTaken]
    total: int
    next: int | None
    damage: list[str] = []


class Events(Told):
    """A page of what happened to a run (spec/formats.md: Steering); `total` and `next` as of Samples."""

    events: list[dict[str, Any]]
    total: int
    next: int | None
    damage: list[str] = []


# Steering and starting


class Command(Asked):
    """A command to the process that trains a run; see `charloom control`."""

    command: Literal["run", "pause", "stop"] = "run"
    learning_rate_factor: Annotated[float, Field(gt=0, lt=1e6)] | None = None


class Sent(Told):
    """The command as it was sent; it is obeyed within a fraction of a second."""

    sequence: int
    command: str
    learning_rate_factor: float | None


class NewText(Asked):
    """A text to learn from, as it is."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=SHORT)]
    text: Annotated[str, StringConstraints(min_length=2, max_length=UPLOAD_BODY)]


class TextAbout(Told):
    """A text that a run can read.

    Attributes:
        key: what POST /api/runs calls it.
        kind: `builtin`, `uploaded`, or `run` where a run of the list reads it.
        bytes: how large its file is, where it has one.
    """

    key: str
    name: str
    kind: Literal["builtin", "uploaded", "run"]
    bytes: int | None = None
    description: str | None = None


class Texts(Told):
    """A page of the texts; `total`, `next` and `unread` as of Runs: a text that only runs read is
    known when one of these has been read."""

    texts: list[TextAbout]
    total: int
    next: str | None
    unread: int


class Settings(Asked):
    """The few settings that matter; what is not given is as the recipe has it."""

    cell: Literal["rnn", "lstm", "gru"] | None = None
    hidden_size: Annotated[int, Field(ge=1, le=2048)] | None = None
    layers: Annotated[int, Field(ge=1, le=8)] | None = None
    seq_length: Annotated[int, Field(ge=1, le=1024)] | None = None
    batch_size: Annotated[int, Field(ge=1, le=512)] | None = None
    dropout: Annotated[float, Field(ge=0, le=0.9)] | None = None
    optimizer: Literal["adagrad", "sgd", "rmsprop", "adam", "adamw"] | None = None
    learning_rate: Annotated[float, Field(gt=0, le=10)] | None = None
    validation: Annotated[float, Field(ge=0, le=0.5)] | None = None
    tokens: Literal["characters", "bytes"] | None = None
    seed: Seed | None = None
    epochs: Annotated[int, Field(ge=1, le=100_000)] | None = None
    updates: Annotated[int, Field(ge=1, le=2_000_000_000)] | None = None
    minutes: Annotated[float, Field(gt=0, le=10_080)] | None = None


class NewRun(Asked):
    """What to train: a text's key, a recipe, and what to change in it."""

    text: Key
    recipe: Annotated[str, StringConstraints(max_length=40)] | None = None
    name: Annotated[str, StringConstraints(pattern=KEY, max_length=60)] | None = None
    settings: Settings = Settings()


class GoOn(Asked):
    """How far to train a run further; none of them lets it come to the end that it has."""

    epochs: Annotated[int, Field(ge=1, le=100_000)] | None = None
    updates: Annotated[int, Field(ge=1, le=2_000_000_000)] | None = None
    minutes: Annotated[float, Field(gt=0, le=10_080)] | None = None


class Nothing(Asked):
    """A request that has nothing to say: `{}`."""


class Dismissed(Told):
    """A start that came to nothing and is off the list."""

    run: str


class Started(Told):
    """A training that was started; its run appears in the list under this key."""

    run: str


# Models and the playground


class ModelAbout(Told):
    """A model that can write.

    Attributes:
        id: what other requests call it.
        run: the key of its run, None where it is a model file.
        which: `latest`, `best`, an update, or `file`.
    """

    id: str
    run: str | None
    which: str
    update: int | None = None
    name: str
    state: State | None = None
    created: int = 0


class Models(Told):
    """A page of the models; `total` and `next` as of Runs. `unread`: how many runs the server has not
    read yet, whose models are not among them."""

    models: list[ModelAbout]
    total: int
    next: str | None
    unread: int


class ModelDetail(Told):
    """A model that was opened. `whats`: what of a unit can be shown."""

    id: str
    update: int
    cell: str
    hidden_size: int
    layers: int
    tokens: str
    vocabulary: str
    parameters: int
    recipe: str
    whats: list[str]


class Drawing(Asked):
    """How characters are drawn; the defaults are those of `charloom sample`."""

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
    probabilities: bool = Field(
        False, description="with each character the likeliest next ones and its surprise"
    )


class Generate(Drawing):
    """What a model shall write.

    The answer is a stream of server-sent events:

    - `begin`: `{model, update, seed, prompt, unknowns}`, and where probabilities are asked for
      `read`, an Analysis of what was read;
    - `text`, repeated: `{text}`, and where probabilities are asked for `analysis`, an Analysis of it;
    - `end`: `{ended: "length" | "stop", characters, seconds}`;
    - `mistake` instead of `end`: an `error` as in every refusal.

    Closing the connection ends the writing.
    """

    model: ModelKey


class Compare(Drawing):
    """What two to four models shall write side by side, from the same seed.

    The events are those of Generate; each has a `side`, the model's place in the list, from 0.
    """

    models: Annotated[list[ModelKey], Field(min_length=2, max_length=4)]


class Analysis(Told):
    """What a model thought of each character of a text: lists of one length.

    Attributes:
        characters: the text, a string for each; of a model of bytes, bytes that are no UTF-8 show
            as U+FFFD.
        nats: what each cost, -ln of its probability given all before; None where nothing
            predicts it.
        likely: the five likeliest ones that could come after it, each with its probability.
    """

    characters: list[str]
    nats: list[float | None]
    likely: list[list[Probable]]


class Score(Asked):
    """A text whose surprise is wanted."""

    model: ModelKey
    text: Annotated[str, StringConstraints(min_length=2, max_length=LONGEST_READ)]
    unknown: Unknown = "refuse"
    likely: bool = False


class Surprises(Told):
    """The surprise of each character; `likely` as in Analysis, where it was asked for."""

    model: str
    update: int
    characters: list[str]
    nats: list[float | None]
    bits: list[float | None]
    mean_bits: float
    likely: list[list[Probable]] | None = None
    unknowns: str = ""


class Next(Asked):
    """A text whose next character is wanted."""

    model: ModelKey
    text: Annotated[str, StringConstraints(max_length=LONGEST_PROMPT)] = ""
    count: Annotated[int, Field(ge=1, le=256)] = 5
    unknown: Unknown = "refuse"


class NextLikely(Told):
    """The likeliest next characters, the likeliest first."""

    model: str
    update: int
    likely: list[Probable]


# Inside

What = Literal["h", "cell", "i", "f", "g", "o", "r", "z", "n"]


class UnitAsked(Asked):
    """A unit whose value over a text is wanted."""

    model: ModelKey
    text: Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_READ)]
    layer: Annotated[int, Field(ge=0, le=63)] = 0
    unit: Annotated[int, Field(ge=0, le=65_535)] = 0
    what: What = "h"
    unknown: Unknown = "refuse"


class UnitValues(Told):
    """A unit's value after each character; `low` and `high` bound what it can be (a gate: 0, 1).
    `update` is that of the model, which may have learnt on since another answer."""

    model: str
    update: int
    characters: list[str]
    values: list[float]
    low: float
    high: float


class MapAsked(Asked):
    """A layer whose units are all wanted."""

    model: ModelKey
    text: Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_MAP)]
    layer: Annotated[int, Field(ge=0, le=63)] = 0
    what: What = "h"
    unknown: Unknown = "refuse"


class UnitMap(Told):
    """All units of a layer over a text.

    `values` is base64 of unsigned bytes, unit by unit: byte `unit * len(characters) + n` is the
    unit's value after character n, `low + byte / 255 * (high - low)`. `update` as in UnitValues.
    """

    model: str
    update: int
    characters: list[str]
    units: int
    low: float
    high: float
    values: str


class RankingAsked(Asked):
    """A text in which units are looked for.

    Attributes:
        pattern: a string of which every occurrence is marked, as it is (no regular expression).
        marks: what the user marked, from a character to before another, of those that are read.
        top: units per property.
    """

    model: ModelKey
    text: Annotated[str, StringConstraints(min_length=2, max_length=LONGEST_READ)]
    pattern: Annotated[str, StringConstraints(min_length=1, max_length=SHORT)] | None = None
    marks: Annotated[
        list[Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=2, max_length=2)],],
        Field(max_length=1_000),
    ] = []
    top: Annotated[int, Field(ge=1, le=50)] = 5
    unknown: Unknown = "refuse"


class UnitFound(Told):
    """A value of a unit and how it goes with a property: `r`, Pearson's correlation, -1 … 1."""

    layer: int
    unit: int
    what: str
    r: float


class PropertyRanked(Told):
    """A property of a text and the units that follow it most, the best first.

    Attributes:
        mean: of the property over the text; of a yes or no, the share of the characters.
        by_chance: what is not above it means nothing: the largest |r| with the property moved along
            the text.
        why_none: where there are no units, the reason.
    """

    property: str
    description: str
    mean: float
    by_chance: float | None
    units: list[UnitFound]
    why_none: str = ""


class Ranking(Told):
    """The units that follow each property; `update` as in UnitValues."""

    model: str
    update: int
    characters: int
    properties: list[PropertyRanked]
