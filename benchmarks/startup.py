"""Measures how long `charloom --help` takes, as a whole process.

python benchmarks/startup.py [--rounds 15]
"""

import argparse
import statistics
import subprocess
import sys
import time


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    commands = {
        "charloom --help": [sys.executable, "-m", "charloom", "--help"],
        "python -c pass": [sys.executable, "-c", "pass"],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(options.rounds + 1):
        for name, command in commands.items():
            start = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            times[name].append(time.perf_counter() - start)
    for name, seconds in times.items():
        counted = seconds[1:]  # the first warms the disk's cache
        print(f"{name}: median {statistics.median(counted):.3f} s, fastest {min(counted):.3f} s")


if __name__ == "__main__":
    main()
