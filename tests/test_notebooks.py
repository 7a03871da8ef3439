"""The notebooks in docs/notebooks/ run, and their stored outputs are those of a run, small and without errors."""

import copy
import re
from pathlib import Path

import pytest

from notebooks import run_notebook
from pages import Page
from test_notebook_html import harms

nbformat = pytest.importorskip("nbformat", reason="nbclient and ipykernel are not installed")

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
LARGEST = 300_000  # bytes of a notebook
LINK = re.compile(r"\]\(([^)#:]+)\)")


def read(path):
    return nbformat.read(path, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def kinds_of_outputs(notebook):
    """Return for each code cell the kinds of its outputs, and the forms in which a notebook can show each."""
    return [
        [(one.output_type, sorted(one.get("data", {}))) for one in cell.outputs]
        for cell in code_cells(notebook)
    ]


def problems(notebook):
    """Return a sentence for each stored output that no reader should see, and for each cell that was not run."""
    found = []
    for number, cell in enumerate(code_cells(notebook), start=1):
        if cell.execution_count != number:
            found.append(f"cell {number} has the number {cell.execution_count}")
        for one in cell.outputs:
            if one.output_type == "error" or one.get("name") == "stderr":
                found.append(f"cell {number} has an error or a warning")
            html = "".join(one.get("data", {}).get("text/html", ""))
            found += [f"cell {number}: {harm}" for harm in harms(html)]
    text = nbformat.writes(notebook)
    found += [f"the path {path}" for path in re.findall(r"(?:/home|/root|/tmp|/work)/\w+", text)]
    return found


def test_there_are_four_notebooks_and_readme_links_them():
    assert [path.stem for path in NOTEBOOKS] == [
        "classic_experiment", "inside_a_network", "is_my_gradient_right", "your_own_text"
    ]  # fmt: skip
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for path in NOTEBOOKS:
        assert f"(docs/notebooks/{path.name})" in readme


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_short_and_its_outputs_are_those_of_one_run(path):
    notebook = read(path)
    nbformat.validate(notebook)
    assert 10 <= len(notebook.cells) <= 20
    assert notebook.cells[0].source.startswith("# ")
    assert path.stat().st_size < LARGEST
    assert problems(notebook) == []
    for cell in notebook.cells:
        for link in LINK.findall(cell.source):
            assert (FOLDER / link).is_file(), link


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, tmp_path):
    """This takes more than two seconds, because it starts a kernel and trains."""
    stored = read(path)
    notebook = copy.deepcopy(stored)
    run_notebook(notebook, tmp_path)
    assert kinds_of_outputs(notebook) == kinds_of_outputs(stored)
    words = "".join(
        Page(one.data["text/html"]).words
        for cell in code_cells(notebook)
        for one in cell.outputs
        if "text/html" in one.get("data", {})
    )
    for sentence in EXPECTED[path.stem]:
        assert sentence in words


# What the texts of the notebooks rely on.
EXPECTED = {
    "classic_experiment": ["The gradient is right", "Finished: update 20,000 of 20,000"],
    "inside_a_network": ["in-quotes", "z (update gate)", "bits per character"],
    "is_my_gradient_right": ["time-carry-missing", "charloom doctor: corrected is right"],
    "your_own_text": ["Model: a GRU with 48 hidden units", "xz after the training part"],
}


def test_the_stored_outputs_of_your_own_text_are_what_its_sentences_say():
    """The model has fewer bits than the n-grams alone, xz has the fewest, and the text begins with the prompt."""
    outputs = [
        one for cell in code_cells(read(FOLDER / "your_own_text.ipynb")) for one in cell.outputs
    ]
    shown = "".join(one.get("data", {}).get("text/plain", "") for one in outputs)
    model = float(re.search(r"Evaluation\(.* bits=([\d.]+)", shown)[1])
    ngrams = re.search(r"ngrams={(.*?)}", shown)[1]
    xz = float(re.search(r"'xz': Compressed\(bits=([\d.]+)", shown)[1])
    assert xz < model < min(float(bits) for bits in re.findall(r": ([\d.]+)", ngrams))
    assert any(one.get("text", "").startswith("The ") for one in outputs)


def test_a_planted_error_in_a_cell_is_found(tmp_path):
    from nbclient.exceptions import CellExecutionError

    notebook = read(FOLDER / "is_my_gradient_right.ipynb")
    notebook.cells = [nbformat.v4.new_code_cell("import charloom\ncharloom.doctor(corrected)")]
    with pytest.raises(CellExecutionError, match="corrected"):
        run_notebook(notebook, tmp_path)


def test_planted_problems_of_stored_outputs_are_found():
    notebook = read(FOLDER / "your_own_text.ipynb")
    first, second = code_cells(notebook)[:2]
    second.execution_count = 7
    first.outputs = [
        nbformat.v4.new_output("stream", name="stderr", text="/home/ada/charloom warns"),
        nbformat.v4.new_output("display_data", data={"text/html": "<script></script>"}),
    ]
    assert problems(notebook) == [
        "cell 1 has an error or a warning",
        "cell 1: an element script",
        "cell 2 has the number 7",
        "the path /home/ada",
    ]
