"""charloom keeps to itself: no network unless it was asked for, and no file but in the run directory.

Every command is run in a process that watches itself: each connection, each name that is looked up and
each file that is opened to be written is noted by an audit hook. What is written must lie in the run, or
be the one file that was asked for; a text of more than 64 MiB has its ids in the cache folder, which is
documented. Permissions are those that the user's umask gives. matplotlib, which draws the report, keeps
its list of fonts in the folders of its own; that is let be.
"""

import ast
import json
import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

from reliability import LONG, Figures

NUMBER = 14
PROMISE = (
    "No command touches the network, writes a file outside the run directory (or the file that was asked "
    "for), or gives a file other permissions than the user's umask does."
)

ROOT = Path(__file__).parent.parent
TEXT = "the cat sat on the mat, and the hat sat on the cat.\n" * 30
# Modules that talk to others; whoever imports one below `src` must be allowed to.
TALKERS = {"socket", "ssl", "http", "urllib", "ftplib", "smtplib", "requests", "httpx", "asyncio"}
ALLOWED_TALKERS: frozenset[str] = frozenset({"web"})  # the page, which a user asks for
UMASKS = (0o022, 0o077, 0o002)

SHORTER = {"train", "resume", "control", "sample", "export"}  # what the test suite runs
COMMANDS = (
    "train book.txt --run runs/a --recipe classic --hidden-size 4 --seq-length 5 --updates 20 "
    "--report-every 5 --validation 0.2",
    "resume runs/a --updates 30",
    "reproduce book.txt --run runs/b --hidden-size 4 --seq-length 5 --updates 20 --engine reference",
    "report runs/a",
    "control runs/a pause",
    "sample runs/a --length 20",
    "evaluate runs/a --baselines",
    "score runs/a --text cat",
    "export runs/a --to torch --output asked/book.safetensors",
    "import asked/book.safetensors --output asked/again.safetensors",
    "train book.txt --run runs/c --from runs/a --updates 5",
    "gradcheck --hidden-size 3 --seq-length 3",
    "corpora",
    "recipes",
    "info",
    "train nowhere.txt",
)


def check(scale: str) -> Figures:
    """Look at the source for what talks, then run every command and note what it touches."""
    talking = talkers(ROOT / "src" / "charloom")
    assert not talking, f"talks to others: {', '.join(talking)}"
    files = runs = 0
    for umask in UMASKS if scale == LONG else UMASKS[:1]:
        with tempfile.TemporaryDirectory() as name:
            place = Path(name).resolve()
            (place / "book.txt").write_text(TEXT, encoding="utf-8")
            (place / "asked").mkdir()
            before = os.umask(umask)
            try:
                for command in COMMANDS if scale == LONG else shorter():
                    run(place, command)
                    runs += 1
            finally:
                os.umask(before)
            files += look_at_permissions(place, umask)
    return {
        "commands_run": runs,
        "connections": 0,
        "writes_elsewhere": 0,
        "files_with_ordinary_permissions": files,
    }


def shorter() -> list[str]:
    """One command of each kind that writes something, and none that draws: that takes seconds."""
    found = {command.split()[0]: command for command in reversed(COMMANDS)}
    return [command for command in COMMANDS if command in found.values() and
            (command.split()[0] in SHORTER or len(COMMANDS) == 1)]  # fmt: skip


def talkers(package: Path) -> list[str]:
    """The modules of a package that import what talks to others, with the line."""
    found = []
    for path in sorted(package.rglob("*.py")):
        if path.relative_to(package).parts[0].removesuffix(".py") in ALLOWED_TALKERS:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            found += [
                f"{path.relative_to(package)}:{node.lineno} imports {name}"
                for name in names
                if name.split(".")[0] in TALKERS
            ]
    return found


def run(place: Path, command: str) -> None:
    """One command in a process of its own.

    Raises:
        AssertionError: it touched what it must not, or broke.
    """
    environment = {**os.environ, "HOME": str(place / "home"), "PYTHONDONTWRITEBYTECODE": "1"}
    environment["PYTHONPATH"] = str(ROOT)
    for name in ("XDG_CACHE_HOME", "MPLCONFIGDIR", "CHARLOOM_CACHE"):
        environment.pop(name, None)
    watched = [sys.executable, "-m", "reliability.apart", *command.split()]
    done = subprocess.run(
        watched, cwd=place, env=environment, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr, f"{command}: {done.stderr[-1500:]}"
    assert done.returncode in (0, 2), (
        f"{command}: exit code {done.returncode}: {done.stderr[-500:]}"
    )
    noted = json.loads((place / "noted.json").read_text(encoding="utf-8"))
    (place / "noted.json").unlink()
    assert not noted["talk"], f"{command}: {noted['talk']}"
    kept = ("runs", "asked", "home/.cache/matplotlib", "home/.config/matplotlib")
    allowed = tuple(str(place / name) + os.sep for name in kept)
    above = {str(place / name) + os.sep for name in ("home", "home/.cache", "home/.config")}
    elsewhere = [
        path for path in noted["writes"] if not path.startswith(allowed) and path not in above
    ]
    assert not elsewhere, f"{command}: writes {', '.join(elsewhere)}"


def look_at_permissions(place: Path, umask: int) -> int:
    """Every file and directory has what the umask leaves; how many there are."""
    found = [path for kept in ("runs", "asked") for path in (place / kept).rglob("*")]
    for path in found:
        mode = stat.S_IMODE(path.lstat().st_mode)
        wanted = (0o777 if path.is_dir() else 0o666) & ~umask
        assert mode == wanted, f"{path.relative_to(place)} has the mode {mode:o}, not {wanted:o}"
    return len(found)


# The process that is watched: this file, run with a command's words


def main() -> None:
    """Run a command, note what it touches, and write that into noted.json."""
    talk: list[str] = []
    writes: set[str] = set()
    changes = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
    done = False

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if done:
            return
        if event.startswith(
            ("socket.connect", "socket.getaddrinfo", "socket.bind", "socket.sendto")
        ):
            talk.append(f"{event}{arguments!r}"[:200])
        elif event == "open":
            path, _mode, flags = (*arguments, None, None, None)[:3]
            writing = isinstance(flags, int) and flags & changes
            if writing and isinstance(path, (str, bytes, os.PathLike)):
                writes.add(os.path.realpath(os.fsdecode(os.fspath(path))))
        elif event in ("os.mkdir", "os.rename", "os.symlink", "os.truncate"):
            for path in arguments[: 2 if event == "os.rename" else 1]:
                if isinstance(path, (str, bytes, os.PathLike)):
                    writes.add(
                        os.path.realpath(os.fsdecode(os.fspath(path)))
                        + os.sep * (event == "os.mkdir")
                    )

    sys.addaudithook(hook)
    if fault := os.environ.get("CHARLOOM_PLANTED_FAULT"):
        exec(fault)
    from charloom.cli import main as charloom

    sys.argv = ["charloom", *sys.argv[1:]]
    code: object = 0
    try:
        charloom()
    except SystemExit as ended:
        code = ended.code
    done = True
    kept = sorted(path for path in writes if not path.startswith(("/dev/", "/proc/")))
    Path("noted.json").write_text(json.dumps({"talk": talk, "writes": kept}), encoding="utf-8")
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
