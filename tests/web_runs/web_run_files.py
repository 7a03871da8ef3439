"""Changes the files of a run as the process that trains it would."""


def append(path, data):
    """Add bytes to a file."""
    with path.open("ab") as file:
        file.write(data)
