"""Writes the state of a model's optimizer as PyTorch's optimizers keep it (spec/formats.md: PyTorch files).

With it, a program trains the exported network further in PyTorch as charloom would have. PyTorch is not used here.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np

from charloom.cell_table import CELLS
from charloom.config import Config
from charloom.errors import ConfigError
from charloom.formatting import listing
from charloom.messages import argument
from charloom.model import Learner
from charloom.model.parameters import Parameters
from charloom.pytorch_state_dict import to_state_dict
from charloom.store.tensor_file import tensor_blocks
from charloom.store.training_state import require_finite

METADATA_KEY: Final = "charloom.torch.optimizer"
FORMAT: Final = 1  # of these files, which charloom does not read

LINES: Final = """\
from safetensors.torch import load_file

for name, bias in model.named_parameters():
    if "bias_hh" in name:  # PyTorch has a second bias, which charloom has only where `kept` is 1
        kept = torch.zeros_like(bias)
        {kept}bias.register_hook(lambda gradient, kept=kept: gradient * kept)
named = {named}
{groups}optimizer = torch.optim.{cls}({parameters}, lr={rate!r}, {options})
kept = load_file({file!r})
state = {{n: {{key: kept[f"{{name}}.{{key}}"] for key in {keys}}} for n, (name, _) in enumerate(named)}}
optimizer.load_state_dict({{**optimizer.state_dict(), "state": state}})
"""
GROUPS: Final = """\
groups = [{"params": [p for _, p in named if p.ndim > 1]}, {"params": [p for _, p in named if p.ndim == 1], "weight_decay": 0.0}]
"""


@dataclass(frozen=True)
class Rule:
    """An optimizer of PyTorch that has the formula of one of charloom's.

    Attributes:
        name: the name of its class.
        slots: PyTorch's name of each array of its state, and charloom's name of the slot.
        counts: True if its state also has the number of updates, `step`.
        options: returns its arguments, without the learning rate, as Python code.
    """

    name: str
    slots: dict[str, str]
    counts: bool
    options: Callable[[Config], str]

    @property
    def keys(self) -> list[str]:
        """The names of the state of one parameter."""
        return [*(["step"] if self.counts else []), *self.slots]


def adam_options(config: Config) -> str:
    """Return the arguments of PyTorch's Adam and AdamW."""
    betas = f"({config.beta1!r}, {config.beta2!r})"
    return f"betas={betas}, eps={config.epsilon!r}, weight_decay={config.weight_decay!r}"


def rmsprop_options(config: Config) -> str:
    """Return the arguments of PyTorch's RMSprop."""
    return f"alpha={config.decay!r}, eps={config.epsilon!r}, weight_decay={config.weight_decay!r}"


def sgd_options(config: Config) -> str:
    """Return the arguments of PyTorch's SGD."""
    return f"momentum={config.momentum!r}, weight_decay={config.weight_decay!r}"


MOMENTS: Final = {"exp_avg": "mean", "exp_avg_sq": "square"}
# AdaGrad is missing: PyTorch adds ε to the root, and charloom under it.
RULES: Final = MappingProxyType(
    {
        "adam": Rule("Adam", MOMENTS, True, adam_options),
        "adamw": Rule("AdamW", MOMENTS, True, adam_options),
        "rmsprop": Rule("RMSprop", {"square_avg": "square"}, True, rmsprop_options),
        "sgd": Rule("SGD", {"momentum_buffer": "velocity"}, False, sgd_options),
    }
)


def optimizer_path(path: Path) -> Path:
    """Return the path of the optimizer's file beside an exported network, such as book.torch.optimizer.safetensors."""
    return path.with_name(f"{path.name.removesuffix('.safetensors')}.optimizer.safetensors")


def require_exact(learner: Learner) -> Rule:
    """Return PyTorch's optimizer for a learner.

    Raises:
        ConfigError: PyTorch's optimizer would not continue the training, because its formula is another one, because the
            weights are averages, or because the model has no state of an optimizer.
    """
    config = learner.config
    rule = RULES.get(config.optimizer)
    if rule is None:
        raise ConfigError(
            f"the model was trained with {config.optimizer}, for which PyTorch has another formula, so its state cannot be "
            f"exported; that of {listing(list(RULES))} can. Leave out {argument('optimizer')}."
        )
    if config.averaging:
        raise ConfigError(
            f"the weights of the model are averages, to which the state of the optimizer does not belong. Leave out "
            f"{argument('optimizer')}, or train with {argument('averaging', 0)}."
        )
    if not learner.update:
        raise ConfigError(
            f"the model has no state of an optimizer: it is not trained, or it comes from a model file, which has none. "
            f"Give the run or a checkpoint, or leave out {argument('optimizer')}."
        )
    return rule


def optimizer_bytes(learner: Learner, file: str) -> bytes:
    """Return the bytes of a file with the state of the optimizer.

    It has an array `<parameter>.<key>` for each parameter of the exported network and each key of PyTorch's state.

    Args:
        learner: the model with its slots.
        file: the name of the file, which the Python code in it loads.

    Raises:
        ConfigError: as for `require_exact`.
        DivergedError: a number is not finite.
    """
    rule = require_exact(learner)
    require_finite(learner)
    arrays: Parameters = {}
    for key, slot in rule.slots.items():
        values = to_state_dict(replace(learner, parameters=learner.slots[slot]))
        arrays |= {f"{name}.{key}": array for name, array in values.items()}
    if rule.counts:
        step = np.array(learner.update, np.float32)
        arrays |= {f"{name}.step": step for name in to_state_dict(learner)}
    about = {"format": FORMAT, "optimizer": rule.name, "load": optimizer_lines(learner, file)}
    return b"".join(tensor_blocks(arrays, {METADATA_KEY: json.dumps(about)}))


def optimizer_lines(learner: Learner, file: str) -> str:
    """Return Python code that makes `optimizer` for the network `model` and loads its state from the file `file`.

    The code follows that of `charloom.pytorch_format.loading_lines`.
    """
    config, rule = learner.config, require_exact(learner)
    grouped = bool(config.weight_decay) and config.weight_decay_on == "weights"
    second = CELLS[config.cell].second_bias
    rows = CELLS[config.cell].rows(second, config.hidden_size) if second else None
    return LINES.format(
        kept="" if rows is None else f"kept[{rows.start}:{rows.stop}] = 1\n        ",
        named="sorted(model.named_parameters(), key=lambda item: item[1].ndim == 1)"
        if grouped
        else "list(model.named_parameters())",
        groups=GROUPS if grouped else "",
        cls=rule.name,
        parameters="groups" if grouped else "model.parameters()",
        rate=config.learning_rate * learner.learning_rate_factor,
        options=rule.options(config),
        file=file,
        keys=rule.keys,
    )
