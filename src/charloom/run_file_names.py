"""The names of the folder of runs, and of the files and directories in a run (spec/formats.md: Runs)."""

from pathlib import Path
from typing import Final

RUNS: Final = Path("runs")  # the folder in which `train` creates runs by default
RUNS_DEPTH: Final = 3  # number of levels of folders that are searched for runs and model files

CONFIG: Final = "config.json"
METRICS: Final = "metrics.jsonl"
SAMPLES: Final = "samples.jsonl"
EVENTS: Final = "events.jsonl"
DAMAGED_EVENTS: Final = "damaged-events.jsonl"
GRADCHECK: Final = "gradcheck.json"
LEARNING_RATES: Final = "learning_rates.json"
LEARNING_RATES_SVG: Final = "learning_rates.svg"
LEARNING_RATES_PNG: Final = "learning_rates.png"
PASSAGE: Final = "passage.txt"
STATUS: Final = "status.json"
CONTROL: Final = "control.json"
COMMANDS: Final = ("run", "pause", "stop")  # the commands in control.json
LOCK: Final = "lock"
TEXT: Final = "text.txt"
CHECKPOINTS: Final = "checkpoints"
MODEL: Final = "model.safetensors"  # in a checkpoint, and in a directory for a hub

# The files that `charloom report` writes.
REPORT: Final = "report.html"
LOSS_SVG: Final = "loss.svg"
LOSS_PNG: Final = "loss.png"

# Two files in the directory of checkpoints. Each contains the name of a checkpoint: the latest, and
# the one with the best validation loss.
LATEST: Final = "latest"
BEST: Final = "best"
DAMAGED: Final = "damaged-"  # the beginning of the name of a damaged checkpoint that was renamed
