"""What atheris runs: charloom, instrumented so that new paths through it are seen, and a target of
`reliability.fuzz`.

    python -m reliability.guided loader FOLDER -runs=100000

goes on with the inputs kept in a folder; it needs the extra `fuzz`.
"""

import sys


def main() -> None:
    """Fuzz one target; all other arguments are for atheris."""
    import atheris

    with atheris.instrument_imports(include=["charloom"]):
        from reliability import fuzz

    action, _ = fuzz.TARGETS[sys.argv.pop(1)]
    atheris.Setup(sys.argv, lambda data: fuzz.timed(action, data))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
