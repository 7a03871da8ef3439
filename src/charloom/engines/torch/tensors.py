"""Converts NumPy arrays to tensors on a device, and back."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

Array = NDArray[Any]
Tensors = dict[str, torch.Tensor]


def to_device(array: Array, device: torch.device) -> torch.Tensor:
    """Return an array as a tensor. On a processor it shares the array's memory, so it must not be changed."""
    if not (array.flags.writeable and array.flags.c_contiguous):
        array = np.array(array, order="C")
    return torch.from_numpy(array).to(device)


def all_to_device(arrays: Mapping[str, Array], device: torch.device) -> Tensors:
    """Return named arrays as tensors, as `to_device` does."""
    return {name: to_device(array, device) for name, array in arrays.items()}


def to_array(tensor: torch.Tensor) -> Array:
    """Return the numbers of a tensor as a new array."""
    return np.array(tensor.detach().cpu().numpy(), order="C")


def copy_into(array: Array, tensor: torch.Tensor) -> None:
    """Copy the numbers of a tensor into an array of its shape."""
    array[...] = tensor.detach().cpu().numpy()
