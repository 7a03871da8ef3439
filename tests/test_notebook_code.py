"""The code of a Jupyter notebook becomes a Python file, and messages name its cells."""

import json

import pytest

from charloom.diagnosis import doctor
from charloom.diagnosis.notebook_code import code_of_notebook
from charloom.diagnosis.notebook_copy import NotebookCopy
from charloom.diagnosis.sandbox_settings import CopiedFile, SandboxSettings
from charloom.errors import DoctorError
from plants import source


def notebook(path, *cells, **metadata):
    """Write a notebook with code cells to `path`, and return the path."""
    code = [
        {
            "cell_type": "code",
            "source": cell.splitlines(keepends=True),
            "metadata": {},
            "outputs": [],
        }
        for cell in cells
    ]
    text = {"cell_type": "markdown", "source": ["# not code"], "metadata": {}}
    path.write_text(json.dumps({"cells": [text, *code], "metadata": metadata}), encoding="utf-8")
    return path


def test_what_only_a_notebook_understands_becomes_comments(tmp_path):
    cells = (
        "%matplotlib inline\nimport math\nif True:\n    !pip install x",
        "files = !ls\ntime = %timeit -o 1\nmath.sin?\nx = 7 % 4",
        "%%time\ny = 1",
    )
    code = code_of_notebook(notebook(tmp_path / "a.ipynb", *cells))
    names = {}
    exec(code.text, names)
    assert (names["files"], names["time"], names["x"], names["y"]) == (None, None, 3, 1)
    assert code.left_out == ()


def test_python_that_looks_like_a_magic_stays(tmp_path):
    text = 'x = """\n%d of %d\n!\n"""'
    names = {}
    exec(code_of_notebook(notebook(tmp_path / "a.ipynb", text)).text, names)
    assert names["x"] == "\n%d of %d\n!\n"


def test_a_cell_that_is_not_python_is_left_out_and_named(tmp_path):
    code = code_of_notebook(notebook(tmp_path / "a.ipynb", "x = 1", "%%bash\nls", "x = ", "y = 2"))
    assert code.left_out == (2, 3)
    assert "without code cells 2 and 3" in code.note("a.ipynb")
    names = {}
    exec(code.text, names)
    assert (names["x"], names["y"]) == (1, 2)


def test_a_definition_with_a_syntax_error_is_kept(tmp_path):
    code = code_of_notebook(notebook(tmp_path / "a.ipynb", "x = 1", "def f(:\n    return 1"))
    assert code.left_out == ()
    line = code.text.splitlines().index("def f(:") + 1
    assert code.place(line) == "code cell 2, line 1"
    assert code.place(line + 1) == "code cell 2, line 2"
    assert code.place(1) == "line 1"
    assert code.place(10_000) == "line 10000"


def test_older_notebooks_have_worksheets(tmp_path):
    path = tmp_path / "a.ipynb"
    cell = {"cell_type": "code", "input": "x = 1", "language": "python"}
    path.write_text(json.dumps({"worksheets": [{"cells": [cell]}]}), encoding="utf-8-sig")
    assert "x = 1" in code_of_notebook(path).text


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("not json", "is not a Jupyter notebook"),
        ("[]", "is not a Jupyter notebook"),
        ('{"cells": 3}', "is not a Jupyter notebook"),
        ('{"cells": []}', "has no code cell"),
        ('{"cells": [], "metadata": {"language_info": {"name": "R"}}}', "is a notebook for R, not for Python"),
    ],
)  # fmt: skip
def test_what_is_not_a_notebook_in_python_is_refused(text, sentence, tmp_path):
    (tmp_path / "a.ipynb").write_text(text, encoding="utf-8")
    with pytest.raises(DoctorError, match=sentence):
        code_of_notebook(tmp_path / "a.ipynb")


def test_the_doctor_judges_a_notebook(tmp_path):
    (tmp_path / "helper.py").write_text("ONE = 1\n", encoding="utf-8")
    training = "n = 0\nwhile n < 10**9:\n    loss_and_gradients(p, x, y, h)\n    n += 1"
    cells = ("%pylab", "from helper import ONE", source("loop"), training, "assert ONE == 1")
    path = notebook(tmp_path / "mine.ipynb", *cells)
    diagnosis = doctor(f"{path}:loss_and_gradients")
    assert diagnosis.verdict == "right"
    assert diagnosis.notes[0].startswith("mine.ipynb was judged as if its code cells were one file")
    assert "a loop (code cell 4)" in " ".join(diagnosis.notes)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["helper.py", "mine.ipynb"]


def test_an_error_names_the_cell(tmp_path):
    path = notebook(tmp_path / "mine.ipynb", "x = 1", "def f(params, x, y, h0):\n    return 1 / 0")
    with pytest.raises(DoctorError, match=r'"mine.ipynb", code cell 2, line 2, in f'):
        doctor(f"{path}:f")


def test_the_copy_replaces_no_file_of_the_user(tmp_path):
    path = notebook(tmp_path / "mine.ipynb", "x = 1")
    (tmp_path / "code").mkdir()
    files = (CopiedFile(str(path), "mine.ipynb"), CopiedFile(str(tmp_path / "mine.py"), "mine.py"))
    copy = NotebookCopy(path, tmp_path / "code")
    settings = copy.settings(SandboxSettings(files=files))
    assert [file.target for file in settings.files] == ["mine.py", "mine_notebook.py"]
    assert (
        copy.in_notebook('File "mine_notebook.py", line 3')
        == 'File "mine.ipynb", code cell 1, line 1'
    )
