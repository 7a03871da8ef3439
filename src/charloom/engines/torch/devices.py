"""Chooses the device of PyTorch on which the engine computes, and says what it is."""

import torch

from charloom.errors import EngineError
from charloom.messages import argument


def chosen_device(name: str) -> torch.device:
    """Return the device with a name: cpu, cuda, cuda:n, mps or auto.

    "auto" takes the first CUDA GPU, else Apple's GPU (mps), else the processor.

    Raises:
        EngineError: this machine, or this build of PyTorch, has no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if has_mps() else "cpu"
    kind, _, number = name.partition(":")
    if kind == "mps" and not has_mps():
        raise missing_device(name, "no GPU of Apple that PyTorch can use")
    if kind == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if int(number or 0) >= count:
            found = f"{count} CUDA GPUs" if count else "no CUDA GPU that PyTorch can use"
            raise missing_device(name, found)
        return torch.device("cuda", int(number or 0))
    return torch.device(kind)


def has_mps() -> bool:
    """Return True if PyTorch can use a GPU of Apple."""
    return bool(torch.backends.mps.is_available())


def missing_device(name: str, found: str) -> EngineError:
    """Return the error that a device does not exist. `found` says what there is instead."""
    return EngineError(
        f"{argument('device')} is {name}, but this machine has {found} (PyTorch {torch.__version__}). Use "
        f"{argument('device', 'auto')} or {argument('device', 'cpu')}."
    )


def device_title(device: torch.device) -> str:
    """Return the name of a device for users, such as "cpu" or "cuda:0 NVIDIA H200"."""
    if device.type != "cuda":
        return str(device.type)
    return f"{device} {torch.cuda.get_device_name(device)}"


def wide_dtype(device: torch.device) -> torch.dtype:
    """Return the dtype for long sums: float64, or float32 on a device without float64."""
    return torch.float32 if device.type == "mps" else torch.float64
