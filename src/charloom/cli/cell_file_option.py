"""The option --cell-file: a Python file of the user that registers cells, for all commands that open or train networks."""

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Final

from charloom.cli.options import path_option
from charloom.registered_cells import CELL_FILES, add_cell_file

CellFile = Annotated[
    list[Path] | None,
    path_option(
        "--cell-file",
        metavar="FILE.py",
        help="Run a Python file that registers cells of your own. They need the engine torch. The environment variable "
        f"{CELL_FILES} can name the file, too.",
    ),
]
NAME: Final = "cell_file"


def with_cell_file(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command that first runs the files of --cell-file, an option that `command` does not get."""

    @wraps(command)
    def run(*, cell_file: list[Path] | None = None, **values: Any) -> None:
        for path in cell_file or []:
            add_cell_file(path)
        command(**values)

    own = inspect.signature(command)
    option = inspect.Parameter(
        NAME, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=CellFile
    )
    run.__signature__ = own.replace(  # type: ignore[attr-defined]
        parameters=[*own.parameters.values(), option]
    )
    run.__annotations__ = {**command.__annotations__, NAME: CellFile}
    return run
