"""All settings of a training run in one frozen dataclass, the only source of defaults.

The defaults are those of the recipe classic. The help text of each setting is defined here. The command
line, the page and the report show it.
"""

import contextlib
import dataclasses
import math
import operator
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, SupportsFloat, SupportsIndex

from charloom.cell_table import CELL_NAMES, CELLS
from charloom.errors import ConfigError
from charloom.formatting import shortened
from charloom.messages import argument
from charloom.name_suggestions import did_you_mean
from charloom.registered_cells import is_registered, require_cell

OPTIMIZERS: Final = ("adagrad", "sgd", "rmsprop", "adam", "adamw")
REDUCTIONS: Final = ("sum", "mean")
TOKENS: Final = ("characters", "bytes")
ITEMS: Final = ("stream", "lines", "paragraphs", "files", "separator", "csv", "jsonl")
UNKNOWNS: Final = ("refuse", "skip", "replace", "add")
ENGINES: Final = ("auto", "native", "reference", "torch")
DTYPES: Final = ("float32", "float64")
COMPUTE_DTYPES: Final = ("same", "bfloat16")
DEVICES: Final = ("auto", "cpu", "cuda", "mps")
NUMBERED_DEVICE: Final = re.compile(r"cuda:[0-9]{1,3}")  # one of several GPUs

# The allowed values of each setting that has a list of allowed values. A cell may also be a registered one.
CHOICES: Final = {
    "cell": CELL_NAMES,
    "init": ("normal", "uniform", "orthogonal", "course"),
    "optimizer": OPTIMIZERS,
    "order": ("sequential", "chunks", "random"),
    "schedule": ("constant", "step", "cosine"),
    "weight_decay_on": ("all", "weights"),
    "clip_by": ("value", "norm"),
    "reduction": REDUCTIONS,
    "tokens": TOKENS,
    "unknown": UNKNOWNS,
    "split": ("end", "streams"),
    "dtype": DTYPES,
    "compute_dtype": COMPUTE_DTYPES,
    "engine": ENGINES,
    "keep_saved": ("all", "newest"),
    "items": ITEMS,
}

# Settings that have an effect only if another setting has one of the listed values.
ONLY_WITH: Final = {
    "sigma": ("init", ("normal",)),
    "forget_bias": ("cell", tuple(name for name, cell in CELLS.items() if "f" in cell.gates)),
    "momentum": ("optimizer", ("sgd",)),
    "decay": ("optimizer", ("rmsprop",)),
    "beta1": ("optimizer", ("adam", "adamw")),
    "beta2": ("optimizer", ("adam", "adamw")),
    "epsilon": ("optimizer", ("adagrad", "rmsprop", "adam", "adamw")),
    "chunks": ("order", ("chunks",)),
    "step_after": ("schedule", ("step",)),
    "step_after_updates": ("schedule", ("step",)),
    "step_factor": ("schedule", ("step",)),
    "step_every": ("schedule", ("step",)),
    "step_every_updates": ("schedule", ("step",)),
    "cosine_end": ("schedule", ("cosine",)),
    "replacement": ("unknown", ("replace",)),
    "device": ("engine", ("torch",)),
}

# Settings that a collection of items needs for some values of `items`, and that have no meaning for the others.
ITEM_SETTINGS: Final = {"separator": ("separator",), "field": ("csv", "jsonl")}

ITEM_SETTING_HELP: Final = {
    "separator": "the text between two items",
    "field": "the name of the column or field that has the items",
}

# Settings that have no effect if another setting is 0.
NOT_WITH_ZERO: Final = {
    "clip_by": "clip",
    "weight_decay_on": "weight_decay",
    "keep_saved": "save_every",
}

# Settings that give a time of the schedule, each with the setting that gives the same time in another unit.
# If the second is not None, the first has no effect.
OTHER_UNIT: Final = {
    "warmup": "warmup_epochs",
    "step_after": "step_after_updates",
    "step_every": "step_every_updates",
}

# Settings that may differ when a run is resumed, because they depend on the machine.
MACHINE_SETTINGS: Final = ("engine", "device", "threads", "save_seconds")

