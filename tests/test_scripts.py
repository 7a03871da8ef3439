"""The scripts print help and refusals before any work, and say so if the work takes long.

They run in a copy of the tree. An executable stands in for Python, and its pip waits until the test lets it
continue.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SCRIPTS = sorted(
    path.name
    for path in (ROOT / "scripts").iterdir()
    if path.is_file() and path.name != "environment" and not path.suffix
)
WARNING = "WARNING: Location 'file:///nowhere' is ignored"
PRETENDED = f"""#!/bin/sh
case "$1 $2" in
    "-c "*) exit 0 ;;
    "-m venv") mkdir -p "$3/bin"; for name in python charloom; do cp "$0" "$3/bin/$name"; done ;;
    "-m pip") echo "{WARNING}" >&2; echo "${{STEP:-Collecting numpy}}"
        [ -z "$FAILS" ] || {{ echo "ERROR: no such package" >&2; exit 3; }}
        while [ ! -e go ]; do sleep 0.05; done ;;
    *) echo "ran $*" ;;
esac
"""
SHELLS = [shell for shell in ("sh", "dash", "bash") if shutil.which(shell)]

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the scripts are for a POSIX shell")


@pytest.fixture
def tree(tmp_path):
    """Return a copy of the files that the scripts read, with an executable that stands in for Python."""
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    (tmp_path / "cpp").mkdir()
    (tmp_path / "reliability").mkdir()
    (tmp_path / "reliability" / "kills.py").write_text('PROMISE = "…"\n')
    for name in ("pyproject.toml", "CMakeLists.txt"):
        (tmp_path / name).touch()
    (tmp_path / "pretended").write_text(PRETENDED)
    (tmp_path / "pretended").chmod(0o755)
    return tmp_path


def started(tree, name, *words, shell="sh", **environment):
    """Start a script, and return its process. Its stdout and stderr are one stream."""
    settings = {
        "PYTHON": str(tree / "pretended"),
        "SIGN_SECONDS": "0.1",
        "FAILS": "",
        **environment,
    }
    return subprocess.Popen(
        [shell, tree / "scripts" / name, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **settings},
    )


def run_script(tree, name, *words, **environment):
    """Run a script to its end, and return its exit code and its output."""
    process = started(tree, name, *words, **environment)
    text, _ = process.communicate(timeout=60)
    return process.returncode, text


@pytest.mark.parametrize("word", ["--help", "-h"])
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_shows_its_help_and_does_nothing_else(tree, name, word):
    before = sorted(tree.rglob("*"))
    code, text = run_script(tree, name, word)
    assert code == 0
    head = (tree / "scripts" / name).read_text().splitlines()[1].removeprefix("# ")
    assert text.startswith(head)
    assert "#!/bin/sh" not in text
    assert "dirname" not in text
    assert sorted(tree.rglob("*")) == before


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ("reliability --bogus", "--bogus is none of --only, --short, --minutes and --table"),
        ("reliability --only nothing", "there is no promise nothing"),
        ("reliability --only", "--only needs a value"),
        ("reliability --minutes soon", "--minutes is soon; it must be a number"),
        ("index --bogus", "--bogus is not --check"),
        ("docs --bogus", "--bogus is neither --links nor --address"),
        ("docs --links --address", "--address needs a value"),
        ("lesson --bogus", "--bogus is neither --draw nor --check"),
        ("lesson --draw --check", "it takes either --draw or --check"),
        ("audit everything", "it takes no arguments"),
        ("wheels --bogus", "--bogus is not --no-source"),
        ("screenshots nowhere", "there is no folder nowhere"),
        ("screenshots scripts cpp", "it takes one folder"),
    ],
)
def test_a_wrong_argument_is_refused_before_anything_is_done(tree, words, problem):
    before = sorted(tree.rglob("*"))
    name, *arguments = words.split()
    code, text = run_script(tree, name, *arguments)
    assert code == 2
    assert text.startswith(f"scripts/{name}: ")
    assert problem in text
    assert text.endswith(f"see: sh scripts/{name} --help\n")
    assert sorted(tree.rglob("*")) == before


def test_right_arguments_are_passed_on(tree):
    (tree / "go").touch()
    words = ["--only", "kills", "--minutes", "0.5", "--short"]
    code, text = run_script(tree, "reliability", *words)
    assert code == 0
    assert text.endswith(f"ran -m reliability {' '.join(words)}\n")


@pytest.mark.parametrize("shell", SHELLS)
def test_an_installation_announces_itself_and_the_next_step(tree, shell):
    lines = []
    with started(tree, "demo", "--epochs", "2", shell=shell) as process:
        for line in process.stdout:
            lines.append(line.rstrip("\n"))
            if line.startswith("still installing after"):
                (tree / "go").touch()  # what pip waits for: it was seen to be at work
    assert process.returncode == 0
    assert any(line.endswith(" s: Collecting numpy") for line in lines)
    assert lines[-3].startswith("done after ")
    assert lines[-2].startswith("next: the experiment")
    assert lines[-1] == "ran reproduce kjv-nt --epochs 2"
    assert not any(WARNING in line or "erminated" in line for line in lines)


@pytest.mark.parametrize(
    ("step", "shown"),
    [
        ("  Preparing editable metadata (pyproject.toml): started", "compiling the native engine"),
        (
            "  Building editable for charloom (pyproject.toml): started",
            "compiling the native engine",
        ),
        ("Installing collected packages: numpy, typer", "copying packages into .venv"),
    ],
)
def test_an_installation_names_its_steps_in_plain_words(tree, step, shown):
    lines = []
    with started(tree, "demo", STEP=step) as process:
        for line in process.stdout:
            lines.append(line.rstrip("\n"))
            if line.startswith("still installing after"):
                (tree / "go").touch()
    assert any(line.endswith(f" s: {shown}") for line in lines)


@pytest.mark.parametrize("shell", SHELLS)
def test_if_pip_fails_its_whole_output_is_shown(tree, shell):
    code, text = run_script(tree, "demo", shell=shell, FAILS="1")
    assert code == 3
    for part in (WARNING, "Collecting numpy", "ERROR: no such package", "installing failed"):
        assert part in text
    assert "ran" not in text.split()
    assert not list((tree / ".venv").glob("installed-*"))


def test_an_installed_extra_is_not_installed_again(tree):
    (tree / "go").touch()
    assert "installing" in run_script(tree, "demo")[1]
    assert run_script(tree, "demo") == (0, "ran reproduce kjv-nt\n")
