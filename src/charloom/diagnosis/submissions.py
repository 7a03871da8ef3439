"""Finds the submissions of a class: in a folder, a pattern, a list of files, or the zip of a course system.

It reads the students' files only to see which one defines the function. It runs nothing.
"""

import ast
import glob
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from charloom.diagnosis.course_systems import GRADESCOPE_FOLDER, gradescope_names, owner_of
from charloom.diagnosis.notebook_code import NOTEBOOK, code_of_notebook, is_notebook
from charloom.diagnosis.sandbox_settings import SKIPPED, CopiedFile, files_beside
from charloom.diagnosis.unpacked_zip import OF_A_CLASS, OF_A_STUDENT, ZipLimits, unpack
from charloom.errors import ConfigError, DoctorError
from charloom.formatting import listing, shortened
from charloom.messages import argument

ZIP: Final = ".zip"
ARCHIVES: Final = (
    ".tar",
    ".tar.gz",
    ".tgz",
    ".tar.bz2",
    ".tar.xz",
    ".rar",
    ".7z",
)  # which are not unpacked
CODE: Final = (".py", NOTEBOOK)
LISTED_FILES: Final = 5  # names of files in a message
MOST_SOURCE: Final = 1_000_000  # bytes of a source file that are searched for a function


@dataclass
class Submission:
    """The files of one submission.

    Attributes:
        name: the student's name, or the name of the file or folder.
        files: the files, with their paths inside the submission.
        problem: why files are missing, such as a damaged zip; "" if none is.
    """

    name: str
    files: list[CopiedFile] = field(default_factory=list)
    problem: str = ""

    @property
    def python_files(self) -> list[CopiedFile]:
        """The Python files and notebooks, those nearest to the top first."""
        found = [file for file in self.files if Path(file.target).suffix.lower() in CODE]
        return sorted(found, key=lambda file: (len(Path(file.target).parts), file.target))


def is_class(given: str) -> bool:
    """Return True if `given` names several submissions: a folder, a zip or a pattern."""
    path = Path(given)
    with suppress(OSError, ValueError):
        if path.is_file():
            return path.suffix.lower() == ZIP
        return path.is_dir() or glob.has_magic(given)
    return False


def without_function(given: str) -> tuple[str, str | None]:
    """Return the path and the function in `given`, such as handins and f in "handins:f".

    The function is None if `given` has none.
    """
    path, colon, function = given.rpartition(":")
    if colon and path and function.isidentifier() and not Path(given).exists():
        return path, function
    return given, None


def find_submissions(given: Sequence[str], unpacked: Path, one: bool = False) -> list[Submission]:
    """Return the submissions, sorted by name.

    Args:
        given: paths of files and folders, patterns, or zips. A single folder holds a submission in each
            file and each folder; of several folders, each one is a submission.
        unpacked: an empty folder, into which zips are unpacked.
        one: whether a single folder or zip is one submission.

    Raises:
        ConfigError: a path does not exist, a zip cannot be unpacked, or there is no submission.
    """
    paths = [path for text in given for path in matches(text)]
    names: dict[str, str] = {}
    if len(paths) == 1 and (paths[0].is_dir() or is_zip(paths[0])):
        folder = top_folder(opened(paths[0], unpacked))
        if one:
            return [Submission(paths[0].stem, files_beside(folder))]
        names = gradescope_names(folder)
        paths = sorted(entry for entry in folder.iterdir() if is_submission(entry))
    found: dict[str, Submission] = {}
    for path in paths:
        add(found, path, names, unpacked)
    if not found:
        raise ConfigError(
            f"{listing([shortened(Path(text)) for text in given[:LISTED_FILES]])} has no submission: no Python "
            "file, notebook, folder or zip."
        )
    return with_distinct_names(sorted(found.values(), key=lambda one: one.name.casefold()))


def matches(given: str) -> list[Path]:
    """Return the path `given`, or the paths that match the pattern `given`."""
    path = Path(given)
    with suppress(OSError, ValueError):
        if path.exists():
            return [path.resolve()]
        if glob.has_magic(given):
            # Use glob.glob because Path.glob does not accept absolute patterns.
            found = sorted(map(Path, glob.glob(given, recursive=True)))  # noqa: PTH207
            if found:
                return [path.resolve() for path in found if is_submission(path)]
            raise ConfigError(f"no file matches {shortened(path)}; check the path and the quotes.")
    raise ConfigError(f"{shortened(path)} does not exist; check the path.")


def is_zip(path: Path) -> bool:
    """Return True if `path` is a file whose name ends in .zip."""
    return path.suffix.lower() == ZIP and path.is_file()


def is_submission(path: Path) -> bool:
    """Return True if `path` may be a submission, or a part of one: a folder, a zip, a Python file or a notebook."""
    if path.name.startswith(".") or path.name in SKIPPED or path.is_symlink():
        return False
    if path.is_dir():
        return not (path / "pyvenv.cfg").exists()
    if not path.is_file():  # such as a pipe, which would never end
        return False
    return path.name.lower().endswith((*CODE, ZIP, *ARCHIVES)) or owner_of(path.name) is not None


def opened(path: Path, unpacked: Path, limits: ZipLimits = OF_A_CLASS) -> Path:
    """Return the folder `path`; if it is a zip, unpack it and return its folder."""
    if path.is_dir():
        return path
    folder = unpacked / f"{sum(1 for _ in unpacked.iterdir()) + 1}-{path.stem}"
    unpack(path, folder, limits)
    return folder