# The help texts of arguments of a training run that are not settings, because settings follow from them. Marks stand
# for the names of other arguments (`charloom.messages`).
ARGUMENT_HELP: Final = {
    "minutes": f"train for about this many minutes, instead of {argument('epochs')} or {argument('updates')}",
    "find_learning_rate": "first try learning rates in short trials, and train with the best; takes a tenth of the "
    "minutes; without minutes, 1 to 30 seconds",
}

# The names of the built-in texts (text/builtin_texts.py).
BUILTIN_NAMES: Final = ("python-docs", "kjv", "kjv-nt")
STDIN: Final = "-"  # the path with which users name standard input

SEED_LIMIT: Final = 2**64
# The temperatures and the values of top-p of a table of texts: careful, usual, and as the model predicts.
GRID_TEMPERATURES: Final = (0.5, 0.8, 1.0)
GRID_TOP_PS: Final = (0.8, 0.95, 1.0)
DYNAMIC_RATE: Final = 4e-4  # the learning rate of a model that learns while it is evaluated
MOST_ORDER: Final = 16  # of n-grams; longer ones occur too rarely in a text to help
MOST_PAIRS: Final = (
    2**20
)  # with a learned input; rarer pairs occur too rarely in a text to learn one
# The limit of every setting that is a whole number, except the seed: the kernels count in 32 bits.
WHOLE_LIMIT: Final = 2**31


