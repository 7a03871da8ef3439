"""Runs the checks and stores their figures: `sh scripts/reliability --help`."""

import argparse
import datetime
import inspect
import subprocess
import sys
import time
import traceback
from pathlib import Path

from charloom.bench.machine_info import machine
from charloom.store import charloom_version
from reliability import LONG, SHORT, SHORTENED, promises, table

CODE = ("src", "cpp", "reliability", "tests", "CMakeLists.txt", "pyproject.toml")


def main() -> int:
    if not __debug__:
        sys.exit("the checkers are assertions, which PYTHONOPTIMIZE and -O leave out: not run.")
    found = promises()
    parser = argparse.ArgumentParser(
        prog="scripts/reliability",
        description="Check what charloom promises; keep the figures in docs/RELIABILITY.md.",
    )
    parser.add_argument("--only", action="append", choices=list(found), metavar="NAME",
                        help=f"one promise, may be repeated: {', '.join(found)}")  # fmt: skip
    parser.add_argument("--short", action="store_true", help="as the test suite runs them: seconds")
    parser.add_argument("--minutes", type=float,
                        help="how long a long run is (where one is); kept as a shortened one")  # fmt: skip
    parser.add_argument("--table", action="store_true", help="only make the table again")
    options = parser.parse_args()

    scale, broken = (SHORT if options.short else LONG), 0
    for name in [] if options.table else options.only or found:
        module, kept_as, more = found[name], scale, {}
        if options.minutes is not None and "minutes" in inspect.signature(module.check).parameters:
            more["minutes"] = options.minutes
            if scale == LONG and options.minutes < module.MINUTES[LONG]:
                kept_as = SHORTENED
        print(f"{name}: {module.PROMISE}", flush=True)
        began, problem, figures = time.monotonic(), None, {}
        try:
            figures = module.check(scale, **more)
        except Exception as error:
            problem = f"{type(error).__name__}: {error}" if str(error) else repr(error)
            if not isinstance(error, AssertionError):
                traceback.print_exc()
            print(f"  BROKEN: {problem}", flush=True)
            broken += 1
        for key, value in figures.items():
            print(f"  {table.spell(key, value)}", flush=True)
        entry = {
            "date": datetime.date.today().isoformat(),
            "seconds": round(time.monotonic() - began, 1),
            "version": version(),
            "machine": machine(),
            "figures": figures,
        }
        table.keep(name, kept_as, entry if problem is None else {**entry, "broken": problem})
    table.TABLE.write_text(table.render(table.read_figures(), found), encoding="utf-8")
    return 1 if broken else 0


def version() -> str:
    """Return the commit and whether the code differs from it; without git, the package's version."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], check=True, text=True, capture_output=True,
                              cwd=Path(__file__).parent.parent)  # fmt: skip
        return done.stdout.strip()

    try:
        changed = git("status", "--porcelain", "--", *CODE)
        return git("describe", "--always") + ("-dirty" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return charloom_version()


if __name__ == "__main__":
    sys.exit(main())
