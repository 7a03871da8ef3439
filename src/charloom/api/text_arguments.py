"""Opens the text that a user gives, and finds a path for a new run."""

import re
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final

from charloom.config import require_path, require_string
from charloom.errors import ConfigError, MissingPartError
from charloom.formatting import shortened
from charloom.messages import argument
from charloom.run_file_names import RUNS
from charloom.store.new_run import require_free
from charloom.text import Corpus, UnknownPolicy, Vocabulary
from charloom.text.collection import Collection
from charloom.text.unknown_policy import REFUSE

Text = str | Path | Sequence[str | Path]

DEMO_TEXTS: Final = ("kjv-nt", "python-docs")  # the first of these texts that is installed is used


def open_text(
    text: Text | None,
    string: str | None = None,
    vocabulary: Vocabulary | None = None,
    *,
    tokens: str = "characters",
    policy: UnknownPolicy = REFUSE,
    collection: Collection | None = None,
) -> Corpus:
    """Return a corpus with the text that the user gave.

    Args:
        text: paths, or the name of a built-in text.
        string: the text itself, instead of `text`.
        vocabulary: the vocabulary to use; None makes one from the text.
        tokens: the unit of the vocabulary: "characters" or "bytes". Ignored if `vocabulary` is given.
        policy: what to do with characters outside `vocabulary`.
        collection: how the text is divided into items; None for a stream.

    Raises:
        ConfigError: both or none of `text` and `string` are given.
        TextError: the text is missing or empty, or has only one distinct character.
    """
    if (text is None) == (string is None):
        raise ConfigError(
            f"give either {argument('text')} (paths, or the name of a built-in text) or "
            f"{argument('string')} (the text itself)."
        )
    if string is not None:
        string = require_string("string", string)
        return Corpus.from_text(
            string, vocabulary=vocabulary, tokens=tokens, policy=policy, collection=collection
        )
    assert text is not None
    sources = as_sources(text)
    return Corpus.open(sources, vocabulary, tokens=tokens, policy=policy, collection=collection)


def as_path(given: object, name: str = "path") -> Path:
    """Return the user's argument `given` as a path, after checking that the system accepts it.

    The path need not exist.

    Args:
        given: the value that the user gave.
        name: the name of the argument, for the message.

    Raises:
        ConfigError: `given` is neither a str nor a path, is empty, holds a null byte, or is longer than
            the system allows.
    """
    path = require_path(name, given)
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        pass
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(
            f"{shortened(path)} is not a valid path: {reason}. Give another."
        ) from None
    return path


def as_file(given: object) -> Path:
    """Return the user's argument `given` as a path for a file, after checking it as `as_path` does.

    Raises:
        ConfigError: the path is not valid, or is a directory.
    """
    path = as_path(given)
    if path.is_dir():
        raise ConfigError(f"{shortened(path)} is a directory; give the path of a file.")
    return path


def as_sources(text: object) -> list[str | Path]:
    """Return `text` as a list of paths or names of built-in texts. A single path becomes a list of one.

    Raises:
        ConfigError: `text` is not a path, a name, or a sequence of paths and names.
    """
    if isinstance(text, str | Path):
        return [text]
    several = isinstance(text, Iterable) and not isinstance(text, bytes)
    given: list[object] = list(text) if several else [text]  # type: ignore[call-overload]
    sources = [source for source in given if isinstance(source, str | Path)]
    if len(sources) < len(given):
        raise ConfigError(
            f"{argument('text')} is {shortened(text)}; it must be a path, the name of a built-in text, or "
            f"a list of these. The text itself is given by the argument {argument('string')}, as a str."
        )
    return sources


def demo_text(
    tokens: str = "characters",
    vocabulary: Vocabulary | None = None,
    *,
    policy: UnknownPolicy = REFUSE,
) -> Corpus:
    """Return the text to use if the user gives no text: the first text of `DEMO_TEXTS` that is installed.

    The arguments are described in `open_text`.
    """
    read = partial(Corpus.open, vocabulary=vocabulary, tokens=tokens, policy=policy)
    for name in DEMO_TEXTS[:-1]:
        try:
            return read([name])
        except MissingPartError:
            continue
    return read(DEMO_TEXTS[-1:])


def new_run(run: str | Path | None) -> Path | None:
    """Return the path of a new run, after checking that a run can be created there; None if `run` is None.

    Call this before reading the text, so that a bad path is reported early.

    Raises:
        RunExistsError, RunInUseError, ConfigError: a run cannot be created there.
    """
    if run is None:
        return None
    path = as_path(run, "run")
    require_free(path)
    return path


def free_run(corpus: Corpus, folder: Path = RUNS) -> Path:
    """Return the first of the paths NAME-1, NAME-2, … in `folder` that does not exist.

    NAME is made from the name of the text."""
    stem = Path(corpus.name.split(" + ")[0]).stem
    name = re.sub(r"[^\w.]+", "-", stem).strip("-.")[:40] or "text"
    return next(path for n in count(1) if not (path := folder / f"{name}-{n}").exists())