def setting(default: Any, help: str) -> Any:
    """Return a dataclass field for a setting, with its default and its help text."""
    return dataclasses.field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class Config:
    """The settings of one training run. The help text of a field says what the setting means.

    Raises:
        ConfigError: a value is out of its range; the message names the setting, the value and the
            range.
    """

    recipe: str = setting("classic", "the preset that the other settings start from")
    cell: str = setting("rnn", "the recurrent cell")
    hidden_size: int = setting(100, "hidden units H of each layer")
    layers: int = setting(1, "recurrent layers L, each reading the one below")
    ngram_order: int = setting(
        0,
        "count strings of up to this many characters (n-grams) in the text to help the network predict; "
        "0: none",
    )
    input_pairs: int = setting(
        0,
        "the network also reads a learned input for each of this many most frequent pairs of characters; "
        "0: none",
    )
    dropout: float = setting(0.0, "fraction of each layer's outputs set to 0 in training")
    init: str = setting("normal", "how the initial weights are drawn")
    sigma: float = setting(0.01, "standard deviation of the initial weights if init is normal")
    forget_bias: float = setting(1.0, "initial bias of an LSTM's forget gate")
    seq_length: int = setting(25, "sequence length T; one update per T characters of each stream")
    batch_size: int = setting(1, "streams B of text that are read in parallel")
    order: str = setting(
        "sequential",
        "read the text in sequence (the state is reset at each epoch), in chunks in random order (reset at each "
        "chunk), or at random positions (reset at each window)",
    )
    chunks: int = setting(
        10,
        "parts of each stream if order is chunks; each epoch reads them in a new order",
    )
    epochs: int = setting(10, "passes over the training text")
    updates: int | None = setting(
        None, "end training after this many updates, instead of after the epochs"
    )
    optimizer: str = setting("adagrad", "the update rule")
    learning_rate: float = setting(0.1, "the optimizer's step size")
    momentum: float = setting(0.9, "weight of the past steps in SGD")
    decay: float = setting(0.99, "weight of the past squares in RMSprop")
    beta1: float = setting(0.9, "weight of the past gradients in Adam")
    beta2: float = setting(0.999, "weight of the past squares in Adam")
    epsilon: float = setting(
        1e-8,
        "small constant that keeps the optimizer from dividing by 0; AdaGrad adds it under the root",
    )
    weight_decay: float = setting(
        0.0,
        "weight decay; AdamW shrinks the weights directly, the other optimizers add it to the gradient",
    )
    weight_decay_on: str = setting(
        "all", "parameters that weight decay shrinks: all, or only the weights and not the biases"
    )
    schedule: str = setting("constant", "how the learning rate changes")
    warmup: int = setting(0, "updates over which the learning rate rises to its full size")
    warmup_epochs: float | None = setting(
        None, "epochs over which the learning rate rises, instead of the updates of warmup"
    )
    step_after: int = setting(10, "epochs before the first decay if schedule is step")
    step_after_updates: int | None = setting(
        None, "updates before the first decay, instead of the epochs of step_after"
    )
    step_factor: float = setting(0.97, "factor of each decay if schedule is step")
    step_every: int = setting(1, "epochs between two decays if schedule is step")
    step_every_updates: int | None = setting(
        None, "updates between two decays, instead of the epochs of step_every"
    )
    cosine_end: float = setting(
        0.0, "fraction of the learning rate that is left at the end if schedule is cosine"
    )
    averaging: float = setting(
        0.0,
        "fraction of the updates so far over which the weights are averaged; the average is the model; "
        "0: no averaging",
    )
    clip: float = setting(5.0, "largest value or norm of the gradient; 0: no clipping")
    clip_by: str = setting(
        "value", "clip each entry of the gradient by value, or the whole gradient by its norm"
    )
    reduction: str = setting(
        "sum", "minimise the sum or the mean of the loss over a window's steps"
    )
    smoothing: float = setting(0.999, "weight of the past losses in the smooth loss")
    tokens: str = setting("characters", "what is predicted: Unicode characters, or bytes")
    unknown: str = setting(
        "refuse",
        "what to do with a character that the vocabulary of the model does not have; add: only when a model is trained "
        "further, give it weights for this character",
    )
    replacement: str = setting(
        "", "the character, known to the model, that replaces each unknown one if they are replaced"
    )
    items: str = setting(
        "stream",
        "what the text is: one stream of characters, or a collection of items: its lines, paragraphs or files, the "
        "parts between separators, or the values of a column of CSV or a field of JSON lines",
    )
    separator: str = setting(
        "",
        r"the text between two items if items is separator; in a terminal, \n is a newline and \t a tab",
    )
    field: str = setting("", "the column or field with the items if items is csv or jsonl")
    validation: float = setting(0.0, "fraction of the text held out to compute the validation loss")
    test: float = setting(0.0, "fraction of the text held out and never used in training")
    split: str = setting("end", "hold out the end of the text, or the end of each stream")
    judge_every: int = setting(
        0, "compute the validation loss every so many updates; 0: at the end of each epoch"
    )
    judged_characters: int = setting(
        200_000,
        "largest number of characters to compute a validation loss on; 0: the whole validation part",
    )
    patience: int = setting(
        0, "end training after this many validation losses in a row without a new best; 0: never"
    )
    seed: int = setting(0, "seed of all random numbers")
    dtype: str = setting("float32", "precision of the numbers")
    compute_dtype: str = setting(
        "same",
        "precision in which training computes: that of dtype, or bfloat16 with float32 weights (engine torch)",
    )
    engine: str = setting(
        "auto",
        "native (C++), reference (NumPy) or torch (PyTorch); auto: native if it can run, else reference",
    )
    device: str = setting(
        "auto",
        "where the engine torch computes: cpu, cuda, cuda:1 (the second GPU), mps; auto: a GPU if there is one",
    )
    threads: int = setting(
        1, "threads that share the streams; 0: one per processor, but at most one per stream"
    )
    report_every: int = setting(100, "updates between two records in metrics.jsonl")
    sample_first: int = setting(1_000, "update of the first sample during training")
    sample_every: int = setting(10_000, "updates between two samples")
    sample_until: int = setting(
        100_000, "update of the last regular sample; one more follows at the end"
    )
    sample_length: int = setting(200, "length of a sample in characters")
    passage_length: int = setting(
        2_000, "length in characters of the long passage, which is written at the end"
    )
    save_seconds: float = setting(60.0, "seconds between two checkpoints")
    save_every: int = setting(
        0, "also save a checkpoint after every so many updates; 0: only after the seconds"
    )
    keep_saved: str = setting(
        "all",
        "keep all checkpoints that are saved after every so many updates, or only the newest two and the best",
    )

    def __post_init__(self) -> None:
        for name, options in CHOICES.items():
            if name == "cell":
                require_cell(self.cell)
            else:
                require_one_of(name, getattr(self, name), options)
        positive = (
            "hidden_size layers seq_length batch_size chunks epochs step_every report_every "
            "sample_first sample_every sample_length passage_length"
        )
        for name in positive.split():
            self._whole(name, least=1)
        from_zero = "warmup step_after judge_every judged_characters patience threads sample_until save_every"
        for name in from_zero.split():
            self._whole(name, least=0)
        self._whole("ngram_order", least=0, below=MOST_ORDER + 1)
        self._whole("input_pairs", least=0, below=MOST_PAIRS + 1)
        self._whole("seed", least=0, below=SEED_LIMIT)
        for name, least in (("updates", 1), ("step_after_updates", 0), ("step_every_updates", 1)):
            if getattr(self, name) is not None:
                self._whole(name, least=least)
        if self.warmup_epochs is not None:
            self._number("warmup_epochs", least=0.0, below=WHOLE_LIMIT)
        for name in ("learning_rate", "epsilon", "step_factor", "save_seconds"):
            self._number(name, above=0.0)
        # With initial weights of a standard deviation above 1e6, the first losses overflow for any
        # text.
        self._number("sigma", above=0.0, below=1e6)
        self._number("forget_bias", least=-1e6, below=1e6)
        self._number("clip", least=0.0)
        self._number("weight_decay", least=0.0)
        for name in ("dropout", "smoothing", "momentum", "decay", "beta1", "beta2"):
            self._number(name, least=0.0, below=1.0)
        for name in ("cosine_end", "averaging"):
            self._number(name, least=0.0, most=1.0)
        for name in ("validation", "test"):
            self._number(name, least=0.0, below=1.0)
        if self.validation + self.test >= 1:
            raise ConfigError(
                f"{argument('validation')} is {self.validation:g} and {argument('test')} {self.test:g}; together they must "
                f"leave a part of the text to train on."
            )
        if self.patience and not self.validation:
            raise ConfigError(
                f"{argument('patience')} is {self.patience}, but there is no validation part; set "
                f"{argument('validation')} to a fraction of the text, such as 0.1."
            )
        if not isinstance(self.replacement, str) or len(self.replacement) > 1:
            raise replacement_error(self.replacement)
        if self.unknown == "replace" and not self.replacement:
            raise ConfigError(
                f"{argument('unknown')} is 'replace'; set {argument('replacement')} to one known character."
            )
        self._check_torch_settings()
        if self.input_pairs and is_registered(self.cell):
            raise ConfigError(
                f"{argument('input_pairs')} is {self.input_pairs}, but the registered cell {self.cell} has no gates to which "
                f"inputs of pairs could be added; use {argument('input_pairs', 0)}."
            )
        self._check_item_settings()
        if not isinstance(self.recipe, str):
            raise ConfigError(
                f"{argument('recipe')} is {shortened(self.recipe)}; it must be a name."
            )

    def _check_torch_settings(self) -> None:
        """Check the settings of the engine torch."""
        numbered = isinstance(self.device, str) and NUMBERED_DEVICE.fullmatch(self.device)
        if self.device not in DEVICES and not numbered:
            raise ConfigError(
                f"{argument('device')} is {shortened(self.device)}; it must be one of {', '.join(DEVICES)}, or "
                f"cuda: with the number of a GPU, such as cuda:1."
            )
        if self.compute_dtype == "bfloat16" and self.dtype != "float32":
            raise ConfigError(
                f"{argument('compute_dtype')} is bfloat16 and {argument('dtype')} is {self.dtype}; bfloat16 needs "
                f"weights in float32. Use {argument('dtype', 'float32')}, or {argument('compute_dtype', 'same')}."
            )

    def _check_item_settings(self) -> None:
        """Check the settings of a collection of items."""
        for name, kinds in ITEM_SETTINGS.items():
            value = getattr(self, name)
            if not isinstance(value, str):
                raise ConfigError(f"{argument(name)} is {shortened(value)}; it must be a string.")
            if value and self.items not in kinds:
                raise ConfigError(
                    f"{argument(name)} is {shortened(value)}, but {argument('items')} is {self.items}; "
                    f"{argument(name)} needs {' or '.join(argument('items', kind) for kind in kinds)}."
                )
            if not value and self.items in kinds:
                example = "such as '---'" if name == "separator" else "such as 'text'"
                raise ConfigError(
                    f"{argument('items')} is {self.items}; also give {argument(name)}, {ITEM_SETTING_HELP[name]}, {example}."
                )
        if self.items == "stream":
            return
        for name, only in (("order", "sequential"), ("split", "end")):
            if getattr(self, name) != only:
                raise ConfigError(
                    f"{argument(name)} is {getattr(self, name)}, but the text is a collection of items, which is read "
                    f"item by item in a new order in each epoch; leave out {argument(name)}."
                )

    def _whole(self, name: str, **bounds: int) -> None:
        """Check the setting `name` and store it as a plain int.

        `bounds` are the limits of the setting: `least` (allowed) and `below` (not allowed).
        """
        object.__setattr__(self, name, require_whole(name, getattr(self, name), **bounds))

    def _number(self, name: str, **bounds: float) -> None:
        """Check the setting `name` and store it as a plain float, so that 5 and 5.0 are equal in files.

        `bounds` are the limits of the setting: `least` and `most` (allowed), `above` and `below`
        (not allowed).
        """
        object.__setattr__(self, name, require_number(name, getattr(self, name), **bounds))

    @property
    def has_items(self) -> bool:
        """True if the text is a collection of items, False if it is one stream."""
        return self.items != "stream"

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as a dict by name, in the order of the fields."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Config":
        """Return a config with the settings in `values`. Settings that are missing get their defaults.

        Raises:
            ConfigError: a setting is unknown, or a value is out of its range.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            meant = [did_you_mean(name, sorted(known)) for name in unknown]
            known_ones = f"the settings are {', '.join(sorted(known))}."
            raise ConfigError(
                f"{', '.join(map(shortened, unknown))}: no such setting; {' '.join(meant) if all(meant) else known_ones}"
            )
        return cls(**values)

    def replace(self, **changes: Any) -> "Config":
        """Return a copy with the settings in `changes`. A setting given as None does not change.

        Without a validation part, patience has no meaning. So if `validation` becomes 0, `patience` does
        too, unless it is given. Another kind of items has no separator and no field, unless they are given. A time
        of the schedule replaces the same time in another unit.

        Raises:
            ConfigError: a setting is unknown, or a value is out of its range, or one time is given in two units.
        """
        given = {name: value for name, value in changes.items() if value is not None}
        given = {**_without_other_units(given), **given}
        if as_number(given.get("validation")) == 0:
            given = {"patience": 0, **given}
        if given.get("items", self.items) != self.items:
            given = {**dict.fromkeys(ITEM_SETTINGS, ""), **given}
        return Config.from_dict({**self.to_dict(), **given})


def _without_other_units(given: dict[str, Any]) -> dict[str, None]:
    """Return None for each setting that gives a time which `given` has in another unit.

    Raises:
        ConfigError: `given` has the same time in two units.
    """
    for name, other in OTHER_UNIT.items():
        if name in given and other in given:
            raise ConfigError(
                f"{argument(name)} and {argument(other)} give the same time in two units; give only one of them."
            )
    return {other: None for name, other in OTHER_UNIT.items() if name in given}


def without_effect(config: Config, given: Iterable[str]) -> list[str]:
    """Return a sentence for each setting in `given` that has no effect because of another setting.

    In the sentences, marks stand for the names of settings (`charloom.messages`).
    """
    sentences = []
    for name in given:
        other, values = ONLY_WITH.get(name, ("", ()))
        if other and getattr(config, other) not in values:
            sentences.append(
                f"{argument(name)} has no effect: {argument(other)} is {getattr(config, other)}, not "
                f"{' or '.join(values)}"
            )
        elif name in ("judge_every", "judged_characters") and not config.validation:
            sentences.append(
                f"{argument(name)} has no effect: there is no validation part; set "
                f"{argument('validation')} to a fraction of the text"
            )
        elif name in NOT_WITH_ZERO and not getattr(config, NOT_WITH_ZERO[name]):
            sentences.append(
                f"{argument(name)} has no effect: {argument(NOT_WITH_ZERO[name])} is 0"
            )
    return sentences


def help_of(name: str) -> str:
    """Return the help text of a setting, or of an argument in `ARGUMENT_HELP`, whose text may have marks."""
    if name in ARGUMENT_HELP:
        return ARGUMENT_HELP[name]
    return str(Config.__dataclass_fields__[name].metadata["help"])


def default_of(name: str) -> Any:
    """Return the default of a setting, which is its value in the recipe classic."""
    return Config.__dataclass_fields__[name].default


def require_one_of(name: str, value: object, options: tuple[str, ...]) -> None:
    """Raise ConfigError if `value`, the value of the argument `name`, is not one of `options`."""
    if value not in options:
        raise ConfigError(
            f"{argument(name)} is {shortened(value)}; it must be one of {', '.join(options)}."
        )


def require_whole(name: str, value: object, least: int, below: int = WHOLE_LIMIT) -> int:
    """Return `value` as a plain int. It may be a whole number of any type, such as numpy.int64.

    Raises:
        ConfigError: `value` is not a whole number, is less than `least`, or is not less than
            `below`.
    """
    whole = as_whole(value)
    if whole is None or not least <= whole < below:
        raise ConfigError(
            f"{argument(name)} is {shortened(value)}; it must be a whole number from {least} to {below - 1:,}."
        )
    return whole


def require_number(
    name: str,
    value: object,
    least: float | None = None,
    above: float | None = None,
    below: float | None = None,
    most: float | None = None,
) -> float:
    """Return `value` as a plain float. It may be a number of any type, such as numpy.float32.

    Args:
        name: the argument's name for the message.
        value: the value that the user gave.
        least: the value must not be less than this.
        above: the value must be greater than this.
        below: the value must be less than this.
        most: the value must not be greater than this.

    Raises:
        ConfigError: `value` is not a number, is not finite, or is outside these bounds.
    """
    bounds = (
        ("at least", operator.ge, least),
        ("above", operator.gt, above),
        ("below", operator.lt, below),
        ("at most", operator.le, most),
    )
    given = [(words, holds, bound) for words, holds, bound in bounds if bound is not None]
    x = as_number(value)
    if not (math.isfinite(x) and all(holds(x, bound) for _, holds, bound in given)):
        wanted = [f"{words} {bound:g}" for words, _, bound in given]
        raise ConfigError(
            f"{argument(name)} is {shortened(value)}; it must be a finite number{' ' if wanted else ''}"
            f"{' and '.join(wanted)}."
        )
    return x


def require_string(name: str, value: object) -> str:
    """Return `value` if it is a str; otherwise raise ConfigError. `name` is the argument's name."""
    if not isinstance(value, str):
        raise ConfigError(
            f"{argument(name)} is {shortened(value)}; it must be a str, the text itself."
        )
    return value


