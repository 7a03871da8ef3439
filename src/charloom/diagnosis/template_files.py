"""Reads the templates: files with a right function in each form, from which users can start."""

from importlib.resources import files


def template_of(kind: str, cell: str = "rnn") -> str:
    """Return the text of a template, a Python file with a right function.

    Args:
        kind: "numpy", "course" or "torch".
        cell: "rnn", "lstm" or "gru". The kind "course" has a template only for "rnn".
    """
    name = f"{kind}.txt" if cell == "rnn" else f"{kind}_{cell}.txt"
    return (files("charloom.diagnosis") / "templates" / name).read_text(encoding="utf-8")
