"""Completes words that a user types in a shell: names of runs, models, texts and fixed choices.

The shell calls `charloom` at each press of Tab, so this module imports nothing that is slow to import. It looks for
runs by their files, and does not read them.
"""

import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from charloom.config import BUILTIN_NAMES
from charloom.run_file_names import CONFIG, MODEL, RUNS, RUNS_DEPTH

# The environment variable by which a shell asks for words, such as complete_bash.
REQUEST: Final = "_CHARLOOM_COMPLETE"
MODEL_SUFFIX: Final = ".safetensors"
MOST_FOLDERS: Final = 200  # that are read at one press of Tab, for each folder that is searched
# Characters that must be quoted in a shell.
SPECIAL: Final = re.compile(r"[^\w@%+=:,./~-]")

# A function that completes a word: it gets what the user has typed of the word.
Complete = Callable[[str], list[str]]


class QuotedWord(str):
    """A word as it is inserted into a shell, quoted if the shell needs it.

    Typer keeps a word only if it starts with what the user has typed. So `startswith` compares the word without its
    quotes.
    """

    plain: str

    def __new__(cls, quoted: str, plain: str) -> "QuotedWord":
        word = super().__new__(cls, quoted)
        word.plain = plain
        return word

    def startswith(self, *begin: Any) -> bool:
        return self.plain.startswith(*begin)


def one_of_choices(choices: Iterable[str]) -> Complete:
    """Return a function that completes a word to one of `choices`."""

    def complete(incomplete: str) -> list[str]:
        return words(name for name in choices if name.startswith(incomplete))

    return complete


def run_names(incomplete: str) -> list[str]:
    """Return the paths of runs that begin with `incomplete`."""
    return words(runs_from(incomplete))


def model_names(incomplete: str) -> list[str]:
    """Return the paths of runs, model directories and model files that begin with `incomplete`."""
    named = runs_from(incomplete, with_models=True)
    return words(beside_files(named, incomplete, MODEL_SUFFIX))


def text_names(incomplete: str) -> list[str]:
    """Return the names of built-in texts and the paths of files that begin with `incomplete`."""
    named = [name for name in BUILTIN_NAMES if name.startswith(incomplete)]
    return words(beside_files(named, incomplete))


def words(found: Iterable[str]) -> list[str]:
    """Return the sorted words, each once, quoted for the shell that asked for them."""
    shell = os.environ.get(REQUEST, "").rpartition("_")[2]
    return [QuotedWord(quoted_for(shell, word), word) for word in sorted(set(found))]


def quoted_for(shell: str, word: str) -> str:
    """Return a word as `shell` needs it: bash and PowerShell insert it as it is, zsh and fish quote it themselves."""
    if shell == "bash":
        return SPECIAL.sub(r"\\\g<0>", word)
    if shell in ("powershell", "pwsh") and SPECIAL.search(word):
        return "'" + word.replace("'", "''") + "'"
    return word


def runs_from(incomplete: str, with_models: bool = False) -> list[str]:
    """Return the paths of runs that begin with `incomplete`: those in the folder of runs and in the typed folder.

    With `with_models`, also return the directories that hold a model for a hub.
    """
    folders = {str(RUNS), os.path.dirname(incomplete)} - {""}  # noqa: PTH120 - keeps ./ in front
    found = (path for folder in folders for path in runs_within(folder, incomplete, with_models))
    return [path for path in found if path.startswith(incomplete)]


def runs_within(folder: str, incomplete: str, with_models: bool) -> Iterator[str]:
    """Yield the paths of the runs in a folder and its subfolders, those in the folder itself first.

    The other arguments are those of `runs_from`. A folder is left out if no path in it can begin with
    `incomplete`. At most `MOST_FOLDERS` folders are read, because the folder may be / or a home directory, and
    the user waits.
    """
    waiting = deque([(folder, RUNS_DEPTH)])
    for _ in range(MOST_FOLDERS):
        if not waiting:
            return
        folder, depth = waiting.popleft()
        for path in subfolders(folder, incomplete):
            if os.path.isfile(os.path.join(path, CONFIG)):  # noqa: PTH113, PTH118
                if with_models or not os.path.isfile(os.path.join(path, MODEL)):  # noqa: PTH113, PTH118
                    yield path
            elif depth > 1:
                waiting.append((path, depth - 1))


def subfolders(folder: str, incomplete: str) -> Iterator[str]:
    """Yield the paths of the folders in a folder that begin with `incomplete`, or that may contain such a path."""
    for entry in entries_of(folder):
        path = os.path.join(folder, entry.name)  # noqa: PTH118 - a Path would drop ./ in front
        fits = path.startswith(incomplete) or incomplete.startswith(path + "/")
        if fits and not entry.name.startswith(".") and is_folder(entry):
            yield path


def beside_files(named: list[str], incomplete: str, suffix: str = "") -> list[str]:
    """Return `named` and the files and folders whose paths begin with `incomplete`; none if `named` is empty.

    If no name fits, the shell completes the path itself, and does it better. A folder ends with a slash. Folders
    that are in `named`, or that contain one of `named`, are left out.

    Args:
        named: the names of runs or texts that begin with `incomplete`.
        incomplete: what the user has typed.
        suffix: only files with this end are returned.
    """
    if not named:
        return []
    folder, begin = os.path.split(incomplete)
    found = []
    for entry in entries_of(folder or "."):
        path = os.path.join(folder, entry.name)  # noqa: PTH118
        hidden = entry.name.startswith(".") and not begin
        if hidden or not path.startswith(incomplete):
            continue
        if not is_folder(entry):
            found += [path] if path.endswith(suffix) else []
        elif not any(name == path or name.startswith(path + "/") for name in named):
            found.append(path + "/")
    return named + found


def entries_of(folder: str) -> list[os.DirEntry[str]]:
    """Return the entries of a folder; an empty list if it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Return True if an entry is a folder or a link to one."""
    try:
        return entry.is_dir()
    except OSError:
        return False
