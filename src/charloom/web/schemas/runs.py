"""Responses with runs and their journals, and the commands to runs: the views Runs and Learning."""

from typing import Annotated, Any, Final, Literal

from pydantic import Field, StringConstraints

from charloom.text.sources import LONGEST_NAME
from charloom.web.schemas.common import ListPage, RequestBody, ResponseBody, State
from charloom.web.schemas.starting import NewRun

MOST_COMPARED: Final = 16  # runs in the table of a comparison
MOST_RECORDS: Final = 20_000


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
        bits: the last validation loss in bits per character; without a validation loss, `train_bits`.
        train_bits: the training loss in bits per character: the mean of the last complete epoch. Before the end of the
            first epoch, the mean of the last record, or of the last two records if the last one covers fewer updates
            than the one before.
        train_bits_of: what `train_bits` is, such as "mean of epoch 4" or "mean of the last updates".
        validation_bits: the last validation loss in bits per character.
        best_bits: the validation loss of the best checkpoint in bits per character; `train_bits` if the run has no
            validation part.
        overfitting: a sentence saying that a finished run overfitted, with a suggestion; None if the run did
            not overfit.
        start_warning: a sentence saying that the model of a finished run writes badly from a state in which it can
            begin; None if it does not, or if this was not measured.
        schedule_warning: a sentence saying that the run ends before its warm-up or before the first step of its learning
            rate; None if it does not.
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
        bytes: the size of all files of the run; None while it has no directory, or if a part cannot be read.
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
    train_bits_of: str | None = None
    validation_bits: float | None = None
    best_bits: float | None = None
    overfitting: str | None = None
    start_warning: str | None = None
    schedule_warning: str | None = None
    divergence: str | None = None
    smooth_loss: float | None = None
    learning_rate: float | None = None
    learning_rate_factor: float = 1.0
    characters_per_second: float | None = None
    seconds: float | None = None
    seconds_left: float | None = None
    changed: float = 0.0
    bytes: int | None = None
    checkpoints: list[int] = []
    judged_characters: int | None = None
    held_out: int | None = None
    best: int | None = None
    latest: int | None = None
    model: Literal["latest", "best"] = "latest"


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
    request: NewRun | None = None


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


class Removal(ResponseBody):
    """What the removal of a run removes, or has removed.

    Attributes:
        files, bytes: the number and the size of all files.
        others: the names in the run directory that charloom did not write. They are removed too.
    """

    run: str
    files: int
    bytes: int
    others: list[str]


class RemovalRequest(RequestBody):
    """A request to remove a run.

    Attributes:
        files, bytes: the number and the size of all files, as the user was shown them. If the run has other numbers
            now, it is not removed. None removes it in any case.
    """

    files: Annotated[int, Field(ge=0, lt=2**53)] | None = None
    bytes: Annotated[int, Field(ge=0, lt=2**53)] | None = None


class NewName(RequestBody):
    """A request to rename a run; `name` is the new name of its directory."""

    name: Annotated[str, StringConstraints(max_length=LONGEST_NAME)]


class Renamed(ResponseBody):
    """The answer to a request that renamed a run; `run` is its new key."""

    run: str


class ComparisonRow(ResponseBody):
    """The row of a run in the table of a comparison: its key, and its entry in each column."""

    run: str
    cells: list[str]


class Comparison(ResponseBody):
    """A table of runs: the settings that differ, bits per character and seconds, as the command `compare` shows them.

    Attributes:
        heads: the headings of the columns; the first column has short names of the runs.
        rows: a row for each run.
        settings: how many columns after the first have settings. The others have figures.
        best: the keys of the runs that are the best of at least two with the same validation text.
        notes: sentences about runs that are unfinished, damaged or not comparable.
    """

    heads: list[str]
    rows: list[ComparisonRow]
    settings: int
    best: list[str]
    notes: list[str]
