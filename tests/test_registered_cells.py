"""Cells that users register: the table, the files that are run, and what refuses a cell that is not there."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import charloom
from charloom.config import Config
from charloom.engines import open_engine
from charloom.errors import (
    ConfigError,
    DamagedError,
    EngineError,
    MissingPartError,
    NotAModelError,
    UnregisteredCellError,
)
from charloom.messages import for_command_line, for_page
from charloom.model import new_learner, parameter_shapes
from charloom.registered_cells import (
    CELL_FILES,
    RegisteredCell,
    add_cell,
    add_cell_file,
    cell_named,
    cell_names,
    remove_cell,
)
from charloom.store.model_file import model_blocks
from charloom.text import Vocabulary

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "examples" / "mingru.py"


class Shapes:
    """A definition that only has parameters, for tests that compute nothing."""

    def parameters(self, input_size, hidden_size):
        return {
            "weight_ih": (2 * hidden_size, input_size),
            "weight_hh": (hidden_size, hidden_size),
            "bias": (hidden_size,),
        }

    def initial_values(self, input_size, hidden_size):
        return {"bias": 1.5}


@pytest.fixture
def registered():
    """Put a cell without code for its steps into the table, and remove it at the end."""
    add_cell(RegisteredCell("shapes", "a network of shapes", Shapes()))
    yield "shapes"
    remove_cell("shapes")


@pytest.fixture
def no_files(monkeypatch):
    monkeypatch.delenv(CELL_FILES, raising=False)


def test_a_registered_cell_is_in_the_table_with_its_parameters(registered):
    assert cell_names() == ("rnn", "lstm", "gru", registered)
    config = Config(cell=registered, hidden_size=5, layers=2, engine="torch")
    assert parameter_shapes(config, 7) == {
        "layers.0.weight_ih": (10, 7),
        "layers.0.weight_hh": (5, 5),
        "layers.0.bias": (5,),
        "layers.1.weight_ih": (10, 5),
        "layers.1.weight_hh": (5, 5),
        "layers.1.bias": (5,),
        "V": (7, 5),
        "c": (7,),
    }


def test_initial_values_follow_the_setting_and_the_cell(registered):
    config = Config(cell=registered, hidden_size=5, init="orthogonal")
    parameters = new_learner(config, Vocabulary("abcdefg")).parameters
    W = parameters["layers.0.weight_hh"]
    np.testing.assert_allclose(W @ W.T, np.eye(5), atol=1e-6)
    assert (parameters["layers.0.bias"] == np.float32(1.5)).all()
    assert np.abs(parameters["layers.0.weight_ih"]).max() <= 1 / np.sqrt(5)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"bias": float("nan")}, "has for bias neither a finite number nor an array"),
        ({"bias": [1.0, 2.0]}, r"of the shape \(5,\)"),
        ({"gain": 1.0}, "has gain, which parameters does not have"),
        (3, "returned int; parameters and initial_values must return a dict"),
    ],
)
def test_wrong_initial_values_are_refused(registered, monkeypatch, values, message):
    monkeypatch.setattr(Shapes, "initial_values", lambda *_: values)
    with pytest.raises(ConfigError, match=message):
        new_learner(Config(cell=registered, hidden_size=5), Vocabulary("ab"))


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"a.b": (3,)}, "has the name 'a.b'; a name must be letters"),
        ({"w": (3, 0)}, "one or two whole numbers from 1"),
        ({"w": (3, 2, 1)}, "one or two whole numbers from 1"),
        ({"w": (3.0,)}, "one or two whole numbers from 1"),
        ([("w", (3,))], "returned list"),
    ],
)
def test_wrong_parameters_are_refused(registered, monkeypatch, shapes, message):
    monkeypatch.setattr(Shapes, "parameters", lambda *_: shapes)
    with pytest.raises(ConfigError, match=message):
        parameter_shapes(Config(cell=registered), 7)


def test_an_error_in_parameters_names_the_line_of_the_user(registered, monkeypatch):
    def failing(self, input_size, hidden_size):
        raise KeyError("gain")

    monkeypatch.setattr(Shapes, "parameters", failing)
    with pytest.raises(
        ConfigError,
        match=r"parameters of the cell shapes raised KeyError \(test_registered_cells.py, line \d+\): 'gain'",
    ):
        parameter_shapes(Config(cell=registered), 7)


@pytest.mark.parametrize("name", ["", "MinGRU", "9gru", "a b", "a" * 33, 3, None])
def test_a_name_that_is_not_allowed_is_refused(name):
    with pytest.raises(ConfigError, match="it must be at most 32 lower-case letters"):
        charloom.register_cell(name)


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru"])
def test_a_built_in_cell_cannot_be_replaced(name):
    with pytest.raises(ConfigError, match=f"the cell {name} is built in"):
        charloom.register_cell(name)


@pytest.mark.parametrize("engine", ["native", "reference"])
def test_the_other_engines_refuse_a_registered_cell(registered, engine):
    with pytest.raises(EngineError, match="runs only on the engine torch") as caught:
        open_engine(engine, cell=registered)
    assert for_command_line(caught.value.message).endswith("Use --engine torch.")


@pytest.mark.parametrize("cell", ["native", "reference"])
def test_an_opened_engine_refuses_a_learner_with_a_registered_cell(registered, cell):
    try:
        engine = open_engine(cell)
    except MissingPartError:
        pytest.skip("the native engine cannot run here")
    learner = new_learner(Config(cell=registered, hidden_size=3), Vocabulary("ab"))
    with pytest.raises(EngineError, match="runs only on the engine torch"):
        engine.require(learner.config)
    with pytest.raises(EngineError, match="runs only on the engine torch"):
        engine.step(learner, np.zeros(1, np.uint8), learner.state)


def test_pairs_need_a_built_in_cell(registered):
    with pytest.raises(ConfigError, match="input_pairs is 5, but the registered cell shapes"):
        Config(cell=registered, input_pairs=5)


def test_an_unknown_cell_names_the_cells_and_how_to_register_one(no_files):
    with pytest.raises(ConfigError) as caught:
        Config(cell="mingru")
    assert str(caught.value) == (
        "cell is 'mingru'; it must be one of rnn, lstm, gru, or a cell that you register. Call charloom.register_cell with "
        "its definition first, or set the environment variable CHARLOOM_CELL_FILE to the Python file that does."
    )
    for words in (for_command_line, for_page):
        assert "with --cell-file FILE.py or in the environment" in words(caught.value.message)


@pytest.mark.parametrize("cell", [3, None, "LSTM", "a b"])
def test_a_value_that_names_no_cell_is_refused_shortly(no_files, cell):
    with pytest.raises(ConfigError) as caught:
        Config(cell=cell)
    assert str(caught.value).endswith("it must be one of rnn, lstm, gru.")


def saved(tmp_path, registered):
    """Save a model with the registered cell, and return its path."""
    path = tmp_path / "own.safetensors"
    learner = new_learner(Config(cell=registered, hidden_size=3), Vocabulary("ab"))
    path.write_bytes(b"".join(model_blocks(learner)))
    return path


def test_a_model_whose_cell_is_not_registered_says_so(tmp_path, registered, no_files):
    path = saved(tmp_path, registered)
    remove_cell(registered)
    with pytest.raises(UnregisteredCellError) as caught:
        charloom.load(path)
    assert not isinstance(caught.value, DamagedError | NotAModelError)
    assert f'{path}: the model names the cell "shapes", which is not registered. Call' in str(
        caught.value
    )


def test_a_model_whose_cell_has_other_parameters_now_is_refused(tmp_path, registered, monkeypatch):
    pytest.importorskip("torch")
    path = saved(tmp_path, registered)
    monkeypatch.setattr(Shapes, "parameters", lambda *_: {"bias": (4,)})
    with pytest.raises(DamagedError, match=r"weight_ih|bias"):
        charloom.load(path)


def test_a_model_file_holds_the_name_of_its_cell_and_no_code(tmp_path, registered):
    data = saved(tmp_path, registered).read_bytes()
    assert b'\\"cell\\":\\"shapes\\"' in data
    for word in (b"def ", b"import", b"weight_ih\\", b"test_registered_cells"):
        assert word not in data


def test_a_file_registers_its_cells_when_a_cell_is_first_needed(tmp_path, no_files, monkeypatch):
    file = written(tmp_path, registering("lazy"))
    monkeypatch.setenv(CELL_FILES, str(file))
    assert "lazy" not in cell_names()
    try:
        assert Config(cell="lazy").cell == "lazy"
        assert cell_named("lazy").title == "a lazy one"
    finally:
        remove_cell("lazy")


def test_a_named_file_is_inherited_by_child_processes(tmp_path, no_files, monkeypatch):
    monkeypatch.setenv(CELL_FILES, "")
    file = written(tmp_path, registering("inherited"))
    try:
        add_cell_file(file)
        assert os.environ[CELL_FILES] == str(file)
        code = "from charloom.config import Config; print(Config(cell='inherited').cell)"
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True
        )
        assert done.stdout == "inherited\n"
    finally:
        remove_cell("inherited")


def registering(name):
    """Return the source of a file that puts a cell into the table without checking it."""
    return (
        "from charloom.registered_cells import RegisteredCell, add_cell\n"
        f"add_cell(RegisteredCell({name!r}, 'a {name} one', object()))\n"
    )


def written(folder, source, name="own.py"):
    """Write a file of cells, and return its path."""
    path = folder / name
    path.write_text(source, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = 1\n", "registers no cell; it must call charloom.register_cell"),
        ("x = 1\n1 / 0\n", "failed, line 2: ZeroDivisionError: division by zero"),
        ("x = (\n", "failed, line 1: SyntaxError"),
        ("import charloom\ncharloom.register_cell('lstm')\n", "own.py: the cell lstm is built in"),
        ("import no_such_module_\n", "failed, line 1: ModuleNotFoundError"),
    ],
)
def test_a_file_that_fails_is_reported_with_its_line(tmp_path, monkeypatch, source, message):
    monkeypatch.setenv(CELL_FILES, "")
    with pytest.raises(ConfigError, match=message):
        add_cell_file(written(tmp_path, source))


@pytest.mark.parametrize("name", ["missing.py", "own.txt", "."])
def test_a_path_that_is_not_a_python_file_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.setenv(CELL_FILES, "")
    written(tmp_path, "x = 1\n", "own.txt")
    with pytest.raises(ConfigError, match="is not a Python file; give a file that exists"):
        add_cell_file(tmp_path / name)


def test_the_table_of_cells_needs_no_pytorch(tmp_path):
    shutil.copy(EXAMPLE, tmp_path)
    code = "import sys; from charloom.registered_cells import cell_names; from charloom.config import Config; Config(); print('torch' in sys.modules)"
    env = {**os.environ, CELL_FILES: str(tmp_path / "mingru.py")}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, encoding="utf-8", env=env, check=True
    )
    assert done.stdout == "False\n"
