"""Runs the command `charloom` when Python is started with `-m charloom`.

This module handles Ctrl-C, even while the other modules are still being imported.
"""

import sys
import time

START = time.monotonic()


def main() -> None:
    """Run the command `charloom` with the arguments of the process."""
    try:
        from charloom.cli import main as command

        command(START)
    # Ctrl-C was pressed before or after a command. While a command runs, the command handles Ctrl-C
    # itself.
    except KeyboardInterrupt:
        print("charloom: interrupted.", file=sys.stderr)
        raise SystemExit(130) from None
    except MemoryError:
        print("charloom: there is not enough memory to start.", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
