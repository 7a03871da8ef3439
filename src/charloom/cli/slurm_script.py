"""Makes the script of a SLURM array job that trains the runs of a study, many runs in each task of the array."""

import hashlib
import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import Final

from charloom.errors import ConfigError, StudyError
from charloom.formatting import count, shortened
from charloom.studies.one_study import Study

SAVE_SECONDS: Final = 60  # SLURM sends SIGTERM this long before it ends a task, so that it can save

DIGEST_LENGTH: Final = 16  # hexadecimal digits

PARTITION: Final = re.compile(r"[\w.,+-]+")

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
{extra}exec {charloom} study work {study} --part "$SLURM_ARRAY_TASK_ID" --size {size} --plan {plan} --workers "${{SLURM_CPUS_PER_TASK:-1}}"
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
        ConfigError: the errors of `require_scriptable`.
    """
    study.require_plan()
    require_scriptable(study.path, minutes, partition)
    path = study.path.absolute()
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
        plan=plan_digest(study),
    )


def require_scriptable(study: Path, minutes: int | None, partition: str | None) -> None:
    """Raise ConfigError if no script can be written, before the study is planned.

    Args:
        study: the directory of the study. Directives of SLURM cannot hold each character that a path can have.
        minutes: the time limit of a task, which must leave time to train.
        partition: the partition of the cluster.
    """
    if minutes is not None and 60 * minutes <= SAVE_SECONDS:
        raise ConfigError(
            f"--minutes-per-task is {minutes}, but SLURM asks a task to save {SAVE_SECONDS} seconds before its end, so it "
            f"would not train; give at least 2."
        )
    path = study.absolute()
    if any(c.isspace() or c in "\"'\\%" for c in str(path)):
        raise ConfigError(
            f"{path} has a space, a quote, a backslash or a percent sign, which a SLURM script cannot hold in the path "
            f"of its output; give another directory with --out."
        )
    if partition is not None and not PARTITION.fullmatch(partition):
        raise ConfigError(
            f"--partition is {shortened(partition)}; it must be the name of a partition, or several with commas between "
            f"them."
        )


def charloom_command() -> list[str]:
    """Return the words that start charloom as this process was started: its program, or Python with its module."""
    beside = Path(sys.executable).with_name("charloom")
    found = str(beside) if beside.is_file() else shutil.which("charloom")
    return [found] if found else [sys.executable, "-m", "charloom"]


def plan_digest(study: Study) -> str:
    """Return 16 hexadecimal digits that change if the study has other runs, or the same ones in another order."""
    keys = " ".join(run.key for run in study.plan)
    return hashlib.sha256(keys.encode()).hexdigest()[:DIGEST_LENGTH]


def part_of(study: Study, part: int, size: int, plan: str | None = None) -> range:
    """Return the numbers of the runs in a task of the array.

    Args:
        study: the study.
        part: the number of the task, from 0.
        size: number of runs in a task.
        plan: the result of `plan_digest` when the script was written; None compares nothing.

    Raises:
        StudyError: the study is a search, or its plan has changed since the script was written.
        ConfigError: the study has no such part.
    """
    study.require_plan()
    if plan is not None and plan != plan_digest(study):
        raise StudyError(
            f"{shortened(study.path)} has changed since the script of this job was written, so its parts have other runs. "
            f"Write the script again with --slurm-script."
        )
    first = part * size
    if not 0 <= first < len(study.plan):
        raise ConfigError(
            f"--part is {part}; the study has the parts 0 to {-(-len(study.plan) // size) - 1} of "
            f"{size} runs."
        )
    return range(first, min(first + size, len(study.plan)))
