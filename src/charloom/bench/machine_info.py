"""Finds the name of the machine's processor."""

import platform
from pathlib import Path


def machine() -> str:
    """Return the name of the processor, or the name of its architecture if the system knows no other."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
