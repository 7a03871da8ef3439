"""Reads files, and finds the temporary files of an interrupted writer, for tests."""

import json
from pathlib import Path


def lines_of(path):
    """Return the objects in a JSON lines file."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def tree(directory):
    """Return the bytes of every file below a directory, by relative path."""
    files = (path for path in sorted(directory.rglob("*")) if path.is_file())
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


def temporaries(directory):
    """Return the paths of the temporary files that an interrupted writer left."""
    return list(Path(directory).rglob(".tmp-*"))
