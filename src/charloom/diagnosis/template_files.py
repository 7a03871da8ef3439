"""Templates to start from: a right function in each form, into which people put their own code."""

from importlib.resources import files


def template_of(kind: str, cell: str = "rnn") -> str:
    """The text of the file for a form, numpy, course or torch, and a cell (course: rnn alone)."""
    name = f"{kind}.txt" if cell == "rnn" else f"{kind}_{cell}.txt"
    return (files("charloom.diagnosis") / "templates" / name).read_text(encoding="utf-8")
