"""Files to start from: a right function in each form, for people to put their own code into."""

from importlib.resources import files


def template_of(kind: str) -> str:
    """The text of the file for a form: numpy, course or torch."""
    return (files("charloom.doctor") / "templates" / f"{kind}.txt").read_text(encoding="utf-8")
