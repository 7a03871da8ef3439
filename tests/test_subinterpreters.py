"""In a subinterpreter the reference engine works if NumPy does, and the native engine is refused."""

import subprocess
import sys
from importlib.util import find_spec

import pytest

from charloom.engines import native_problem

MODULE = next((m for m in ("_interpreters", "_xxsubinterpreters") if find_spec(m)), None)
if MODULE is None:
    pytest.skip("this Python has no module for subinterpreters", allow_module_level=True)

# Warnings are ignored, for NumPy may warn; where it refuses, the code ends before anything is done.
PROGRAM = """
import {module} as interpreters
{before}
run = getattr(interpreters, "run_string", None) or interpreters.exec
run(interpreters.create(), '''
try:
    import numpy
except ImportError:
    print("NumPy refuses")
else:
{code}
''')
"""


def output_of(code: str, before: str = "") -> str:
    """Return the output of `code` in a subinterpreter."""
    indented = "".join(f"    {line}\n" for line in code.strip().splitlines())
    program = PROGRAM.format(module=MODULE, before=before, code=indented)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    if done.stdout == "NumPy refuses\n":
        pytest.skip("NumPy cannot be imported in a subinterpreter of this Python")
    return done.stdout


@pytest.mark.skipif(native_problem() is not None, reason=f"{native_problem()}")
@pytest.mark.parametrize("before", ["", "import charloom._native"])
def test_the_native_engine_refuses_a_subinterpreter(before):
    code = """
from charloom.engines import native_problem, open_engine
from charloom.errors import MissingPartError
print(native_problem())
try:
    open_engine("native")
except MissingPartError as error:
    print(error)
"""
    problem, error = output_of(code, before).splitlines()
    assert problem.startswith("the native engine cannot be loaded: ")
    assert "subinterpreter" in problem
    assert error.startswith(problem)
    assert 'Use engine="reference"' in error


def test_a_model_is_trained_and_writes_in_a_subinterpreter():
    code = """
import charloom
model = charloom.train(string="hello world " * 1000, hidden_size=8, updates=5)
print(model.engine.name, len(model.sample(length=20)))
"""
    assert output_of(code) == "reference 20\n"
