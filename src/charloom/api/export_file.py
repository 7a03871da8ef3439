"""Writes a learner as a file for another framework."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from charloom import onnx_format, pytorch_format
from charloom.api.text_arguments import as_file
from charloom.config import require_one_of
from charloom.model import Learner, mixture_parts
from charloom.store import replace_file


@dataclass(frozen=True)
class Framework:
    """A framework for which charloom writes files.

    Attributes:
        suffix: what the names of the files end with.
        file_bytes: returns the bytes of a file, given the model and the file's name.
        loading_lines: returns Python code that loads the file, given the model and the file's path.
        rounds: True if the weights in the file are float32, also those of a float64 model.
    """

    suffix: str
    file_bytes: Callable[[Learner, str], bytes]
    loading_lines: Callable[[Learner, str], str]
    rounds: bool = False


FRAMEWORKS: Final[Mapping[str, Framework]] = MappingProxyType(
    {
        "torch": Framework(
            ".torch.safetensors", pytorch_format.torch_bytes, pytorch_format.loading_lines
        ),
        "onnx": Framework(".onnx", onnx_format.onnx_bytes, onnx_format.loading_lines, rounds=True),
    }
)


def framework(name: str) -> Framework:
    """Return the framework with this name, such as "torch"; raise ConfigError if there is none."""
    require_one_of("to", name, tuple(FRAMEWORKS))
    return FRAMEWORKS[name]


def write_exported(exported: Learner, path: str | Path, to: str) -> Path:
    """Write a learner as a file for the framework `to`, such as "torch", and return the file's path.

    `exported` is a result of `exported_learner`. The errors are those of `charloom.export`.
    """
    target = framework(to)
    path = as_file(path)
    replace_file(path, target.file_bytes(exported, path.name))
    return path


def exported_learner(learner: Learner, network_alone: bool) -> Learner:
    """Return the learner to export: without its n-grams if `network_alone` is True."""
    return mixture_parts.network_alone(learner) if network_alone and learner.ngrams else learner
