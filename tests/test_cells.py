"""Every table that tells cells apart knows every cell: which places a new cell must come into.

docs/adding.md (Adding a cell) lists these, and the places that no table holds.
"""

import re
from pathlib import Path
from typing import get_args

import pytest

from charloom import pytorch_format
from charloom.bench import pytorch
from charloom.config import CELLS, ONLY_WITH
from charloom.diagnosis import examine, faulty_network, pytorch_module
from charloom.engines.reference import network
from charloom.hidden_units.gate_values import GATE_NAMES, MEANINGS, WHATS
from charloom.model import parameters
from charloom.report import sections
from charloom.web import schemas

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "charloom"


def text_of(path):
    """A file of the repository."""
    return (ROOT / path).read_text(encoding="utf-8")


def of_the_kernels():
    """The cells of the native engine, in its order."""
    (listed,) = re.findall(r"enum class Cell : int \{ ([^}]*) \}", text_of("cpp/kernels.hpp"))
    return listed.split(", ")


def asked_for():
    """The cells that a field of the contract names."""
    (listed,) = re.findall(r"cell: Literal\[([^\]]*)\]", text_of("src/charloom/web/schemas.py"))
    return re.findall(r'"(\w+)"', listed)


TABLES = {
    "gates of the parameters": parameters.GATES,
    "states of the parameters": parameters.STATES,
    "gates of neurons": GATE_NAMES,
    "classes of the exchange": pytorch_format.CLASSES,
    "modules of bench": pytorch.MODULES,
    "words of the report": sections.CELLS,
    "requests of the page": asked_for(),
    "cells of the doctor": examine.CELLS,
    "gates of the doctor": faulty_network.GATES,
    "modules of the doctor": pytorch_module.CELLS.values(),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_knows_every_cell(name):
    assert set(TABLES[name]) == set(CELLS)


def test_the_kernels_know_cells_by_their_place():
    assert of_the_kernels() == list(CELLS)


def test_cells_can_be_told_by_their_number_of_gates():
    counts = {cell: parameters.GATES[cell] for cell in CELLS}
    assert len(set(counts.values())) == len(counts)
    assert set(network.CELLS) == set(counts.values())
    for cell, count in counts.items():
        assert len(GATE_NAMES[cell] or "a") == len(faulty_network.GATES[cell]) == count


def test_every_value_of_a_unit_has_words_everywhere():
    whats = {what for cell in CELLS for what in WHATS[cell]}
    assert set(MEANINGS) == set(get_args(schemas.What)) == whats
    (names,) = re.findall(
        r"const names = \{([^}]*)\}", text_of("src/charloom/web/static/inside.js")
    )
    assert set(re.findall(r"(\w+):", names)) == whats


def test_settings_of_some_cells_name_cells_that_there_are():
    assert {
        cell for name, values in ONLY_WITH.values() if name == "cell" for cell in values
    } <= set(CELLS)


@pytest.mark.parametrize("cell", CELLS)
def test_a_cell_has_templates_of_the_doctor_and_equations_in_single_numbers(cell):
    ending = "" if cell == "rnn" else f"_{cell}"
    for kind in ("numpy", "torch"):
        assert (SOURCE / "diagnosis" / "templates" / f"{kind}{ending}.txt").is_file()
    for path in ("tests/oracle.py", "tests/golden/make_torch_gradients.py"):
        assert cell in text_of(path).lower()


def test_the_list_of_places_names_every_file_that_tells_cells_apart():
    """A file that branches on the name of a cell must stand in the list of docs/adding.md."""
    told = (
        text_of("docs/adding.md")
        .partition("## Adding a cell")[2]
        .partition("## Adding an optimizer")[0]
    )
    pattern = re.compile(r'(cell|\.cell) (==|!=) "(rnn|lstm|gru)"|\{"rnn": |\("rnn", "lstm"')
    telling = {
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*.py")
        if pattern.search(path.read_text(encoding="utf-8"))
    }
    aliases = {
        "report/prose.py": "`prose.py`",
        "diagnosis/template_files.py": "diagnosis/templates/",
    }
    assert {path for path in telling if aliases.get(path, path) not in told} == set()
