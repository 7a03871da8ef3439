"""The table of cells and every place that must know each cell, so that no place of a new cell is forgotten.

docs/adding.md (Adding a cell) lists these places, and those that no test can check.
"""

import re
from pathlib import Path
from typing import get_args

import pytest

from charloom.cell_table import CELL_NAMES, CELLS, CellName, in_table_order
from charloom.config import ONLY_WITH, Config
from charloom.diagnosis import faulty_cells
from charloom.engines import native_problem
from charloom.engines.reference import network
from charloom.hidden_units.gate_values import MEANINGS, value_names
from charloom.model import parameter_shapes

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "charloom"


def text_of(path):
    """Return the text of a file of the repository."""
    return (ROOT / path).read_text(encoding="utf-8")


def differences(native, cell):
    """Return the cells of the kernels and of the table where they differ, as (kernels, table)."""
    shape = native.Shape(cell=native.Cell[cell.name], layers=1, K=7, H=3)
    pairs = {
        "number": (native.Cell[cell.name].value, CELL_NAMES.index(cell.name)),
        "blocks": (shape.blocks, len(cell.blocks)),
        "states": (shape.states, len(cell.states)),
        "arrays": (shape.arrays, len(cell.shapes(3, 7)) + 2),
    }
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


@pytest.fixture
def native():
    if native_problem() is not None:
        pytest.skip(f"{native_problem()}")
    from charloom import _native

    return _native


def test_the_kernels_have_the_cells_of_the_table(native):
    assert tuple(native.Cell.__members__) == CELL_NAMES
    assert {cell.name: differences(native, cell) for cell in CELLS.values()} == {
        name: {} for name in CELL_NAMES
    }


def test_a_difference_between_the_kernels_and_the_table_is_noticed(native):
    from dataclasses import replace

    assert "blocks" in differences(native, replace(CELLS["lstm"], gates="ifo"))
    assert "states" in differences(native, replace(CELLS["gru"], states=("h", "cell")))
    assert "arrays" in differences(native, replace(CELLS["gru"], second_bias=""))


def test_the_names_of_the_table_are_those_of_the_type():
    assert get_args(CellName) == CELL_NAMES


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELL_NAMES)
def test_the_gates_of_a_cell_have_one_letter_each(cell):
    assert len(set(cell.blocks)) == len(cell.blocks)
    assert set(cell.sigmoid_gates) <= set(cell.gates)
    assert cell.second_bias in ("", *cell.gates)
    assert in_table_order(cell.blocks[::-1]) == cell.blocks


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELL_NAMES)
def test_the_blocks_of_a_cell_share_its_rows(cell):
    shapes = cell.shapes(5, 7)
    rows = [row for gate in cell.blocks for row in range(100)[cell.rows(gate, 5)]]
    assert rows == list(range(shapes["b"][0]))
    assert shapes["U"] == (len(rows), 7)
    assert shapes["W"] == (len(rows), 5)
    assert shapes.get("d", (5,)) == (5,)


def test_the_parameters_of_pytorch_fit_the_table():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    for cell in CELLS.values():
        module = getattr(torch.nn, cell.torch_class)(7, 5)
        assert tuple(module.weight_ih_l0.shape) == cell.shapes(5, 7)["U"]
        assert tuple(module.weight_hh_l0.shape) == cell.shapes(5, 7)["W"]


def test_a_file_of_pytorch_shows_its_cell_by_the_number_of_rows():
    assert len({len(cell.blocks) for cell in CELLS.values()}) == len(CELLS)


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_a_model_has_the_parameters_of_its_cell(cell):
    shapes = parameter_shapes(Config(cell=cell, hidden_size=5, layers=2), 7)
    of_layers = [CELLS[cell].shapes(5, 7), CELLS[cell].shapes(5, 5)]
    expected = {f"layers.{n}.{k}": s for n, layer in enumerate(of_layers) for k, s in layer.items()}
    assert shapes == {**expected, "V": (7, 5), "c": (7,)}


def test_the_reference_engine_has_a_class_for_each_cell():
    assert tuple(network.CELL_CLASSES) == CELL_NAMES


