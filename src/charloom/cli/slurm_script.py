"""Makes the script of a SLURM array job that trains the runs of a study, many runs in each task of the array."""

import shlex
import shutil
import sys
from pathlib import Path
from typing import Final

from charloom.errors import ConfigError
from charloom.formatting import count
from charloom.studies.one_study import Study

SAVE_SECONDS: Final = 60  # SLURM sends SIGTERM this long before it ends a task, so that it can save

SCRIPT: Final = """\
#!/bin/sh
# Trains the {runs} runs of the study {name}: {tasks} tasks with up to {size} runs each.
# Submit it with sbatch. Submitted again, it trains only the runs that have no result.
#SBATCH --job-name={job}
#SBATCH --array=0-{last}
#SBATCH --ntasks=1
#SBATCH --cpus-per-task={workers}
#SBATCH --signal=B:TERM@{seconds}
#SBATCH --requeue
#SBATCH --output={output}
{extra}exec {charloom} study work {study} --part "$SLURM_ARRAY_TASK_ID" --size {size} --workers "${{SLURM_CPUS_PER_TASK:-1}}"
"""


def array_job(
    study: Study, size: int, workers: int, minutes: int | None = None, partition: str | None = None
) -> str:
    """Return a script for `sbatch` that trains a study as an array job.

    Args:
        study: the study, in a directory that all nodes see.
        size: number of runs in a task of the array.
        workers: number of processes, and of cores, of a task.
        minutes: the time limit of a task; None leaves it to the cluster.
        partition: the partition of the cluster; None leaves it to the cluster.

    Raises:
        StudyError: the study is a search.
        ConfigError: the study's path has a character that a directive of SLURM cannot hold.
    """
    study.require_plan()
    path = study.path.absolute()
    if any(c in str(path) for c in "\n\"'\\% "):
        raise ConfigError(
            f"{path} has a space, a quote, a backslash or a percent sign, which a SLURM script cannot hold in the path "
            f"of its output; give another directory with --out."
        )
    tasks = -(-len(study.plan) // size)
    extra = f"#SBATCH --time={minutes}\n" if minutes else ""
    extra += f"#SBATCH --partition={partition}\n" if partition else ""
    return SCRIPT.format(
        runs=count(len(study.plan)),
        name=path.name,
        job=f"charloom-{path.name}",
        tasks=count(tasks),
        size=size,
        last=tasks - 1,
        workers=workers,
        seconds=SAVE_SECONDS,
        output=path / "slurm-%A_%a.out",
        extra=extra,
        charloom=shlex.join(charloom_command()),
        study=shlex.quote(str(path)),
    )


def charloom_command() -> list[str]:
    """Return the words that start charloom as this process was started: its program, or Python with its module."""
    beside = Path(sys.executable).with_name("charloom")
    found = str(beside) if beside.is_file() else shutil.which("charloom")
    return [found] if found else [sys.executable, "-m", "charloom"]


def part_of(study: Study, part: int, size: int) -> range:
    """Return the numbers of the runs in a task of the array.

    Raises:
        StudyError: the study is a search.
        ConfigError: the study has no such part.
    """
    study.require_plan()
    first = part * size
    if not 0 <= first < len(study.plan):
        raise ConfigError(
            f"--part is {part}; the study has the parts 0 to {-(-len(study.plan) // size) - 1} of "
            f"{size} runs."
        )
    return range(first, min(first + size, len(study.plan)))
