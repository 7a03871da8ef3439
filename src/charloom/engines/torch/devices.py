"""Chooses the device of PyTorch on which the engine computes, and says what it is."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from charloom.errors import EngineError
from charloom.messages import argument
from charloom.process_rank import ProcessRank


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


def device_of_process(name: str, rank: ProcessRank) -> str:
    """Return the name of the device of one of several processes: on each machine, each has a GPU of its own.

    Raises:
        EngineError: the machine has too few GPUs, or a device is named that processes cannot share.
    """
    own = f"cuda:{rank.local_rank}"
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return "cpu"
    if name not in ("auto", "cuda", own):
        raise EngineError(
            f"{argument('device')} is {name}, but each of {rank.size} processes needs a device of its own. Use "
            f"{argument('device', 'cuda')} for one GPU each, or {argument('device', 'cpu')}."
        )
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if rank.local_size > count:
        raise EngineError(
            f"{rank.local_size} processes on this machine need as many CUDA GPUs, but it has {count}. Start at most "
            f"one process for each GPU, or use {argument('device', 'cpu')}."
        )
    return own


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


@contextmanager
def used_device(device: torch.device) -> Iterator[None]:
    """Compute on a device, with float32 products that are not rounded to TF32; afterwards all is as it was before.

    TF32 has 10 bits of precision, and cuDNN's layers use it if nobody forbids it.
    """
    if device.type != "cuda":
        yield
        return
    with torch.cuda.device(device), warnings.catch_warnings():
        # The weights of all layers are in one tensor, which cuDNN copies into its own order in each call.
        warnings.filterwarnings("ignore", "RNN module weights are not part of single contiguous")
        holder, name, exact = precision_switch()
        before = getattr(holder, name)
        setattr(holder, name, exact)
        try:
            yield
        finally:
            setattr(holder, name, before)


def is_out_of_memory(error: RuntimeError) -> bool:
    """Return True if PyTorch raised the error because a device has not enough memory."""
    on_gpu = isinstance(error, torch.cuda.OutOfMemoryError)
    return on_gpu or "can't allocate memory" in str(error)


def precision_switch() -> tuple[Any, str, object]:
    """Return where PyTorch keeps whether cuDNN's layers may use TF32: an object, its attribute, and the value for no."""
    cudnn = torch.backends.cudnn
    if hasattr(cudnn, "rnn"):  # since PyTorch 2.9, which refuses a mixture of both ways
        return cudnn.rnn, "fp32_precision", "ieee"
    return cudnn, "allow_tf32", False


def wide_dtype(device: torch.device) -> torch.dtype:
    """Return the dtype for long sums: float64, or float32 on a device without float64."""
    return torch.float32 if device.type == "mps" else torch.float64
