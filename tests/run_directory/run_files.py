"""Lists the files of a run directory and opens a run again, for tests."""

from charloom.text import Corpus
from reliability.run_training import reopen
from small_runs import TEXT


def open_file(path, text=TEXT):
    """Return the corpus of a text file."""
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    return Corpus.open([path])


def names(run):
    """Return the names in a run directory."""
    return {path.name for path in run.iterdir()}


def checkpoints(run):
    """Return the updates with a checkpoint, and the pointers."""
    return {path.name for path in (run / "checkpoints").iterdir()}


def reopened(run, **changes):
    """Open a run to resume it, and close it again."""
    opened = reopen(run, **changes)
    opened[0].close()
    return opened


def same_parameters(one, two):
    """Return True if two learners have the same parameters, bit for bit."""
    return {name: array.tobytes() for name, array in one.parameters.items()} == {
        name: array.tobytes() for name, array in two.parameters.items()
    }
