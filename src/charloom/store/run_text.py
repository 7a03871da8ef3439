"""Opens the text of a run again, and raises an error if the text is missing or has changed.

The run may be untrusted, so its text must be a plain file. This module does not change anything on the
disk.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from charloom.errors import (
    CharloomError,
    DamagedError,
    ReadError,
    TextError,
    UnknownCharacterError,
)
from charloom.messages import argument
from charloom.model import Learner
from charloom.store.run_settings import BUILTIN, TextDescription, TextIdentity
from charloom.text import Corpus, UnknownPolicy
from charloom.text.collection import Collection


def open_text(
    kept: Path,
    text: TextIdentity,
    moved: Sequence[str | Path] | None,
    learner: Learner,
    place: str = argument("text"),
) -> Corpus:
    """Return the text of a run, after checking that it is the text that the run was trained on.

    Args:
        kept: the path of text.txt in the run directory. It holds the text if the text has no sources.
        text: the identity of the text that the run was trained on.
        moved: the new paths of the text; None uses the sources in `text`.
        learner: the learner of the run. Its vocabulary and settings are used.
        place: the argument for the new path of the text, as messages name it.

    Raises:
        TextError: the text is missing, cannot be read, or is another text.
        DamagedError: text.txt is needed, and it is missing, damaged or a link.
        ReadError: text.txt is needed, and the disk failed while reading it.
    """
    sources, config = moved or text.sources, learner.config
    policy = UnknownPolicy(config.unknown, config.replacement)
    collection = Collection.of(config)
    where = ", ".join(map(str, sources)) or str(kept)
    if not sources and kept.is_symlink():
        raise DamagedError(
            f"{kept} is not a plain file but a link; links are not followed. Put the file itself there."
        )
    try:
        require_plain([] if moved else sources or [kept])
        if sources:
            corpus = Corpus.open(
                sources, learner.vocabulary, verify=True, policy=policy, collection=collection
            )
        else:
            corpus = Corpus.from_kept(
                kept, text.name, learner.vocabulary, policy=policy, collection=collection
            )
    except UnknownCharacterError:
        now = "one with other characters"
    except CharloomError as error:
        if not sources and refused_by_disk(error):
            raise ReadError(f"the text of {kept.parent} cannot be read: {error.message}") from error
        if not sources:
            raise DamagedError(
                f"{kept.parent} is damaged: its text cannot be read: {error.message}"
            ) from None
        raise TextError(
            f"the text of {kept.parent} can no longer be read: {error.message} "
            f"If it was moved, give its new path as {place}."
        ) from None
    else:
        if corpus.fingerprint == text.fingerprint:
            # If the user gave a directory, `sources` are the files in it, but the text has the directory's
            # name.
            return corpus if moved else dataclasses.replace(corpus, name=text.name)
        now = named(len(corpus), config.tokens, corpus.fingerprint)
    size = text.characters if isinstance(text, TextDescription) else None
    before = named(size, config.tokens, text.fingerprint)
    raise TextError(
        f"{where} is not the text that {kept.parent} was trained on: it was {before}, but now it is {now}. "
        f"Restore the old text, or give its path as {place}; to learn another text, "
        f"start a new run."
    )


def refused_by_disk(error: CharloomError) -> bool:
    """Return True if `error` was raised because the system could not read an existing file."""
    reason = error.__cause__ or error.__context__
    missing = FileNotFoundError, NotADirectoryError, IsADirectoryError
    return isinstance(reason, OSError) and not isinstance(reason, missing)


def named(size: int | None, tokens: str, fingerprint: str) -> str:
    """Return the end of "the text is one of 500 characters and SHA-256 0123456789ab…", from "one" on.

    Args:
        size: the length of the text; None if it is not known.
        tokens: the unit of the length, "characters" or "bytes".
        fingerprint: the fingerprint of the text, in hexadecimal.
    """
    return f"one of {'' if size is None else f'{size:,} {tokens} and '}SHA-256 {fingerprint[:12]}…"


def require_plain(sources: Sequence[str | Path]) -> None:
    """Raise TextError if one of the `sources` of a run's text is missing or is not a plain file.

    The run may be untrusted, so its sources must be plain files: a device or a pipe may never end, a
    directory may contain any files, and a pattern of file names could search the whole disk.
    """
    for source in map(str, sources):
        if source.startswith(BUILTIN):
            continue
        if not Path(source).exists():
            raise TextError(f"{source}: no such file.")
        if not Path(source).is_file():
            raise TextError(f"{source} is not a plain file.")
