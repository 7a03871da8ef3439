"""The cells that users register: a table beside `cell_table`, filled by `charloom.register_cell` or from files of users.

This module does not compute a cell and imports no PyTorch. It runs a file only if the user named it, as an option of a
command or in the environment variable CHARLOOM_CELL_FILE. A model only names its cell.
"""

import os
import re
import sys
import threading
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from charloom.cell_table import CELL_NAMES, CELLS, Cell
from charloom.errors import ConfigError, EngineError, UnregisteredCellError
from charloom.formatting import shortened
from charloom.messages import Placeholder, argument, words_by_face
from charloom.user_files import module_of_file

# The paths of the files, with the separator of PATH between them. Child processes inherit it.
CELL_FILES: Final = "CHARLOOM_CELL_FILE"
NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}")
PARAMETER: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")


@dataclass(frozen=True)
class RegisteredCell:
    """A cell that a user defined in Python.

    Attributes:
        name: the value of the setting `cell`.
        title: the network in words, such as "a minGRU".
        definition: the user's object, which has the methods `parameters` and `step`, and perhaps `layer`, `gates` and
            `initial_values` (docs/guides/cells.md).
        states: names of the arrays that make up a layer's state; h is the first.
        gates: names of the values that the method `gates` returns.
    """

    name: str
    title: str
    definition: Any
    states: tuple[str, ...] = ("h",)
    gates: tuple[str, ...] = ()

    def shapes(self, H: int, inputs: int) -> dict[str, tuple[int, ...]]:
        """Return the name and shape of each parameter of a layer with H units and `inputs` inputs.

        Raises:
            ConfigError: the method `parameters` failed, or returned something else than names and shapes.
        """
        try:
            found = self.definition.parameters(inputs, H)
        except Exception as error:
            raise ConfigError(self.failure("parameters", error)) from None
        return {name: self._shape(name, shape) for name, shape in self._items(found)}

    def first_values(self, H: int, inputs: int) -> dict[str, Any]:
        """Return the parameters that begin with values of the cell's own: a number or an array for each name.

        Raises:
            ConfigError: the method `initial_values` failed, or returned something else than values of parameters.
        """
        method = getattr(self.definition, "initial_values", None)
        if method is None:
            return {}
        try:
            found = method(inputs, H)
        except Exception as error:
            raise ConfigError(self.failure("initial_values", error)) from None
        unknown = sorted(set(map(str, dict(self._items(found)))) - set(self.shapes(H, inputs)))
        if unknown:
            raise ConfigError(
                f"initial_values of the cell {self.name} has {', '.join(unknown)}, which parameters does not have."
            )
        return dict(found)

    def failure(self, method: str, error: Exception) -> str:
        """Return a message: a method of the cell raised an error, with the line of the user's file."""
        frames = traceback.extract_tb(error.__traceback__)
        own = [f for f in frames if f.filename == defined_in(self.definition)]
        where = f" ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else ""
        return (
            f"{method} of the cell {self.name} raised {type(error).__name__}{where}: "
            f"{' '.join(str(error).split()) or 'no message'}"
        )

    def _items(self, found: object) -> Any:
        """Return the items of what a method returned; raise ConfigError unless it is a dict."""
        if not isinstance(found, Mapping):
            raise ConfigError(
                f"a method of the cell {self.name} returned {type(found).__name__}; parameters and initial_values "
                f"must return a dict with the names of parameters."
            )
        return found.items()

    def _shape(self, name: object, shape: object) -> tuple[int, ...]:
        """Return the shape of a parameter; raise ConfigError unless it is one, with a plain name."""
        if not isinstance(name, str) or not PARAMETER.fullmatch(name):
            raise ConfigError(
                f"parameters of the cell {self.name} has the name {shortened(name)}; a name must be letters, digits "
                f"and _, such as weight_ih."
            )
        axes = tuple(shape) if isinstance(shape, tuple | list) else ()
        if len(axes) not in (1, 2) or not all(type(n) is int and n >= 1 for n in axes):
            raise ConfigError(
                f"parameters of the cell {self.name} has the shape {shortened(shape)} for {name}; a shape must be one or "
                f"two whole numbers from 1, such as (2 * hidden_size, input_size)."
            )
        return axes


AnyCell = Cell | RegisteredCell

_registered: dict[str, RegisteredCell] = {}
_loaded: set[Path] = set()  # the files that were run
_loading = threading.RLock()  # held while a file runs, which registers cells


def add_cell(cell: RegisteredCell) -> None:
    """Put a cell into the table. A cell with the same name is replaced, as when a notebook is run again.

    Raises:
        ConfigError: the name is not allowed, or is that of a built-in cell.
    """
    require_cell_name(cell.name)
    _registered[cell.name] = cell


def remove_cell(name: str) -> None:
    """Remove a registered cell from the table, if it is there."""
    _registered.pop(name, None)


