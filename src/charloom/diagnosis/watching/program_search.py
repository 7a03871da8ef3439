"""Finds out how to call the training of a program: its loop, window, sizes, parameters, loss and gradients."""

from pathlib import Path
from typing import Final

from charloom.diagnosis.forms.file_contents import read_contents
from charloom.diagnosis.watching.network_search import NetworkSearch
from charloom.diagnosis.watching.observation import Observation
from charloom.diagnosis.watching.random_texts import LETTERS
from charloom.diagnosis.watching.size_search import STEPS, in_one_layer, shrink
from charloom.diagnosis.watching.watched_program import SECONDS, NotObserved, WatchedProgram

MOST_LENGTHS: Final = 3  # number of lengths of a window that are tried


def observed(path: Path, seconds: float = SECONDS) -> Observation:
    """Return how to call the training of a program, after a search of at most `seconds` of processor time.

    Raises:
        NotObserved: the program cannot be called in this way.
    """
    watched = WatchedProgram(path, read_contents(path).tree, seconds)
    loop, seen, windows = watched.with_text()
    best: Observation | None = None
    error: NotObserved | None = None
    for length in list(dict.fromkeys(w.length for w in windows))[:MOST_LENGTHS]:
        watched.changed, watched.steps = {}, {}
        if watched.loop is not loop:
            watched.look()
        if not shrink(watched, next(w for w in windows if w.length == length), seen):
            continue
        try:
            found = in_small(watched)
        except NotObserved as reason:
            error = reason
            continue
        if found.exact or found.related:
            return found
        best = best or found
    if best is None and error is None:
        # No size can be changed, and a large program takes long.
        return in_small(watched)
    if best is None:
        assert error is not None
        raise error
    return best


def in_small(watched: WatchedProgram) -> Observation:
    """Return how to call the training, with the sizes that were chosen."""
    _, seen, windows = watched.look()
    if not windows:
        raise NotObserved("no window was seen with small sizes")
    window = ([w for w in windows if w.length == STEPS] or windows)[0]
    if len(window.letters) < len(LETTERS):
        raise NotObserved("the window does not show every character")
    try:
        return NetworkSearch(watched, window).with_roles(seen)
    except NotObserved:
        single = in_one_layer(watched, window, seen)
        if single is None:
            raise
        return NetworkSearch(watched, single[1]).with_roles(single[0])
