"""Finds the name of the machine's processor."""

import platform
from pathlib import Path


def machine() -> str:
    """Return the name of the processor; its architecture, such as x86_64, if the name is not known."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
