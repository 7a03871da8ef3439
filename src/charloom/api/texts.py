"""Makes a corpus of the texts that a user gives, and finds a free run directory for it."""

import re
from collections.abc import Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final

from charloom.errors import ConfigError, MissingPartError
from charloom.spelling import shortened
from charloom.store.run import require_free
from charloom.text import Corpus, Vocabulary

Text = str | Path | Sequence[str | Path]

RUNS: Final = Path("runs")
DEMO_TEXTS: Final = ("kjv-nt", "python-docs")  # the first that is installed


def open_text(
    text: Text | None,
    string: str | None = None,
    vocabulary: Vocabulary | None = None,
    *,
    tokens: str = "characters",
    unknown: str = "refuse",
    replacement: str = "",
) -> Corpus:
    """A corpus from what people give: paths, a name, or the text itself.

    See `charloom.text.Corpus.open` for the other arguments.

    Raises:
        ConfigError: both or neither were given.
        TextError: the text is missing, empty, or of one character.
    """
    if (text is None) == (string is None):
        raise ConfigError("give either text (paths, or a built-in text's name) or string.")
    if string is not None:
        if not isinstance(string, str):
            raise ConfigError(f"string is {type(string).__name__}; it must be text, a str.")
        return Corpus.from_text(
            string, vocabulary=vocabulary, tokens=tokens, unknown=unknown, replacement=replacement
        )
    assert text is not None
    return Corpus.open(
        as_sources(text), vocabulary, tokens=tokens, unknown=unknown, replacement=replacement
    )


def as_path(given: str | Path) -> Path:
    """A path that the system takes, whether something is there or not.

    Raises:
        ConfigError: it holds a null byte, or is longer than the system allows.
    """
    path = Path(given)
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        pass
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"{shortened(path)} is no path: {reason}. Give another.") from None
    return path


def as_file(given: str | Path) -> Path:
    """A path at which a file can be written.

    Raises:
        ConfigError: it is no path, or a directory's.
    """
    path = as_path(given)
    if path.is_dir():
        raise ConfigError(f"{shortened(path)} is a directory; name a file in it.")
    return path


def as_sources(text: Text) -> Sequence[str | Path]:
    """A list of paths or names, where one may stand for a list."""
    return [text] if isinstance(text, (str, Path)) else text


def demo_text(
    tokens: str = "characters",
    vocabulary: Vocabulary | None = None,
    *,
    unknown: str = "refuse",
    replacement: str = "",
) -> Corpus:
    """The built-in text for who gives none: prose where it is installed. Arguments as
    `charloom.text.Corpus.open`."""
    read = partial(
        Corpus.open, vocabulary=vocabulary, tokens=tokens, unknown=unknown, replacement=replacement
    )
    for name in DEMO_TEXTS[:-1]:
        try:
            return read([name])
        except MissingPartError:
            continue
    return read(DEMO_TEXTS[-1:])


def new_run(run: str | Path | None) -> Path | None:
    """The place of a new run, looked at before a text is read or anything is measured for it.

    Raises:
        RunExistsError, RunInUseError, ConfigError: no run can be made there.
    """
    if run is None:
        return None
    path = as_path(run)
    require_free(path)
    return path


def free_run(corpus: Corpus, folder: Path = RUNS) -> Path:
    """The first of runs/NAME-1, runs/NAME-2, … that is free."""
    stem = Path(corpus.name.split(" + ")[0]).stem
    name = re.sub(r"[^\w.]+", "-", stem).strip("-.")[:40] or "text"
    return next(path for n in count(1) if not (path := folder / f"{name}-{n}").exists())
