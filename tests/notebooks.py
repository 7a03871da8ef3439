"""Runs notebooks in a real Jupyter kernel for tests, in an empty folder and without the user's configuration."""

import os
import warnings
from contextlib import contextmanager
from pathlib import Path

import pytest


def notebook_of(*sources):
    """Return a notebook with a code cell for each source."""
    nbformat = pytest.importorskip("nbformat", reason="nbclient and ipykernel are not installed")
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    return nbformat.v4.new_notebook(cells=cells)


@contextmanager
def own_configuration(folder):
    """Let Jupyter and IPython keep their files in `folder`."""
    names = ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")
    before = {name: os.environ.get(name) for name in names}
    for name in names:
        os.environ[name] = str(Path(folder) / name.lower())
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def run_notebook(notebook, folder, allow_errors=False):
    """Run all cells of a notebook in `folder`, and put the outputs into it. An error in a cell raises."""
    nbclient = pytest.importorskip("nbclient", reason="nbclient and ipykernel are not installed")
    pytest.importorskip("ipykernel", reason="nbclient and ipykernel are not installed")
    work = Path(folder) / "work"
    work.mkdir()
    client = nbclient.NotebookClient(
        notebook,
        timeout=None,
        allow_errors=allow_errors,
        resources={"metadata": {"path": str(work)}},
    )
    with own_configuration(folder), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of the notebook's tools
        client.execute()
    return work
