"""The optimizers' update rules on tensors, in place (spec/mathematics.md: Optimizers and clipping).

The learning rate and everything that depends on the number of the update are tensors without axes, so that a
captured update can be replayed with other numbers.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from charloom.config import Config
from charloom.engines.torch.tensors import Tensors
from charloom.model.optimizers import NORM_GUARD, SLOTS

# A processor applies a rule to so many entries at a time, so that they stay in its cache.
CHUNK: Final = 2**15


@dataclass(frozen=True)
class Rates:
    """The numbers of one update, each a tensor without axes.

    Attributes:
        learning_rate: η.
        shrink: the factor by which AdamW multiplies the weights.
        adam: η / (1 - β1^u).
        correction: sqrt(1 - β2^u).
    """

    learning_rate: torch.Tensor
    shrink: torch.Tensor
    adam: torch.Tensor
    correction: torch.Tensor


def rate_rows(config: Config, rates: NDArray[np.float64], first: int) -> NDArray[np.float64]:
    """Return the numbers of `Rates` for each update of a plan, in float64, shape (updates, 4).

    `first` is the number of the first update, from 1.
    """
    rows = [
        (
            rate,
            1 - rate * config.weight_decay,
            rate / (1 - config.beta1**u),
            math.sqrt(1 - config.beta2**u),
        )
        for u, rate in enumerate(rates.tolist(), start=first)
    ]
    return np.array(rows, np.float64).reshape(-1, 4)


def clip(config: Config, gradient: torch.Tensor, norm: torch.Tensor) -> None:
    """Clip a gradient in place. `norm` is the norm of all gradients together."""
    if config.clip and config.clip_by == "value":
        gradient.clamp_(-config.clip, config.clip)
    elif config.clip:
        factor = (config.clip / (norm + NORM_GUARD)).clamp(max=1)
        gradient.mul_(factor.to(gradient.dtype))


def descend(
    config: Config, numbers: torch.Tensor, gradient: torch.Tensor, rates: Rates, decayed: int
) -> None:
    """Apply the optimizer of `config` in place, without averaging.

    Args:
        config: the settings.
        numbers: the parameters and their slots, shape (1 + slots, N), in the order of `slot_names`.
        gradient: the gradient after clipping, shape (N,); it may change.
        rates: the numbers of the update.
        decayed: the entries before this index are weights; the others are biases.
    """
    size = CHUNK if numbers.device.type == "cpu" else max(1, len(gradient))
    end = len(gradient) if config.weight_decay_on == "all" else decayed
    for begin in range(0, len(gradient), size):
        place = slice(begin, begin + size)
        part, g = numbers[:, place], gradient[place]
        if config.weight_decay and begin < end:
            decay(config, part[0, : end - begin], g[: end - begin], rates)
        slots = dict(zip(SLOTS[config.optimizer], part[1:], strict=False))
        step(config, part[0], g, slots, rates)


def decay(config: Config, theta: torch.Tensor, g: torch.Tensor, rates: Rates) -> None:
    """Apply weight decay to weights, or add it to their gradient."""
    if config.optimizer == "adamw":
        theta.mul_(rates.shrink)
    else:
        g.add_(theta, alpha=config.weight_decay)


def step(
    config: Config, theta: torch.Tensor, g: torch.Tensor, slots: Tensors, rates: Rates
) -> None:
    """Apply the rule to parameters and slots. The gradient `g` may change."""
    if config.optimizer == "adagrad":
        m = slots["accumulator"].addcmul_(g, g)
        theta.sub_(g.mul_(rates.learning_rate).div_((m + config.epsilon).sqrt_()))
    elif config.optimizer == "sgd":
        v = slots["velocity"].mul_(config.momentum).add_(g)
        theta.sub_(v * rates.learning_rate)
    elif config.optimizer == "rmsprop":
        q = slots["square"].mul_(config.decay).addcmul_(g, g, value=1 - config.decay)
        theta.sub_(g.mul_(rates.learning_rate).div_(q.sqrt().add_(config.epsilon)))
    else:
        m = slots["mean"].mul_(config.beta1).add_(g, alpha=1 - config.beta1)
        q = slots["square"].mul_(config.beta2).addcmul_(g, g, value=1 - config.beta2)
        root = q.sqrt().div_(rates.correction).add_(config.epsilon)
        theta.sub_(torch.mul(m, rates.adam).div_(root))


def average(theta: torch.Tensor, mean: torch.Tensor, rate: float, alive: torch.Tensor) -> None:
    """Move averaged weights towards the weights in place, if `alive`; rate 1 copies them."""
    moved = theta if rate == 1 else mean + (theta - mean) * rate
    mean.copy_(torch.where(alive, moved, mean))
