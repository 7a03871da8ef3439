"""Surrounds a program that runs with stand-ins: a text for every file, answers, fixed random numbers, no output.

Only the code of the user's folder gets the stand-ins for files; libraries read their own files.
"""

import argparse
import builtins
import contextlib
import glob
import io
import os
import pathlib
import random
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from charloom.diagnosis.forms.stand_ins import ANSWER
from charloom.diagnosis.watching.torch_surroundings import torch_stand_ins

SEED: Final = 0
NAME: Final = "input.txt"  # the name of the file that a program finds
# Endings of files that a text cannot stand in for.
NO_TEXT: Final = (".npy", ".npz", ".pkl", ".pickle", ".pt", ".pth", ".json", ".ckpt", ".h5", ".bin", ".py", ".model", ".yaml", ".toml", ".cfg", ".ini")  # fmt: skip


class Text(io.StringIO):
    """An open text file that remembers nothing of what is written to it."""

    name = NAME

    def write(self, text: str) -> int:
        return len(text)


class Bytes(io.BytesIO):
    """An open binary file that remembers nothing of what is written to it."""

    name = NAME

    def write(self, data: Any) -> int:
        return len(data)


def is_text(path: Any) -> bool:
    """Return True if a text can stand in for the file `path`."""
    return not str(path).lower().endswith(NO_TEXT)


def opened(text: str, path: Any, mode: str) -> Any:
    """Return what `open` returns for a file with this text, or for one that is written."""
    if "r" in mode or "+" in mode or not set(mode) & set("wax"):
        if not is_text(path):
            raise FileNotFoundError(2, "No such file or directory", str(path))
        return Bytes(text.encode()) if "b" in mode else Text(text)
    return Bytes() if "b" in mode else Text()


def answers(parser: argparse.ArgumentParser, *_: Any, **__: Any) -> argparse.Namespace:
    """Return the defaults of a parser, and an answer for each argument that has none."""
    found = argparse.Namespace()
    for action in parser._actions:
        if action.dest in ("help", argparse.SUPPRESS):
            continue
        value = action.default
        if isinstance(value, str) and callable(action.type):
            with contextlib.suppress(Exception):
                value = action.type(value)
        if value is None and (action.required or not action.option_strings):
            value = answer_of(action)
        setattr(found, action.dest, value)
    for name, value in parser._defaults.items():
        if not hasattr(found, name):
            setattr(found, name, value)
    return found


def answer_of(action: argparse.Action) -> Any:
    """Return a value for an argument of a program that has no default."""
    if action.choices:
        value: Any = next(iter(action.choices))
    else:
        value = NAME
        if callable(action.type):
            for text in (NAME, ANSWER):
                with contextlib.suppress(Exception):
                    value = action.type(text)
                    break
    return [value] if action.nargs in ("+", "*") or isinstance(action.nargs, int) else value


class FirstChoices(np.random.Generator):
    """A generator of random numbers that always chooses the first of several items."""

    def integers(self, low: Any, high: Any = None, size: Any = None, *_: Any, **__: Any) -> Any:
        return first_integer(low, high, size)

    def choice(self, items: Any, size: Any = None, *_: Any, **__: Any) -> Any:  # type: ignore[override]
        return first_item(items, size)

    def permutation(self, items: Any, *_: Any, **__: Any) -> Any:  # type: ignore[override]
        return unchanged(items)

    def shuffle(self, items: Any, *_: Any, **__: Any) -> None:  # type: ignore[override]
        pass


def first_integer(low: Any, high: Any = None, size: Any = None, *_: Any, **__: Any) -> Any:
    """Return the smallest number that `randint` can return, in an array of the size `size`."""
    first = 0 if high is None else low
    return int(first) if size is None else np.full(size, first)


def first_item(items: Any, size: Any = None, *_: Any, **__: Any) -> Any:
    """Return the first item, or an array of it."""
    listed = np.arange(items) if isinstance(items, (int, np.integer)) else items
    first = listed[0]
    return first if size is None else np.array([first] * int(np.prod(size))).reshape(size)


def unchanged(items: Any, *_: Any, **__: Any) -> Any:
    """Return the items in their order."""
    return np.arange(items) if isinstance(items, (int, np.integer)) else np.array(items)


