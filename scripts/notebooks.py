"""Runs the notebooks in docs/notebooks/ in an empty folder, and stores their outputs in them.

Metadata that depends on the machine, such as times and versions, is not stored.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import nbformat
from nbclient import NotebookClient

ROOT: Final = Path(__file__).parent.parent
FOLDER: Final = ROOT / "docs" / "notebooks"
METADATA: Final = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def with_outputs(notebook: Any) -> Any:
    """Run all cells of a notebook in an empty folder, and return the notebook with their outputs.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell raised an error.
    """
    with tempfile.TemporaryDirectory() as folder:
        place = {"metadata": {"path": folder}}
        NotebookClient(notebook, timeout=None, record_timing=False, resources=place).execute()
    notebook.metadata = nbformat.from_dict(METADATA)
    return notebook


def main(paths: list[Path]) -> None:
    """Run the notebooks at `paths`, or all notebooks if there are none."""
    for path in paths or sorted(FOLDER.glob("*.ipynb")):
        notebook = with_outputs(nbformat.read(path, as_version=4))
        nbformat.write(notebook, path)
        print(f"{path.name}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