def require_cell_name(name: object) -> None:
    """Raise ConfigError unless a registered cell may have this name."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ConfigError(
            f"the name of a cell is {shortened(name)}; it must be at most 32 lower-case letters, digits, - and _, and begin "
            f"with a letter, such as mingru."
        )
    if name in CELLS:
        raise ConfigError(f"the cell {name} is built in; register yours by another name.")


def registered_cell(name: str) -> RegisteredCell | None:
    """Return a registered cell; None if there is none of this name. Runs the files of CHARLOOM_CELL_FILE first."""
    if name not in _registered and name not in CELLS:
        load_cell_files()
    return _registered.get(name)


def cell_names() -> tuple[str, ...]:
    """Return the names of all cells: the built-in ones, then those that are registered now."""
    return (*CELL_NAMES, *_registered)


def is_registered(name: str) -> bool:
    """Return True if a user registered the cell with this name."""
    return registered_cell(name) is not None


def cell_named(name: str) -> AnyCell:
    """Return a cell, built in or registered.

    Raises:
        UnregisteredCellError: there is no such cell.
    """
    cell = CELLS.get(name) or registered_cell(name)
    if cell is None:
        raise UnregisteredCellError(
            f"the cell {shortened(name)} is not registered. {how_to_give()}"
        )
    return cell


def require_cell(name: object) -> None:
    """Raise ConfigError unless the value of the setting `cell` names a cell."""
    if isinstance(name, str) and (name in CELLS or is_registered(name)):
        return
    wanted = f"{argument('cell')} is {shortened(name)}; it must be one of {', '.join(cell_names())}"
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ConfigError(f"{wanted}.")
    raise ConfigError(f"{wanted}, or a cell that you register. {how_to_give()}")


def require_registered(name: object, label: str) -> None:
    """Raise UnregisteredCellError if a file names a cell that could be registered, but is not.

    `label` is the name of the file. A name that no cell can have is left to the check of the settings.
    """
    if not isinstance(name, str) or not NAME.fullmatch(name) or name in CELLS:
        return
    if not is_registered(name):
        raise UnregisteredCellError(
            f'{label}: the model names the cell "{name}", which is not registered. {how_to_give()}'
        )


def built_in_cell(name: str, purpose: str) -> Cell:
    """Return a built-in cell. `purpose` says what is possible with built-in cells only, for the message.

    Raises:
        ConfigError: a user registered the cell.
    """
    cell = CELLS.get(name)
    if cell is None:
        raise ConfigError(
            f"the model has the registered cell {name}; {purpose} is possible only with the built-in cells "
            f"{', '.join(CELL_NAMES)}."
        )
    return cell


def refuse_registered(name: str, engine: str) -> None:
    """Raise EngineError if a user registered the cell, which the engine with the name `engine` cannot compute."""
    if name not in CELLS:
        raise EngineError(
            f"{argument('engine')} is {engine}, but the registered cell {name} runs only on the engine torch. Use "
            f"{argument('engine', 'torch')}."
        )


def how_to_give() -> str:
    """Return sentences that say how a user registers a cell."""
    file = argument("cell_file", Placeholder("FILE.py"))
    return words_by_face(
        in_python="Call charloom.register_cell with its definition first, or set the environment variable "
        f"{CELL_FILES} to the Python file that does.",
        elsewhere=f"Give the Python file that registers it, with {file} or in the environment variable {CELL_FILES}.",
    )


def add_cell_file(path: Path) -> None:
    """Run a file that registers cells now, and let processes that this one starts run it too.

    Raises:
        ConfigError: the file does not exist, fails, or registers no cell.
    """
    path = path.absolute()
    if str(path) not in named_files():
        os.environ[CELL_FILES] = os.pathsep.join([*named_files(), str(path)])
    load_cell_files()


def named_files() -> list[str]:
    """Return the paths that the environment variable CHARLOOM_CELL_FILE has."""
    return [name for name in os.environ.get(CELL_FILES, "").split(os.pathsep) if name]


def load_cell_files() -> None:
    """Run the files of CHARLOOM_CELL_FILE that were not run yet.

    Raises:
        ConfigError: a file does not exist, fails, or registers no cell.
    """
    with _loading:
        for path in map(Path, named_files()):
            if path not in _loaded:
                _loaded.add(path)
                try:
                    run_cell_file(path)
                except BaseException:
                    _loaded.discard(path)
                    raise


def run_cell_file(path: Path) -> None:
    """Run a Python file as a module of its own.

    Raises:
        ConfigError: the file does not exist, fails, or registers no cell.
    """
    before = dict(_registered)
    module_of_file(path, "file of cells")
    if _registered == before:
        raise ConfigError(
            f"{shortened(path)} registers no cell; it must call charloom.register_cell."
        )


def defined_in(definition: object) -> str | None:
    """Return the file in which the class of a cell was defined; None if it is not known."""
    module = sys.modules.get(type(definition).__module__)
    return getattr(module, "__file__", None)
