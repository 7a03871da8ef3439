"""Runs the checkers and keeps what they reached: `sh scripts/reliability --help`."""

import argparse
import datetime
import inspect
import sys
import time

from reliability import LONG, SHORT, promises, table


def main() -> int:
    found = promises()
    parser = argparse.ArgumentParser(
        prog="scripts/reliability",
        description="Check what charloom promises; keep the figures in docs/RELIABILITY.md.",
    )
    parser.add_argument("--only", action="append", choices=list(found), metavar="NAME",
                        help=f"one promise, may be repeated: {', '.join(found)}")  # fmt: skip
    parser.add_argument("--short", action="store_true", help="as the test suite runs them: seconds")
    parser.add_argument("--minutes", type=float, help="how long a long run is (where one is)")
    parser.add_argument("--table", action="store_true", help="only make the table again")
    options = parser.parse_args()

    scale, broken = (SHORT if options.short else LONG), 0
    for name in [] if options.table else options.only or found:
        module, more = found[name], {}
        if options.minutes is not None and "minutes" in inspect.signature(module.check).parameters:
            more["minutes"] = options.minutes
        print(f"{name}: {module.PROMISE}", flush=True)
        began = time.monotonic()
        try:
            figures = module.check(scale, **more)
        except AssertionError as error:
            print(f"  BROKEN: {error}", flush=True)
            broken += 1
            continue
        seconds = time.monotonic() - began
        for key, value in figures.items():
            print(f"  {table.spell(key, value)}", flush=True)
        table.keep(name, scale, datetime.date.today().isoformat(), seconds, figures)
    table.TABLE.write_text(table.render(table.read_figures(), found), encoding="utf-8")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