def first_choices() -> Iterator[tuple[Any, str, Any]]:
    """Yield the stand-ins with which a program chooses the first window of a text, not a random one."""
    yield np.random, "default_rng", lambda *_: FirstChoices(np.random.PCG64(SEED))
    yield np.random, "randint", first_integer
    yield np.random, "choice", first_item
    yield np.random, "permutation", unchanged
    yield np.random, "shuffle", lambda *_: None
    yield random, "randint", lambda low, *_: low
    yield random, "randrange", lambda low, high=None, *_: 0 if high is None else low
    yield random, "choice", lambda items: items[0]
    yield random, "sample", lambda items, k, **_: list(items)[:k]
    yield random, "shuffle", lambda *_: None


class Surroundings:
    """The stand-ins for one run of a program.

    Attributes:
        text: the text of every file.
        folder: the folder whose code gets the stand-ins.
    """

    def __init__(self, text: str, folder: Path) -> None:
        self.text, self.folder = text, str(folder)

    def asked_by_user(self) -> bool:
        """Return True if the function two frames above was called by code of the user's folder."""
        return sys._getframe(2).f_code.co_filename.startswith(self.folder)

    def replacements(self) -> Iterator[tuple[Any, str, Any]]:
        """Yield what is replaced: the owner, the name, and the stand-in."""
        real_open, text = builtins.open, self.text

        def open_(file: Any, mode: str = "r", *args: Any, **options: Any) -> Any:
            if not self.asked_by_user():
                return real_open(file, mode, *args, **options)
            return opened(text, file, mode)

        def for_user(real: Callable[..., Any], answer: Callable[[Any], Any]) -> Callable[..., Any]:
            def called(path: Any = ".", *args: Any, **options: Any) -> Any:
                return answer(path) if self.asked_by_user() else real(path, *args, **options)

            return called

        yield builtins, "open", open_
        yield builtins, "input", lambda *_: ANSWER
        yield io, "open", open_
        path = pathlib.Path
        yield path, "read_text", for_user(path.read_text, lambda _: text)
        yield path, "read_bytes", for_user(path.read_bytes, lambda _: text.encode())
        yield path, "write_text", for_user(path.write_text, lambda _: 0)
        yield path, "write_bytes", for_user(path.write_bytes, lambda _: 0)
        yield path, "mkdir", for_user(path.mkdir, lambda _: None)
        for name in ("exists", "is_file"):
            yield path, name, for_user(getattr(path, name), is_text)
        for name in ("exists", "isfile"):
            yield os.path, name, for_user(getattr(os.path, name), is_text)
        yield os, "listdir", for_user(os.listdir, lambda _: [NAME])
        yield os, "makedirs", for_user(os.makedirs, lambda _: None)
        yield glob, "glob", for_user(glob.glob, lambda _: [NAME])
        if (requests := sys.modules.get("urllib.request")) is not None:
            yield requests, "urlopen", lambda *_, **__: Bytes(text.encode())
            yield requests, "urlretrieve", lambda *_, **__: (NAME, None)
        yield argparse.ArgumentParser, "parse_args", answers
        yield (
            argparse.ArgumentParser,
            "parse_known_args",
            lambda parser, *_, **__: (answers(parser), []),
        )
        yield time, "sleep", lambda *_: None
        yield from first_choices()
        for name in ("save", "savez", "savez_compressed", "savetxt"):
            yield np, name, lambda *_, **__: None
        if (torch := sys.modules.get("torch")) is not None:
            letters = sorted(set(text))
            yield from torch_stand_ins(torch, [letters.index(one) for one in text])
        if (plt := sys.modules.get("matplotlib.pyplot")) is not None:
            for name in ("show", "savefig", "plot", "pause", "figure"):
                yield plt, name, lambda *_, **__: None

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """Put the stand-ins in place during the `with` block, and set the seeds of random numbers."""
        old: list[tuple[Any, str, Any]] = []
        argv, sys.argv = sys.argv, [NAME, NAME]
        random.seed(SEED)
        np.random.seed(SEED)
        if (torch := sys.modules.get("torch")) is not None:
            torch.manual_seed(SEED)
        quiet = Text()
        try:
            for owner, name, stand_in in self.replacements():
                old.append((owner, name, getattr(owner, name)))
                setattr(owner, name, stand_in)
            with (
                contextlib.redirect_stdout(quiet),
                contextlib.redirect_stderr(quiet),
                np.errstate(all="ignore"),
            ):
                yield
        finally:
            sys.argv = argv
            for owner, name, real in reversed(old):
                setattr(owner, name, real)
