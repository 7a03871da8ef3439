"""Responses with studies: their progress, tables and curves, for the views Studies and Study."""

from typing import Final, Literal

from charloom.web.schemas.common import ListPage, ResponseBody

MOST_STUDY_ROWS: Final = 1_000  # rows of the table of a study

StudyState = Literal["planned", "training", "interrupted", "finished", "damaged", "newer"]


class StudyAbout(ResponseBody):
    """The entry of a study in the list of studies.

    Attributes:
        key: the id of the study in other requests.
        name: the name of its directory.
        path: its directory, relative to the folder that contains the served folder.
        state: `planned` if no run has a result and no process trains one; `interrupted` if runs have no result and no
            process trains them.
        reason: why a study is `damaged` or `newer`.
        damage: a sentence about lines of the journals that are left out; None if there are none.
        reading: whether the server has not read all results yet. The numbers then grow with the next requests.
        search: whether the study is a search for good settings.
        runs: the number of runs; of a search, of its trials and of the runs that repeat the best ones.
        finished: how many runs have finished.
        failed: how many runs failed.
        pruned: how many trials of a search were ended early.
        running: about how many runs are being trained: the number of worker processes.
        seconds_left: about how long the rest takes; None if no process trains the study, or if few runs are done.
        best_bits: the lowest loss of all runs in bits per character or byte; None if no run has finished.
        unit: what the bits are counted for: `character` or `byte`.
        changed: when a result was last added, in Unix time.
    """

    key: str
    name: str
    path: str
    state: StudyState
    reason: str | None = None
    damage: str | None = None
    reading: bool = False
    search: bool = False
    runs: int = 0
    finished: int = 0
    failed: int = 0
    pruned: int = 0
    running: int = 0
    seconds_left: float | None = None
    best_bits: float | None = None
    unit: str = "character"
    changed: float = 0.0


class Studies(ListPage):
    """A page of the list of studies, most recently changed first."""

    studies: list[StudyAbout]


class StudyGroup(ResponseBody):
    """The runs of a study that differ only in their seeds: a row of its table.

    Attributes:
        settings: the values of the columns `heads` as text.
        runs: the number of planned runs.
        finished: how many have finished.
        failed: how many failed.
        pruned: how many trials of a search were ended early.
        mean: the mean of the bits over the finished runs; None if none has finished.
        deviation: the standard deviation of the bits; None for fewer than two finished runs.
        interval: the 95 % interval of the mean (Student's t); None for fewer than two finished runs.
        seconds: the mean duration of the finished runs.
    """

    settings: list[str]
    runs: int
    finished: int
    failed: int
    pruned: int
    mean: float | None
    deviation: float | None
    interval: tuple[float, float] | None
    seconds: float | None


class StudyFailure(ResponseBody):
    """A run of a study that failed: its number in the plan, its seed and settings as text, and the reason."""

    run: int
    settings: list[str]
    seed: str
    reason: str


class StudyCurve(ResponseBody):
    """The loss of the runs of a group by update: the mean over the seeds, and the lowest and the highest run.

    Attributes:
        name: the settings of the group.
        updates: the updates that all finished runs of the group have, at most 500 of them.
        mean, low, high: bits at these updates.
    """

    name: str
    updates: list[float]
    mean: list[float]
    low: list[float]
    high: list[float]


class StudyDetail(ResponseBody):
    """A study with its table and its curves.

    Attributes:
        heads: the headings of the columns with settings, and `text` if there are several texts.
        validated: whether the losses are those of the validation part; otherwise, of the training text.
        caution: a sentence that says why the losses cannot be compared; "" if they can.
        groups: the first rows of the table, as many as the request allows, in the order of `charloom study table`.
        total: the number of all rows.
        failures: the first 100 runs that failed.
        curves: the curves of the best groups.
    """

    study: StudyAbout
    heads: list[str] = []
    validated: bool = False
    caution: str = ""
    groups: list[StudyGroup] = []
    total: int = 0
    failures: list[StudyFailure] = []
    curves: list[StudyCurve] = []
