"""The Dockerfile is checked without Docker: its user, its commands, its files, and its check of the server."""

import fnmatch
import json
import re
import shlex
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import typer

from charloom.cli import app

ROOT = Path(__file__).parent.parent
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
IGNORED = (ROOT / ".dockerignore").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
UsageError = typer.BadParameter.__base__
SECRET = re.compile(r"(?i)token|secret|password|passwd|api_?key|credential")


def instructions(dockerfile):
    """Return the instructions of a Dockerfile: pairs of the instruction and its arguments."""
    lines = [line for line in dockerfile.splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [tuple(line.split(maxsplit=1)) for line in joined.splitlines() if line.strip()]


def stages(dockerfile):
    """Return the instructions of each stage, without those before the first stage."""
    found = []
    for name, rest in instructions(dockerfile):
        if name == "FROM":
            found.append([])
        if found:
            found[-1].append((name, rest))
    return found


def reaches_the_builder(path, ignored):
    """Return True if .dockerignore lets a path through: the last pattern that matches it decides."""
    through = True
    for line in ignored.splitlines():
        pattern = line.strip().removeprefix("!")
        if not pattern or pattern.startswith("#"):
            continue
        # Each folder above the path, and the path itself.
        parts = [*[*Path(path).parents][-2::-1], Path(path)]
        plain = pattern.removeprefix("**/")
        if any(
            (fnmatch.fnmatchcase(str(part), pattern) and str(part).count("/") == pattern.count("/"))
            or ("**/" in pattern and fnmatch.fnmatchcase(part.name, plain))
            for part in parts
        ):
            through = line.startswith("!")
    return through


def problems(dockerfile=DOCKERFILE, ignored=IGNORED):
    """Return what is wrong with the image."""
    found = []
    build, final = stages(dockerfile)
    users = [rest for name, rest in final if name == "USER"]
    if users != ["10001"] or final.index(("USER", "10001")) > [n for n, _ in final].index(
        "ENTRYPOINT"
    ):
        found.append("the user is root, or has no number")
    (version,) = re.findall(r"^ARG PYTHON=python:(\d+)\.(\d+)-slim", dockerfile, re.MULTILINE)
    (least,) = re.findall(r">=(\d+)\.(\d+)", PROJECT["requires-python"])
    if tuple(map(int, version)) < tuple(map(int, least)):
        found.append("the Python is too old")
    for name, rest in instructions(dockerfile):
        if name in ("ENV", "ARG") and SECRET.search(rest):
            found.append(f"a secret: {rest}")
        if name == "ADD":
            found.append("ADD unpacks and downloads; use COPY")
    for name, rest in build:
        if name == "COPY":
            *sources, _ = rest.split()
            found += [f"{path} does not exist" for path in sources if not (ROOT / path).exists()]
            found += [
                f"{path} is ignored" for path in sources if not reaches_the_builder(path, ignored)
            ]
    for extra in re.findall(r"'\.\[([a-z,]+)\]'", dockerfile):
        unknown = set(extra.split(",")) - set(PROJECT["optional-dependencies"])
        found += [f"there is no extra {name}" for name in sorted(unknown)]
    values = {name: json.loads(rest) for name, rest in final if name in ("ENTRYPOINT", "CMD")}
    program, command = values["ENTRYPOINT"], values["CMD"]
    if program != [*PROJECT["scripts"]]:
        found.append(f"there is no program {program}")
    commands = typer.main.get_command(app).commands
    try:
        parsed = commands[command[0]].make_context(command[0], command[1:]).params
    except (KeyError, UsageError) as error:
        return [*found, f"the command cannot be read: {error}"]
    ports = {rest for name, rest in final if name == "EXPOSE"}
    health = next((rest for name, rest in final if name == "HEALTHCHECK"), "")
    if ports != {str(parsed["port"])} or f"'127.0.0.1', {parsed['port']}," not in health:
        found.append("the ports differ")
    if parsed["host"] != "0.0.0.0" or parsed["open_page"]:
        found.append("the host cannot reach the server, or a browser is opened")
    volumes = [rest for name, rest in final if name == "VOLUME"]
    if not any(parsed["runs"].is_relative_to(volume) for volume in volumes):
        found.append("the runs are not in a volume")
    return found


def test_the_image_has_no_problem():
    assert problems() == []


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("USER 10001\n", "", "the user is root"),
        ("USER 10001", "USER root", "the user is root"),
        ("python:3.13-slim", "python:3.9-slim", "too old"),
        ("ENV PATH", "ENV HF_TOKEN=hf_x\nENV PATH", "a secret: HF_TOKEN"),
        ("COPY cpp cpp", "COPY ccp cpp", "ccp does not exist"),
        ("COPY cpp cpp", "COPY tests tests", "tests is ignored"),
        ("COPY cpp cpp", "ADD cpp cpp", "use COPY"),
        ("[web,", "[webb,", "no extra webb"),
        ('["charloom"]', '["charlom"]', "no program"),
        ('["serve"', '["serv"', "cannot be read"),
        ("--no-open", "--not-open", "cannot be read"),
        ("EXPOSE 8421", "EXPOSE 8422", "the ports differ"),
        ("'127.0.0.1', 8421", "'127.0.0.1', 80", "the ports differ"),
        ('"0.0.0.0"', '"127.0.0.1"', "cannot reach"),
        ("VOLUME /data", "VOLUME /runs", "not in a volume"),
    ],
)
def test_a_planted_problem_is_found(old, new, problem):
    assert old in DOCKERFILE
    assert problem in " ".join(problems(DOCKERFILE.replace(old, new)))


