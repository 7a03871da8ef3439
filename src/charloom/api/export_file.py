"""Writes a learner for another framework, as a file, or for a hub of models, as a directory."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

from charloom import hub_format, onnx_format, pytorch_format
from charloom.api.text_arguments import as_file, as_path
from charloom.config import require_one_of
from charloom.errors import ConfigError
from charloom.formatting import shortened
from charloom.hub_format import DEFAULT_LICENSE, CardWords
from charloom.messages import argument
from charloom.model import Learner, mixture_parts
from charloom.store import replace_file
from charloom.store.atomic_files import reading, replace_directory
from charloom.store.model_directory import MODEL_FILES, is_model_directory

HUB: Final = "hub"


@dataclass(frozen=True)
class Target:
    """A framework or a hub for which charloom writes models.

    Attributes:
        suffix: what the name of the file or directory ends with.
        loading_lines: returns Python code that loads it, given the model and its path.
        file_bytes: returns the bytes of a file, given the model and the file's name; None if the target is a
            directory.
        rounds: True if the weights in the file are float32, also those of a float64 model.
    """

    suffix: str
    loading_lines: Callable[[Learner, str], str]
    file_bytes: Callable[[Learner, str], bytes] | None = None
    rounds: bool = False


TARGETS: Final[Mapping[str, Target]] = MappingProxyType(
    {
        "torch": Target(
            ".torch.safetensors", pytorch_format.loading_lines, pytorch_format.torch_bytes
        ),
        "onnx": Target(".onnx", onnx_format.loading_lines, onnx_format.onnx_bytes, rounds=True),
        HUB: Target("-hub", lambda _, path: hub_format.loading_lines(path)),
    }
)


def target_of(to: str) -> Target:
    """Return the target with the name `to`, such as "torch"; raise ConfigError if there is none."""
    require_one_of("to", to, tuple(TARGETS))
    return TARGETS[to]


def card_words(to: str, about: str | None, license: str | None) -> CardWords:
    """Return what the user says about a model for its card.

    Raises:
        ConfigError: a value is not valid; or it is given although the target `to` has no card.
    """
    for name, value in (("about", about), ("license", license)):
        if to != HUB and value is not None:
            raise ConfigError(
                f"{argument(name)} is for the model card, which only {argument('to', HUB)} writes; leave it out."
            )
    return CardWords(about, DEFAULT_LICENSE if license is None else license)


def output_path(path: object, to: str) -> Path:
    """Return the path to write for the target `to`, after checking it.

    Raises:
        ConfigError: the path is not valid. For a file, it is a directory. For a directory, it is a file, or a directory
            with other files than those of a model directory.
    """
    if target_of(to).file_bytes is not None:
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


def write_exported(
    exported: Learner,
    path: str | Path,
    to: str,
    update: int | None = None,
    words: CardWords | None = None,
) -> Path:
    """Write a learner for the target `to`, such as "torch", and return the path of the file or directory.

    The errors are those of `charloom.export`.

    Args:
        exported: a result of `exported_learner`.
        path: the file or directory. An existing one is replaced.
        to: the name of the target.
        update: the number of updates that made the weights; None if it is not known. Only a directory stores it.
        words: what the user says about the model. Only a directory stores it; None says nothing.
    """
    target, path = target_of(to), output_path(path, to)
    if target.file_bytes is None:
        replace_directory(path, hub_format.hub_files(exported, update, words or CardWords()))
    else:
        replace_file(path, target.file_bytes(exported, path.name))
    return path


def exported_learner(learner: Learner, network_alone: bool) -> Learner:
    """Return the learner to export: without its n-grams if `network_alone` is True.

    Without them, its losses are not known.
    """
    if not (network_alone and learner.ngrams):
        return learner
    return replace(mixture_parts.network_alone(learner), best_loss=None, best_update=None)
