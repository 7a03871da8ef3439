"""A PostgreSQL server on this machine, in a temporary folder, from the programs of Debian's package postgresql."""

import getpass
import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from benchmarks.slurm_cluster import free_ports

USER: Final = "postgres"  # PostgreSQL refuses to run as root


def programs() -> Path | None:
    """Return the folder with the programs of PostgreSQL; None if it is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not found and (path := shutil.which("postgres")):
        found = [Path(path)]
    return found[-1].parent if found else None


def install_postgres() -> None:
    """Install Debian's package postgresql if PostgreSQL is missing."""
    if programs() is None:
        words = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "postgresql"]
        as_root = [] if os.getuid() == 0 else ["sudo", "-n"]
        subprocess.run([*as_root, *words], check=True, stdout=subprocess.DEVNULL)


class PostgresServer:
    """A server within a `with` statement. It listens only on 127.0.0.1, and needs no password.

    Attributes:
        url: the URL of its database.
    """

    def __init__(self) -> None:
        folder = programs()
        if folder is None:
            raise RuntimeError("PostgreSQL is not installed: apt-get install postgresql")
        self._programs = folder
        self._folder = Path(tempfile.mkdtemp(prefix="charloom-postgres-"))
        self._as_root = os.getuid() == 0
        self._user = USER if self._as_root else getpass.getuser()
        if self._as_root:
            shutil.chown(self._folder, USER, USER)
        (self._port,) = free_ports(1)
        self.url = f"postgresql://{self._user}@127.0.0.1:{self._port}/postgres"

    def __enter__(self) -> Self:
        self._run("initdb", "-D", self._data, "-A", "trust", "-U", self._user)
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._run("pg_ctl", "-D", self._data, "stop", "-m", "immediate", check=False)
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        options = f"-p {self._port} -k {shlex.quote(str(self._folder))} -h 127.0.0.1"
        log = str(self._folder / "server.log")
        self._run("pg_ctl", "-D", self._data, "-w", "-t", "120", "-l", log, "-o", options, "start")

    def stop(self) -> None:
        """Stop the server, and end all its connections."""
        self._run("pg_ctl", "-D", self._data, "-w", "-t", "120", "stop", "-m", "fast")

    @property
    def _data(self) -> str:
        return str(self._folder / "data")

    def _run(self, program: str, *words: str, check: bool = True) -> None:
        """Run a program of PostgreSQL, as the user postgres if this process is root."""
        line = [str(self._programs / program), *words]
        line = ["runuser", "-u", USER, "--", *line] if self._as_root else line
        # The server inherits the files of pg_ctl, so pipes would stay open.
        with (self._folder / "programs.log").open("ab") as log:
            done = subprocess.run(
                line, cwd="/", check=False, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        if check and done.returncode:
            text = (self._folder / "programs.log").read_text(errors="replace")
            raise RuntimeError(f"{program} failed: {text[-2000:]}")