def test_an_engine_without_a_cell_of_the_table_refuses_it_by_name(native, monkeypatch):
    from charloom.engines.native import NativeEngine
    from charloom.errors import EngineError

    class NoKernels:
        __members__ = ("rnn", "lstm")

    monkeypatch.setattr("charloom.engines.native_arguments._native.Cell", NoKernels)
    with pytest.raises(EngineError, match=r"no kernels for the cell gru\. Use .*reference"):
        NativeEngine().require(Config(cell="gru"))
    NativeEngine().require(Config(cell="lstm"))


def test_the_torch_engine_without_a_cell_of_the_table_refuses_it_by_name(monkeypatch):
    pytest.importorskip("torch", reason="PyTorch is not installed")
    from charloom.engines import open_engine
    from charloom.engines.torch.layers import STEPS
    from charloom.errors import EngineError

    monkeypatch.delitem(STEPS, "gru")
    with pytest.raises(EngineError, match="does not compute the cell gru"):
        open_engine("torch").require(Config(cell="gru"))


def test_the_kernels_have_a_step_for_each_cell():
    found = re.findall(r"struct CellStep<Cell::(\w+), T>", text_of("cpp/cells.hpp"))
    assert tuple(found) == CELL_NAMES


def test_the_page_of_an_exported_model_has_a_layer_for_each_cell():
    (layers,) = re.findall(
        r"const LAYERS = \{([^}]*)\}", text_of("src/charloom/export_html/page/cells.js")
    )
    assert tuple(re.findall(r"(\w+):", layers)) == CELL_NAMES


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_the_doctor_computes_each_cell(cell):
    assert callable(getattr(faulty_cells, f"{cell}_step"))
    assert callable(getattr(faulty_cells, f"{cell}_back"))


def test_every_value_of_a_unit_is_described_on_every_face():
    whats = {what for name in CELL_NAMES for what in value_names(name)}
    assert set(MEANINGS) == whats
    (names,) = re.findall(
        r"const names = \{([^}]*)\}", text_of("src/charloom/web/static/inside.js")
    )
    assert set(re.findall(r"(\w+):", names)) == whats


def test_settings_for_some_cells_name_only_existing_cells():
    assert {
        cell for name, values in ONLY_WITH.values() if name == "cell" for cell in values
    } <= set(CELL_NAMES)


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_a_cell_has_templates_of_the_doctor_and_equations_in_single_numbers(cell):
    ending = "" if cell == "rnn" else f"_{cell}"
    for kind in ("numpy", "torch"):
        assert (SOURCE / "diagnosis" / "templates" / f"{kind}{ending}.txt").is_file()
    for path in ("tests/oracle.py", "tests/golden/make_torch_gradients.py"):
        assert cell in text_of(path).lower()


# Source that names a cell, in a comparison or as the key of a table.
NAMED = re.compile(
    r'cell\w* (==|!=) "(rnn|lstm|gru)"|\{"(rnn|lstm|gru)": |\("rnn", "lstm"|cell, .*\) == \("(rnn|lstm|gru)"'
)
COUNTED = re.compile(
    r"\b(G|gates|len\(gates\)) [=!]= [1-9]"
)  # a cell told by how many gates it has


def branching(pattern):
    """Return the files of the package, except the table of cells, with a line that matches `pattern`."""
    return {
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*.py")
        if pattern.search(path.read_text(encoding="utf-8")) and path.name != "cell_table.py"
    }


def test_the_list_of_places_names_every_file_that_branches_on_the_cell():
    listed = (
        text_of("docs/adding.md")
        .partition("## Adding a cell")[2]
        .partition("## Adding an optimizer")[0]
    )
    aliases = {
        "report/prose.py": "`prose.py`",
        "diagnosis/template_files.py": "diagnosis/templates/",
    }
    assert {p for p in branching(NAMED) if aliases.get(p, p) not in listed} == set()


def test_no_file_distinguishes_cells_by_their_number_of_gates():
    assert branching(COUNTED) == set()


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        (NAMED, 'if config.cell == "gru":'),
        (NAMED, 'CLASSES = {"rnn": RnnCell, "lstm": LstmCell}'),
        (NAMED, 'ALL = ("rnn", "lstm", "gru")'),
        (NAMED, 'alone = (config.cell, config.layers) == ("rnn", 1)'),
        (COUNTED, "if G == 4:"),
        (COUNTED, "if len(gates) != 3:"),
    ],
)
def test_a_line_that_branches_on_the_cell_is_seen(pattern, line):
    assert pattern.search(line)
