"""Runs a Python file of the user as a module of its own, with errors that name the file and the line."""

import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType

from charloom.errors import CharloomError, ConfigError
from charloom.formatting import shortened


def module_of_file(path: Path, what: str) -> ModuleType:
    """Run a Python file, and return its module.

    Args:
        path: the file.
        what: what the file is for, such as "file of cells", for messages.

    Raises:
        ConfigError: the file does not exist, or it fails.
    """
    if path.suffix != ".py" or not path.is_file():
        raise ConfigError(
            f"the {what} {shortened(path)} is not a Python file; give a file that exists and ends in .py."
        )
    name = f"charloom_user_file_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except CharloomError as error:
        raise ConfigError(f"{shortened(path)}: {error.message}") from None
    except Exception as error:
        raise ConfigError(f"the {what} {failure(path, error)}") from None
    return module


def failure(path: Path, error: Exception) -> str:
    """Return a message that a user's file failed, with the line and the error."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path)]
    line = getattr(error, "lineno", None) or (lines[-1] if lines else None)
    where = f", line {line}" if line else ""
    return f"{shortened(path)} failed{where}: {type(error).__name__}: {error}"
