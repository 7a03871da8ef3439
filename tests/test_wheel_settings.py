"""Where no compiler works, the settings of the build give a wheel without the native engine."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = ["pyproject.toml", "CMakeLists.txt", "README.md", "LICENSE"]


def test_the_wheel_without_a_compiler_is_for_every_python_3():
    """scikit-build-core refuses a wheel without a compiled module that names a version such as cp312."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    build = settings["tool"]["scikit-build"]
    assert build["wheel"]["py-api"].startswith("cp")
    (fallback,) = [row for row in build["overrides"] if row["if"].get("failed")]
    assert fallback["wheel"] == {"cmake": False, "py-api": "py3"}


def test_a_failing_compiler_gives_a_wheel_that_installs_everywhere(tmp_path):
    """Builds a wheel with a compiler that fails. Takes some seconds."""
    pytest.importorskip("scikit_build_core", reason="scikit-build-core is not installed")
    for name in [*FILES, "cpp", "src"]:
        (tmp_path / name).symlink_to(ROOT / name)
    code = "from scikit_build_core.build import build_wheel; print(build_wheel('wheels'))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"CC": "/bin/false", "CXX": "/bin/false", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1].endswith("-py3-none-any.whl")