def replacement_error(value: object) -> ConfigError:
    """Return the error for a `value` that should replace unknown characters, but is not one character."""
    return ConfigError(
        f"{argument('replacement')} is {shortened(value)}; it must be one character."
    )


def require_path(name: str, value: object) -> Path:
    """Return `value`, a str or a pathlib.Path, as a pathlib.Path.

    Raises:
        ConfigError: `value` has another type, or is an empty string.
    """
    if not isinstance(value, str | Path):
        raise ConfigError(
            f"{argument(name)} is {shortened(value)}; it must be a path, a str or a pathlib.Path."
        )
    refuse_empty_path(value, argument(name))
    return Path(value)


def refuse_empty_path(
    path: str | Path, subject: str = "the path", error: Callable[[str], Exception] = ConfigError
) -> None:
    """Raise an error if a path is an empty string, which pathlib would take for the current directory.

    Args:
        path: the path, as the user gave it.
        subject: what the message calls the path.
        error: the class of the error to raise.
    """
    if not str(path):
        raise error(f"{subject} is empty; give a path (. is the current directory).")


def as_whole(value: object) -> int | None:
    """Return `value` as an int if it is a whole number of any type, but not a bool; otherwise None."""
    if type(value) is int:
        return value
    if is_bool(value) or not isinstance(value, SupportsIndex):
        return None
    # `value` may be an array of several numbers, for which operator.index raises TypeError.
    with contextlib.suppress(TypeError):
        return operator.index(value)
    return None


def as_number(value: object) -> float:
    """Return `value` as a float if it is a number of any type, but not a bool; otherwise NaN."""
    if type(value) is float:
        return value
    takes = isinstance(value, SupportsFloat | SupportsIndex) and not getattr(value, "ndim", 0)
    if not takes or is_bool(value) or "complex" in dtype_of(value):
        return math.nan
    # OverflowError: `value` may be a whole number above the largest float.
    with contextlib.suppress(OverflowError, TypeError, ValueError):
        return float(value)  # type: ignore[arg-type]
    return math.nan


def is_bool(value: object) -> bool:
    """Return True if `value` is a bool of Python or NumPy, or a NumPy array of bools."""
    return isinstance(value, bool) or "bool" in dtype_of(value)


def dtype_of(value: object) -> str:
    """Return the name of the dtype of an array or a NumPy number; "" for a value without a dtype."""
    return str(getattr(value, "dtype", ""))
