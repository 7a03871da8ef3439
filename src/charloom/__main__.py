"""Runs the command `charloom` when Python is started with `-m charloom`. Ctrl-C is handled from here
on, even while the other modules are still being imported.
"""

import sys


def main() -> None:
    """Run the command line."""
    try:
        from charloom.cli import main as command

        command()
    except KeyboardInterrupt:  # Ctrl-C before or after a command; commands handle it themselves
        print("charloom: interrupted.", file=sys.stderr)
        raise SystemExit(130) from None
    except MemoryError:
        print("charloom: there is not enough memory to start.", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
