"""Read what files hold, and find the files that an interrupted writer left, for tests."""

import json
from pathlib import Path


def lines_of(path):
    """The objects of a JSON lines file."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def tree(directory):
    """The bytes of every file under a directory, by relative path."""
    files = (path for path in sorted(directory.rglob("*")) if path.is_file())
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


def temporaries(directory):
    """Whatever an interrupted writer left."""
    return list(Path(directory).rglob(".tmp-*"))
