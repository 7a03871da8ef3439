"""A SLURM cluster on this machine, with its own controller, node and keys in a temporary folder.

    python benchmarks/slurm_cluster.py TEXT               # a study of 1,000 runs as an array job, fifty runs in a task

It needs the programs of Debian's packages slurm-wlm and munge, and must run as root or as a user who may start them.
"""

import argparse
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from charloom.cpu_limits import processors
from charloom.studies import open_study

PROGRAMS: Final = ("slurmctld", "slurmd", "munged", "sbatch", "squeue", "sinfo")
START_SECONDS: Final = 60.0
CONFIGURATION: Final = """\
ClusterName=charloom
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmctldPort={controller}
SlurmdPort={node}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=0,sched_interval=5
KillWait=30
ReturnToService=2
MpiDefault=none
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing_programs() -> list[str]:
    """Return the programs of SLURM that are not installed."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    return [name for name in PROGRAMS if shutil.which(name, path=path) is None]


class SlurmCluster:
    """A cluster with one node, within a `with` statement.

    Attributes:
        environment: the environment variables with which the programs of SLURM find the cluster.
    """

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="charloom-slurm-"))
        self._folder.chmod(0o755)
        path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
        settings = self._folder / "slurm.conf"
        self.environment = {**os.environ, "PATH": path, "SLURM_CONF": str(settings)}
        self._started: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        folder, host = self._folder, socket.gethostname().split(".")[0]
        key = folder / "munge.key"
        key.write_bytes(secrets.token_bytes(64))
        key.chmod(0o400)
        for name in ("state", "spool"):
            (folder / name).mkdir()
        controller, node = free_ports(2)
        user = os.environ.get("USER") or "root"
        (folder / "slurm.conf").write_text(
            CONFIGURATION.format(
                folder=folder,
                host=host,
                user=user if os.getuid() else "root",
                controller=controller,
                node=node,
                cores=processors(),
            )
        )
        files = [f"--{name}={folder}/munge.{end}" for name, end in (
            ("key-file", "key"), ("socket", "socket"), ("pid-file", "pid"), ("log-file", "log"), ("seed-file", "seed"),
        )]  # fmt: skip
        self._start("munged", "--foreground", "--force", *files)
        self._wait_for(lambda: (folder / "munge.socket").exists())
        self._start("slurmctld", "-D", "-f", str(folder / "slurm.conf"))
        self._start("slurmd", "-D", "-f", str(folder / "slurm.conf"), "-N", host)
        self._wait_for(lambda: "idle" in self.run("sinfo", "-h", "-o", "%T", check=False))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.run("scancel", "--full", "--me", check=False)
        for process in reversed(self._started):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def run(self, *words: str, check: bool = True) -> str:
        """Run a program of SLURM, and return its output."""
        done = subprocess.run(
            words, env=self.environment, capture_output=True, encoding="utf-8", check=False
        )
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(words)} failed: {done.stderr}{self.logs()}")
        return done.stdout

    def logs(self) -> str:
        """Return the last lines of the logs of the controller and the node."""
        lines = []
        for name in ("slurmctld.log", "slurmd.log"):
            path = self._folder / name
            if path.exists():
                lines += path.read_text(errors="replace").splitlines()[-10:]
        return "\n".join(lines)

    def _start(self, *words: str) -> None:
        self._started.append(
            subprocess.Popen(
                words,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        )

    def _wait_for(self, ready: Any) -> None:
        until = time.monotonic() + START_SECONDS
        while not ready():
            if time.monotonic() > until:
                raise RuntimeError(f"the SLURM cluster does not start.\n{self.logs()}")
            time.sleep(0.1)


def free_ports(count: int) -> list[int]:
    """Return ports of this machine that no program uses."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


def run_array(
    cluster: SlurmCluster, folder: Path, text: Path, runs: int, size: int
) -> dict[str, Any]:
    """Run a study of small networks as an array job, and return what was counted."""
    spec, study, script = folder / "small.toml", folder / "study", folder / "job.sh"
    spec.write_text(
        f"text = {json.dumps(str(text.resolve()))}\nseeds = {runs}\n[settings]\nhidden_size = 8\nupdates = 50\n"
    )
    charloom = [sys.executable, "-m", "charloom"]
    subprocess.run(
        [
            *charloom,
            "study",
            spec,
            "--out",
            study,
            "--slurm-script",
            script,
            "--per-task",
            str(size),
        ],
        check=True,
        stderr=subprocess.DEVNULL,
    )
    began = time.monotonic()
    cluster.run("sbatch", str(script))
    while cluster.run("squeue", "--noheader"):
        time.sleep(0.2)
    seconds = time.monotonic() - began
    made = open_study(study)
    lines = list(made.files.each_result())
    return {
        "measured": "SLURM array",
        "runs": len(made.plan),
        "tasks": len(list(study.glob("slurm-*.out"))),
        "finished": sum(result.state == "finished" for result in made.results().values()),
        "trained_twice": len(lines) - len({result.key for result in lines}),
        "seconds": round(seconds, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("text", type=Path)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--per-task", type=int, default=50)
    given = parser.parse_args()
    missing = missing_programs()
    if missing:
        sys.exit(f"{', '.join(missing)} are missing: apt-get install slurm-wlm munge")
    with tempfile.TemporaryDirectory() as folder, SlurmCluster() as cluster:
        Path(folder).chmod(0o755)
        print(json.dumps(run_array(cluster, Path(folder), given.text, given.runs, given.per_task)))


if __name__ == "__main__":
    main()