@pytest.mark.parametrize(
    ("path", "through"),
    [
        ("src/charloom/cli/__init__.py", True), ("cpp/kernels.hpp", True), ("pyproject.toml", True),
        ("runs/book/config.json", False), (".git/config", False), (".env", False), (".venv/bin/python", False),
        ("src/charloom/_native.cpython-311-x86_64-linux-gnu.so", False), ("book.txt", False),
        ("src/charloom/__pycache__/x.pyc", False), ("docs/LOG.md", False),
    ],
)  # fmt: skip
def test_only_the_source_reaches_the_builder(path, through):
    assert reaches_the_builder(path, IGNORED) == through
    assert reaches_the_builder(path, "") is True  # a planted fault: no .dockerignore


def test_the_folder_of_the_runs_belongs_to_the_user():
    _, final = stages(DOCKERFILE)
    (setup,) = [rest for name, rest in final if name == "RUN"]
    words = shlex.split(setup)
    assert words[words.index("--uid") + 1] == "10001"
    assert words[-2:] == ["/data", "/data/runs"]
    assert (
        words[words.index("--owner") + 1] == words[words.index("--create-home") + 1] == "charloom"
    )


def checked(port):
    """Run the check of the server in this Python with another port, and return its exit code."""
    health = re.search(r"^ +CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
    _, *words = [word.replace("8421", str(port)) for word in json.loads(health[1])]
    return subprocess.run([sys.executable, *words], stderr=subprocess.DEVNULL).returncode


def test_the_check_needs_no_token_and_fails_without_a_server(tmp_path):
    pytest.importorskip("fastapi", reason="the extra web is not installed")
    command = ["serve", str(tmp_path), "--host", "0.0.0.0", "--port", "0", "--no-open"]
    process = subprocess.Popen(
        [sys.executable, "-m", "charloom", *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )  # fmt: skip
    with process:
        try:
            output = ""
            while not (address := re.search(r"http://[^:]+:(\d+)/\?token=", output)):
                line = process.stdout.readline()
                assert line, output
                output += line
            assert checked(int(address[1])) == 0
        finally:
            process.kill()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        assert checked(free.getsockname()[1]) != 0
