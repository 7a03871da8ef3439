"""The stub of the compiled module: it agrees with what was built, and mypy reads it."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import charloom
from charloom.engines import native_problem

if native_problem() is not None:
    pytest.skip(f"{native_problem()}", allow_module_level=True)

from charloom import _native

STUB = Path(charloom.__file__).parent / "_native.pyi"


def stub_signatures(source: str) -> dict[str, list[str] | None]:
    """Return the parameters of each function and method; None for a property or a member of an enum.

    A class also has the members of its bases in the stub. A class with @type_check_only is not in
    the built module, so it is left out.
    """
    found: dict[str, list[str] | None] = {}
    members: dict[str, dict[str, list[str] | None]] = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef):
            found[node.name] = parameters(ast.unparse(node))
        elif isinstance(node, ast.ClassDef):
            bases = (ast.unparse(base).partition("[")[0] for base in node.bases)
            inherited = [members.get(base, {}) for base in bases]
            members[node.name] = {k: v for base in inherited for k, v in base.items()}
            members[node.name] |= members_of(node)
            if "type_check_only" not in map(ast.unparse, node.decorator_list):
                found |= {f"{node.name}.{name}": p for name, p in members[node.name].items()}
    return found


def members_of(node: ast.ClassDef) -> dict[str, list[str] | None]:
    """Return what `stub_signatures` returns, for one class without its bases."""
    found: dict[str, list[str] | None] = {}
    for member in node.body:
        if isinstance(member, ast.FunctionDef):
            field = any(ast.unparse(d) == "property" for d in member.decorator_list)
            found[member.name] = None if field else parameters(ast.unparse(member))
        elif isinstance(member, ast.Assign):
            found[ast.unparse(member.targets[0])] = None
    return found


def built_signatures() -> dict[str, list[str] | None]:
    """Return the parameters of each function and class of the built module, from nanobind's signatures."""
    found: dict[str, list[str] | None] = {}
    for name, value in vars(_native).items():
        if name.startswith("__"):
            continue
        if not isinstance(value, type):
            found[name] = parameters(value.__nb_signature__[0][0])
        elif name in ("Cell", "Rule"):
            found |= dict.fromkeys((f"{name}.{member}" for member in value.__members__), None)
        else:
            found |= {
                f"{name}.{key}": built_parameters(member)
                for key, member in vars(value).items()
                if not key.startswith("__") or (key == "__init__" and is_bound(member))
            }
    return found


def is_bound(member: object) -> bool:
    return hasattr(member, "__nb_signature__")


def built_parameters(member: object) -> list[str] | None:
    if not is_bound(member):
        return None
    return parameters(member.__nb_signature__[0][0])


def parameters(text: str) -> list[str]:
    """Return the names of a signature's parameters in order, with `*` before keyword-only ones."""
    inside = text[text.index("(") + 1 : text.rindex(")") if "->" not in text else text.rindex("->")]
    flat = re.sub(r"\\\d+|\"[^\"]*\"", "X", inside).rstrip(") ")
    while "[" in flat:
        flat = re.sub(r"\[[^\[\]]*\]", "", flat)
    return [part.split(":")[0].strip() for part in flat.split(",") if part.strip()]


def test_the_stub_has_the_names_and_parameters_of_the_built_module():
    assert stub_signatures(STUB.read_text("utf-8")) == built_signatures()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("beta2: float,", "beta_2: float,"),
        ("def clip(self)", "def clipping(self)"),
        ("lstm = 1", "elman = 1"),
        ("        *,\n        shape: Shape,", "        shape: Shape,"),
        ("def instruction_sets()", "def instruction_sets(all)"),
        ("class Kernels64(_Kernels[np.float64])", "class Kernels64"),
        ("class Kernels32(_Kernels[np.float32])", "class Kernels16(_Kernels[np.float32])"),
        ("@type_check_only\n", ""),
        ("def apply(self, function: str,", "def apply(self, name: str,"),
    ],
)
def test_a_stub_that_differs_is_noticed(old, new):
    source = STUB.read_text("utf-8")
    assert old in source
    assert stub_signatures(source.replace(old, new)) != built_signatures()


SNIPPET = """
import numpy as np
from numpy.typing import NDArray
from charloom import _native
_native.Shape(cell=_native.Cell.lstm, layers=1, K=2, H=3)
_native.Shape(cell=_native.Cell.lstm, layers=1, K=2, Hidden=3)
_native.Cell.elman

def seen(result: _native.TrainResult, kernels: _native.Kernels32, shape: _native.Shape) -> None:
    result.loss
    result.los
    shape.H = 4
    kernels.step(shape=shape, weights=(), state=(), id=1, logits=2)

def applied(single: NDArray[np.float32], double: NDArray[np.float64]) -> None:
    _native.Kernels32("v2").apply("exp", single, single)
    _native.Kernels32("v2").apply("exp", single, double)
    _native.Kernels64("v2").apply("exp", double, double)
    _native.Kernels64("v2").apply("exp", single, double)
"""


def test_a_misspelt_field_fails_strict_mypy(tmp_path):
    # Takes more than two seconds the first time: mypy reads NumPy's stubs. Its cache is kept.
    pytest.importorskip("mypy")
    cache = Path(__file__).parent.parent / ".mypy_cache" / "snippet"
    snippet = tmp_path / "snippet.py"
    snippet.write_text(SNIPPET, encoding="utf-8")
    package = STUB.parent.parent
    found = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={cache}",
         "--follow-imports=silent", str(snippet)],
        cwd=tmp_path,
        env={"MYPYPATH": str(package), "PATH": ""},
        capture_output=True,
        text=True,
    )  # fmt: skip
    lines = {int(line) for line in re.findall(r"snippet\.py:(\d+): error", found.stdout)}
    assert lines == {6, 7, 11, 12, 13, 17, 19}, found.stdout + found.stderr
    for name in ("Hidden", "elman", "los", '"H"', '"id"'):
        assert name in found.stdout
