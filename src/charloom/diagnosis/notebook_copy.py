"""Gives the sandbox the code of a notebook as a Python file, and says in messages where its lines are."""

import dataclasses
import re
from pathlib import Path
from typing import Final

from charloom.diagnosis.notebook_code import NotebookCode, code_of_notebook
from charloom.diagnosis.sandbox_settings import CopiedFile, SandboxSettings

# The lines in a note about statements that were skipped.
SKIPPED_LINES: Final = re.compile(r"\(lines? (\d+(?:, \d+)*)(?:, …)?\)")


class NotebookCopy:
    """A user's notebook, of which the sandbox gets the code as a Python file.

    Args:
        path: the notebook.
        folder: an empty folder for the Python file; the sandbox does not see it.

    Attributes:
        code: the code of the notebook.
    """

    def __init__(self, path: Path, folder: Path) -> None:
        self.code: NotebookCode = code_of_notebook(path)
        self._path, self._source, self._target = path, folder / "code.py", ""
        self._source.write_text(self.code.text, encoding="utf-8", errors="replace")

    def settings(self, settings: SandboxSettings) -> SandboxSettings:
        """Return the settings with the Python file in the place of the notebook, from which it is loaded."""
        targets = {Path(file.source).resolve(): file.target for file in settings.files}
        target = Path(targets.get(self._path, self._path.name))
        others = [file for file in settings.files if file.target != str(target)]
        taken = {file.target for file in others}
        names = (
            target.with_name(f"{target.stem}{end}.py") for end in ("", "_notebook", "_notebook_2")
        )
        self._target = next(str(name) for name in names if str(name) not in taken)
        files = (*others, CopiedFile(str(self._source), self._target))
        return dataclasses.replace(settings, files=files, from_copies=True)

    def in_notebook(self, text: str) -> str:
        """Return a message in which the lines of the Python file are those of the cells."""
        traceback = rf'(?<="{re.escape(self._target)}", )line (\d+)'
        text = re.sub(traceback, lambda found: self.code.place(int(found[1])), text)
        text = SKIPPED_LINES.sub(lambda found: f"({self.code.cells_of(found[1])})", text)
        return text.replace(Path(self._target).name, self._path.name)
