"""Places all parameters in one flat tensor, so that an update is a few operations on long tensors.

Weights (two axes) come first, then biases, so that weight decay can leave out the biases. Each parameter begins at
a multiple of ALIGNMENT entries; the entries between two parameters are 0 and stay 0.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import torch

from charloom.engines.torch.tensors import Tensors

ALIGNMENT: Final = 16  # entries; 64 bytes of float32, so that products do not depend on the place


@dataclass(frozen=True)
class FlatLayout:
    """The places of parameters in a flat tensor.

    Attributes:
        shapes: the shape of each parameter by name, in the order of the learner's parameters.
        offsets: the index of the first entry of each parameter.
        size: the number of entries of the flat tensor.
        weights: how many entries the weights take; the biases follow.
    """

    shapes: Mapping[str, tuple[int, ...]]
    offsets: Mapping[str, int]
    size: int
    weights: int

    @classmethod
    def of(cls, shapes: Mapping[str, tuple[int, ...]]) -> "FlatLayout":
        """Return the layout of parameters with these shapes."""
        offsets: dict[str, int] = {}
        end = weights = 0
        for name in sorted(shapes, key=lambda name: len(shapes[name]) == 1):  # keeps the order
            offsets[name] = end
            end += -(-math.prod(shapes[name]) // ALIGNMENT) * ALIGNMENT
            weights = weights if len(shapes[name]) == 1 else end
        return cls(dict(shapes), offsets, end, weights)

    def views(self, flat: torch.Tensor) -> Tensors:
        """Return each parameter as a view of a flat tensor."""
        return {
            name: flat.narrow(0, self.offsets[name], math.prod(shape)).view(shape)
            for name, shape in self.shapes.items()
        }
