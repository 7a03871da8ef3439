"""All settings of a run in one frozen dataclass: the only source of defaults.

The defaults are the classic experiment. Every setting carries its help text, so that the command
line, the checkpoint's metadata and the documentation all derive from here.
"""

import contextlib
import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Final

from charloom.errors import ConfigError

CELLS: Final = ("rnn",)
ENGINES: Final = ("auto", "native", "reference")
DTYPES: Final = ("float32", "float64")

SEED_LIMIT: Final = 2**64
WHOLE_LIMIT: Final = 2**31  # of every other whole number: what the kernels count with


def setting(default: Any, help: str) -> Any:
    """A dataclass field that carries its help text."""
    return dataclasses.field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class Config:
    """The settings of one run; see each field's help.

    Raises:
        ConfigError: a value out of its range; the text names it, the value and the range.
    """

    recipe: str = setting("classic", "the named preset that these settings started from")
    cell: str = setting("rnn", "the recurrent cell")
    hidden_size: int = setting(100, "hidden units H")
    seq_length: int = setting(25, "steps T of a window: one update per window")
    epochs: int = setting(10, "passes over the text")
    updates: int | None = setting(None, "stop after this many updates instead of after the epochs")
    learning_rate: float = setting(0.1, "AdaGrad's step size")
    epsilon: float = setting(1e-8, "AdaGrad's constant under the root")
    clip: float = setting(5.0, "clip each gradient entry to [-clip, clip]")
    sigma: float = setting(0.01, "standard deviation of the initial weights")
    smoothing: float = setting(0.999, "weight of the past in the smooth loss")
    seed: int = setting(0, "decides every random number")
    dtype: str = setting("float32", "float32 or float64")
    engine: str = setting("auto", "auto, native or reference")
    threads: int = setting(1, "threads; one stream of text can use only 1")
    report_every: int = setting(100, "updates between two records in metrics.jsonl")
    sample_first: int = setting(1_000, "the first sample after the one before training")
    sample_every: int = setting(10_000, "updates between two samples")
    sample_until: int = setting(100_000, "the last regular sample; one more follows at the end")
    sample_length: int = setting(200, "characters of a sample")
    passage_length: int = setting(2_000, "characters of the long passage")
    save_seconds: float = setting(60.0, "seconds between two checkpoints")

    def __post_init__(self) -> None:
        for name, options in (("cell", CELLS), ("engine", ENGINES), ("dtype", DTYPES)):
            require_one_of(name, getattr(self, name), options)
        positive = (
            "hidden_size seq_length epochs threads report_every "
            "sample_first sample_every sample_length passage_length"
        )
        for name in positive.split():
            require_whole(name, getattr(self, name), least=1)
        if self.threads > 1:
            raise ConfigError(
                f"threads is {self.threads}; a network that reads one stream of text step by step "
                f"can use only 1."
            )
        require_whole("sample_until", self.sample_until, least=0)
        require_whole("seed", self.seed, least=0, below=SEED_LIMIT)
        if self.updates is not None:
            require_whole("updates", self.updates, least=1)
        for name in ("learning_rate", "epsilon", "clip", "save_seconds"):
            require_number(name, getattr(self, name), above=0.0)
        # Beyond this the first losses overflow whatever the text.
        require_number("sigma", self.sigma, above=0.0, below=1e6)
        require_number("smoothing", self.smoothing, least=0.0, below=1.0)
        if not isinstance(self.recipe, str):
            raise ConfigError(f"recipe is {self.recipe!r}; it must be a name.")

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain data, in the order of the fields."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Config":
        """The inverse of `to_dict`; missing fields take their defaults, unknown ones are errors."""
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ConfigError(
                f"{', '.join(unknown)}: no such setting; the settings are {', '.join(sorted(known))}."
            )
        return cls(**values)

    def replace(self, **changes: Any) -> "Config":
        """A copy with some settings changed; those given as None stay as they are."""
        given = {name: value for name, value in changes.items() if value is not None}
        return Config.from_dict({**self.to_dict(), **given})


def help_of(name: str) -> str:
    """The help text of a setting."""
    return str(Config.__dataclass_fields__[name].metadata["help"])


def default_of(name: str) -> Any:
    """The default of a setting, which is the classic experiment's value."""
    return Config.__dataclass_fields__[name].default


def require_one_of(name: str, value: object, options: tuple[str, ...]) -> None:
    """Refuse a value that is not one of the options."""
    if value not in options:
        raise ConfigError(f"{name} is {value!r}; it must be one of {', '.join(options)}.")


def require_whole(name: str, value: object, least: int, below: int = WHOLE_LIMIT) -> None:
    """Refuse a value that is not a whole number of at least `least` (and less than `below`)."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or not least <= value < below:  # type: ignore[operator]
        limit = "" if below == WHOLE_LIMIT and value != below else f" and less than {below}"
        raise ConfigError(
            f"{name} is {value!r}; it must be a whole number, at least {least}{limit}."
        )


def require_number(
    name: str,
    value: object,
    least: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> None:
    """Refuse a value that is not a finite number within the given bounds."""
    wanted = [
        f"{word} {bound:g}"
        for word, bound in (("at least", least), ("above", above), ("below", below))
        if bound is not None
    ]
    x = math.nan
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        with contextlib.suppress(OverflowError):  # a whole number may be larger than any float
            x = float(value)
    fits = (
        math.isfinite(x)
        and (least is None or x >= least)
        and (above is None or x > above)
        and (below is None or x < below)
    )
    if not fits:
        raise ConfigError(f"{name} is {value!r}; it must be a number {' and '.join(wanted)}.")