def top_folder(folder: Path) -> Path:
    """Return `folder`, or the only folder in it if it has nothing else that may be a submission."""
    entries = [entry for entry in folder.iterdir() if is_submission(entry)]
    if len(entries) != 1 or not entries[0].is_dir():
        return folder
    name = entries[0].name
    inside = any(entry.is_dir() or is_zip(entry) for entry in entries[0].iterdir())
    return (
        folder if owner_of(name) or GRADESCOPE_FOLDER.fullmatch(name) or not inside else entries[0]
    )


def add(found: dict[str, Submission], path: Path, names: dict[str, str], unpacked: Path) -> None:
    """Add the files of `path` to the submission to which they belong, by its key in `found`.

    `names` has the students' names by the names of their folders.
    """
    owner = owner_of(path.name)
    if owner is not None:
        key, name, target = owner.key, owner.student, owner.name or path.name
    else:
        key, name, target = str(path), names.get(path.name, own_name(path)), path.name
    submission = found.setdefault(key, Submission(name))
    if path.is_dir():
        submission.files += files_beside(path)
    elif is_zip(path):
        try:
            submission.files += files_beside(opened(path, unpacked, OF_A_STUDENT))
        except ConfigError as error:  # a damaged zip of one student does not end the work
            submission.problem = error.message.replace(str(path), path.name)
    elif path.name.lower().endswith(ARCHIVES):
        submission.problem = (
            f"{shortened(Path(target))} is not unpacked; unpack it, or make a zip of it."
        )
    else:
        submission.files.append(CopiedFile(str(path), target))


def own_name(path: Path) -> str:
    """Return the name of a file without its ending, or of a folder with it."""
    return path.name if path.is_dir() else path.stem


def with_distinct_names(submissions: list[Submission]) -> list[Submission]:
    """Return the submissions; if several have one name, number the later ones."""
    seen: dict[str, int] = {}
    for submission in submissions:
        name = submission.name.casefold()
        seen[name] = seen.get(name, 0) + 1
        if seen[name] > 1:
            submission.name += f" ({seen[name]})"
    return submissions


def file_to_check(submission: Submission, function: str | None) -> CopiedFile:
    """Return the file that defines `function`; with None, return the only Python file or notebook.

    Raises:
        DoctorError: the submission has no Python file, or several, of which none defines the function.
    """
    files = submission.python_files
    if not files and submission.problem:
        raise DoctorError(submission.problem)
    if not files:
        others = [file.target for file in submission.files]
        has = f"only {listed(others)}, but no Python file (.py) and no notebook (.ipynb)"
        raise DoctorError(f"the submission has {has if others else 'no file'}.")
    if len(files) == 1:
        return files[0]
    if function is None:
        raise DoctorError(
            f"the submission has several Python files, {listed([file.target for file in files])}; name the "
            f"function with {argument('function')}."
        )
    ranked = [(how_defined(Path(file.source), function), file) for file in files]
    best = max(rank for rank, _ in ranked)
    if best == 0:
        raise DoctorError(
            f"no file of the submission has {function}; its Python files are "
            f"{listed([file.target for file in files])}."
        )
    return next(file for rank, file in ranked if rank == best)


def listed(names: Sequence[str]) -> str:
    """Return the first names as text, and how many more there are."""
    shown = [shortened(Path(name)) for name in names[:LISTED_FILES]]
    return listing(
        [*shown, f"{len(names) - LISTED_FILES} more"] if len(names) > LISTED_FILES else shown
    )


def how_defined(path: Path, name: str) -> int:
    """Return 2 if a Python file defines the function or class `name`, 1 if it imports or assigns it, else 0."""
    source = source_of(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        text = source.decode("utf-8", errors="replace")
        return 2 if re.search(rf"^(def|class)\s+{re.escape(name)}\b", text, re.MULTILINE) else 0
    return max(
        (rank for node in body for bound, rank in names_bound(node) if bound == name), default=0
    )


def source_of(path: Path) -> bytes:
    """Return the beginning of a source file, or the code of a notebook; nothing if it cannot be read."""
    try:
        if is_notebook(path):
            return code_of_notebook(path).text.encode("utf-8", "replace")
        with path.open("rb") as file:
            return file.read(MOST_SOURCE)
    except (OSError, DoctorError):
        return b""


def names_bound(node: ast.stmt) -> Iterator[tuple[str, int]]:
    """Yield the names that a statement defines, each with 2 for a definition and 1 for anything else."""
    if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)):
        yield node.name, 2
    elif isinstance(node, (ast.Import, ast.ImportFrom)):
        for alias in node.names:
            yield alias.asname or alias.name, 1
    elif isinstance(node, ast.Assign):
        for target in node.targets:
            if isinstance(target, ast.Name):
                yield target.id, 1


def with_included(submission: Submission, included: Iterable[str]) -> Submission:
    """Return the submission with the files `included`; a student's own file of the same name is replaced.

    A submission that has nothing but a problem stays as it is.
    """
    if submission.problem and not submission.files:
        return submission
    extra = [CopiedFile(path, Path(path).name) for path in included]
    taken = {file.target for file in extra}
    kept = [file for file in submission.files if file.target not in taken]
    return Submission(submission.name, [*kept, *extra], submission.problem)
