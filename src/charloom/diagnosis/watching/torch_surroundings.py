"""Lists the stand-ins that surround a program with PyTorch: first choices, no dropout, and no files or processes."""

import functools
from collections.abc import Iterator
from typing import Any, Final

LEAST_DATA: Final = 16  # fewer random whole numbers are places in a text
MOST_KINDS: Final = 256  # more possible numbers are places in a text


def torch_stand_ins(torch: Any, ids: list[int]) -> Iterator[tuple[Any, str, Any]]:
    """Yield the owner, the name and the stand-in of each function that a program must not call as it is.

    Args:
        torch: the module.
        ids: the numbers of the letters of the text, with which random data are filled.
    """
    yield torch, "randperm", lambda n, **__: torch.arange(n)
    yield torch, "randint", functools.partial(first_numbers, torch, ids)
    yield torch, "multinomial", functools.partial(first_drawn, torch)
    yield torch, "save", lambda *_, **__: None
    yield torch, "compile", compiled
    yield torch.nn.functional, "dropout", lambda given, *_, **__: given
    for name in ("set_default_dtype", "set_default_device", "set_num_threads"):
        yield torch, name, lambda *_: None
    loader = torch.utils.data.DataLoader
    yield loader, "__init__", in_this_process(loader.__init__)


def first_numbers(
    torch: Any, ids: list[int], low: Any, high: Any = None, size: Any = None, **options: Any
) -> Any:
    """Return what `torch.randint` returns: the smallest number everywhere, or the text if they are data."""
    if size is None and not isinstance(high, int):
        low, high, size = 0, low, high
    options.pop("generator", None)
    found = torch.full(tuple(size), low, **{"dtype": torch.int64, **options})
    kinds = high - low
    if found.numel() < LEAST_DATA or kinds > MOST_KINDS or kinds <= max(ids):
        return found
    # Each row and each column is a part of the text, so that either can be the time.
    places = sum(torch.meshgrid(*(torch.arange(n) for n in found.shape), indexing="ij"))
    return torch.tensor(ids)[places % len(ids)].to(found.dtype) + low


def first_drawn(torch: Any, weights: Any, count: int, *_: Any, **__: Any) -> Any:
    """Return what `torch.multinomial` returns, with the first numbers."""
    return torch.arange(count).expand(*weights.shape[:-1], count).clone() % weights.shape[-1]


def compiled(model: Any = None, **_: Any) -> Any:
    """Return a model or function as it is, or a decorator that does."""
    return (lambda one: one) if model is None else model


def in_this_process(real: Any) -> Any:
    """Return the constructor of DataLoader such that it starts no processes."""

    @functools.wraps(real)
    def construct(loader: Any, *args: Any, **options: Any) -> None:
        for name in ("num_workers", "persistent_workers", "prefetch_factor", "pin_memory"):
            options.pop(name, None)
        real(loader, *args, **options)

    return construct
