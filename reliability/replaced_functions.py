"""Replaces functions of `os` and `io.open` inside a `with` block, so that a checker sees the calls.

It does not know which calls are reported: `reliability/calls.py` reports those that change files, and
`reliability/reads.py` those that read files.
"""

import io
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import pytest

Replacement = tuple[ModuleType, str, Callable[..., Any]]  # a module, a name in it, the new function


class ReplacedFunctions:
    """Functions that are replaced inside a `with` block, and the paths of the files opened there.

    Args:
        below: the folder; a subclass reports only calls for it and for paths below it.
        patch: replaces the functions; if it is given, the caller must undo it.
    """

    def __init__(self, below: Path, patch: pytest.MonkeyPatch | None = None) -> None:
        self._below = below
        self._undoes_patch = patch is None
        self._patch = patch or pytest.MonkeyPatch()
        self._paths: dict[int, Path] = {}  # of open descriptors
        self._real = {
            name: getattr(module, name) for module, name, _ in self.replacements() if module is os
        }
        self._real_open = io.open

    def replacements(self) -> list[Replacement]:
        """Return every function that is replaced. A subclass adds its own."""
        return [(os, "close", self.close)]

    def __enter__(self) -> Self:
        for module, name, function in self.replacements():
            self._patch.setattr(module, name, function)
        return self

    def __exit__(self, *error: object) -> None:
        if self._undoes_patch:
            self._patch.undo()

    def close(self, descriptor: int) -> None:
        """Close a descriptor, and forget its path."""
        self._paths.pop(descriptor, None)
        self._real["close"](descriptor)

    def path_of(self, path: Any, dir_fd: int | None = None) -> Path:
        """Return the absolute path that the arguments of a call name."""
        base = Path.cwd() if dir_fd is None else self._paths.get(dir_fd, Path.cwd())
        return base / os.fsdecode(path)
