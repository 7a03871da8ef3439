"""Writes a model for another program: as a file for a framework or a browser, or as a directory for a hub of models."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final, cast

from charloom import hub_format, onnx_format, pytorch_format, pytorch_optimizer
from charloom.api.evaluation_text import TrainedModel
from charloom.api.text_arguments import as_file, as_path
from charloom.api.weight_rounding import RoundedWeights, choose_weights
from charloom.config import require_one_of
from charloom.engines import open_engine
from charloom.errors import ConfigError, DivergedError
from charloom.export_html import WEIGHTS, WeightType, browser_model, html_bytes
from charloom.formatting import listing, shortened
from charloom.hub_format import DEFAULT_LICENSE, CardWords
from charloom.messages import argument
from charloom.model import Learner, mixture_parts
from charloom.pytorch_optimizer import optimizer_path
from charloom.store import replace_file
from charloom.store.atomic_files import reading, replace_directory
from charloom.store.model_directory import CARD, MODEL_FILES, is_model_directory, model_file_of
from charloom.store.tensor_reader import all_finite
from charloom.store.training_state import require_finite

AUTO: Final = "auto"
# Options that only some targets have.
SPECIAL: Final = ("about", "license", "weights", "optimizer")


@dataclass(frozen=True)
class ExportOptions:
    """What the user chose about an exported model. `charloom.export` describes the values.

    Attributes:
        network_alone: leave out the n-grams of the model.
        about: what the model was trained on; None says nothing about it.
        license: the identifier of the model's license; None if the user names none.
        weights: the type of the weights in the file: float16, float32 or auto.
        optimizer: write the state of the optimizer too.
        words: what the user says about the model, made from `about` and `license`.

    Raises:
        ConfigError: a value is not valid.
    """

    network_alone: bool = False
    about: str | None = None
    license: str | None = None
    weights: str = AUTO
    optimizer: bool = False

    words: CardWords = field(init=False, repr=False)

    def __post_init__(self) -> None:
        require_one_of("weights", self.weights, (AUTO, *WEIGHTS))
        words = CardWords(self.about, DEFAULT_LICENSE if self.license is None else self.license)
        object.__setattr__(self, "words", words)

    @property
    def weight_type(self) -> WeightType | None:
        """The type of the weights that the user chose; None for auto."""
        return None if self.weights == AUTO else cast(WeightType, self.weights)


DEFAULT_OPTIONS: Final = ExportOptions()


@dataclass(frozen=True)
class Export:
    """What is exported, and where to.

    Attributes:
        model: the model of the user.
        learner: the learner to write: that of the model, or its network alone.
        update: the number of updates that made the weights; None if it is not known.
        path: the file or directory to write.
        options: what the user chose.
        card: a model card that a user edited, which is written again; None writes a new one.
    """

    model: TrainedModel
    learner: Learner
    update: int | None
    path: Path
    options: ExportOptions
    card: bytes | None = None


@dataclass(frozen=True)
class Target:
    """A framework, a hub or a browser, for which charloom writes models.

    Attributes:
        suffix: what the name of the file or directory ends with.
        write: writes the file or directory. Returns how the weights were rounded; None if they were not.
        loading_lines: returns Python code that loads it, given the model and its path. None if Python does not
            load it.
        is_directory: True for a directory.
        rounds: True if the weights in the file are at most float32, also those of a float64 model.
        has_start: True if the state in which the model begins to write is exported too. Otherwise, the exported
            model begins in the zero state.
        options: the names of the options of `SPECIAL` that the user may give.
    """

    suffix: str
    write: Callable[[Export], RoundedWeights | None]
    loading_lines: Callable[[Learner, str], str] | None = None
    is_directory: bool = False
    rounds: bool = False
    has_start: bool = False
    options: frozenset[str] = frozenset()


def write_torch(export: Export) -> None:
    """Write a PyTorch file, and if the user wants it, another one with the state of the optimizer."""
    optimizer = None
    if export.options.optimizer:  # made first, because it may be refused
        beside = optimizer_path(export.path)
        optimizer = pytorch_optimizer.optimizer_bytes(export.learner, beside.name)
    replace_file(export.path, pytorch_format.torch_bytes(export.learner, export.path.name))
    if optimizer is not None:
        replace_file(beside, optimizer)


def write_onnx(export: Export) -> None:
    """Write an ONNX file."""
    replace_file(export.path, onnx_format.onnx_bytes(export.learner, export.path.name))


def write_hub(export: Export) -> None:
    """Write a directory for a hub of models."""
    files = hub_format.hub_files(export.learner, export.update, export.options.words)
    if export.card is not None:
        files[CARD] = export.card
    replace_directory(export.path, files)


def write_html(export: Export) -> RoundedWeights:
    """Write an HTML file, and return how its weights were rounded. Its title is its name without the ending.

    Raises:
        ConfigError: a weight is too large for float16, which the user chose.
        DivergedError: a number in the model is not finite, or too large for float32.
    """
    require_finite(export.learner)
    rounded = rounded_weights(export)
    in_browser = browser_model(export.learner, rounded.weights)
    require_range(in_browser, rounded.weights)
    page = html_bytes(in_browser, rounded.weights, export.path.stem, export.options.words.sentence)
    replace_file(export.path, page)
    return rounded


def rounded_weights(export: Export) -> RoundedWeights:
    """Return the type of the weights that the user chose, or with "auto" the type that suits the model."""
    chosen = export.options.weight_type
    if chosen is not None:
        return RoundedWeights(chosen)
    engine = open_engine("auto", export.learner.config.threads, cell=export.learner.config.cell)
    return choose_weights(export.model, export.learner, engine)


def require_range(in_browser: Learner, weights: WeightType) -> None:
    """Raise an error if a number became infinite when the model was rounded to `weights`."""
    arrays = [*in_browser.parameters.values(), *in_browser.state.values()]
    if all(map(all_finite, arrays)):
        return
    if weights == "float16":
        raise ConfigError(
            f"the model has weights that are too large for float16; give {argument('weights', 'float32')}."
        )
    raise DivergedError(
        "the model has numbers that are too large for float32, so it diverged; export an earlier checkpoint."
    )


TARGETS: Final[Mapping[str, Target]] = MappingProxyType(
    {
        "torch": Target(
            ".torch.safetensors",
            write_torch,
            pytorch_format.loading_lines,
            options=frozenset({"optimizer"}),
        ),
        "onnx": Target(".onnx", write_onnx, onnx_format.loading_lines, rounds=True),
        "hub": Target(
            "-hub",
            write_hub,
            lambda _, path: hub_format.loading_lines(path),
            is_directory=True,
            has_start=True,
            options=frozenset({"about", "license"}),
        ),
        "html": Target(
            ".html",
            write_html,
            rounds=True,
            has_start=True,
            options=frozenset({"about", "weights"}),
        ),
    }
)


def target_of(to: str, options: ExportOptions = DEFAULT_OPTIONS) -> Target:
    """Return the target with the name `to`, such as "torch".

    Raises:
        ConfigError: there is no such target, or it does not have an option that the user gave.
    """
    require_one_of("to", to, tuple(TARGETS))
    target = TARGETS[to]
    for name in SPECIAL:
        given = getattr(options, name) != getattr(DEFAULT_OPTIONS, name)
        if given and name not in target.options:
            others = [
                argument("to", other) for other, row in TARGETS.items() if name in row.options
            ]
            raise ConfigError(f"{argument(name)} is only for {listing(others)}; leave it out.")
    return target


def output_path(path: object, target: Target) -> Path:
    """Return the path to write for a target, after checking it.

    Raises:
        ConfigError: the path is not valid. For a file, it is a directory. For a directory, it is a file, or a directory
            with other files than those of a model directory.
    """
    if not target.is_directory:
        return as_file(path)
    directory = as_path(path)
    with reading(directory):
        if directory.exists() and not directory.is_dir():
            raise ConfigError(f"{shortened(directory)} is a file; give the path of a directory.")
        found = {entry.name for entry in directory.iterdir()} if directory.exists() else set()
        if found and not (found <= MODEL_FILES and is_model_directory(directory)):
            other = min(found - MODEL_FILES, default=min(found))
            raise ConfigError(
                f"{shortened(directory)} contains {shortened(other)}, so it is not a directory that an export to "
                f"a hub wrote; give another path."
            )
    return directory


def edited_card(path: Path, target: Target) -> bytes | None:
    """Return the model card in the directory of an earlier export if a user has edited it; None otherwise.

    Raises:
        ReadError: the disk failed while reading.
    """
    if not target.is_directory:
        return None
    with reading(path):
        card = (path / CARD).read_bytes() if (path / CARD).is_file() else None
    return None if card is None or hub_format.is_unedited(card) else card


def refuse_own_model(path: Path, model: Path) -> None:
    """Raise ConfigError if an export to `path` would replace the model at the path `model`."""
    if path.resolve() in (model.resolve(), model_file_of(model).resolve()):
        raise ConfigError(f"{path} is the model itself; give another path for the exported model.")


def exported_learner(learner: Learner, network_alone: bool) -> Learner:
    """Return the learner to export: without its n-grams if `network_alone` is True.

    Without them, its losses are not known.
    """
    if not (network_alone and learner.ngrams):
        return learner
    return replace(mixture_parts.network_alone(learner), best_loss=None, best_update=None)
