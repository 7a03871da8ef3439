"""Writes the outline of a wrapper for a function whose form is not known; the user fills in the rest."""

from typing import Final

from charloom.diagnosis.forms.file_contents import FunctionFacts
from charloom.diagnosis.forms.name_roles import role_of_argument
from charloom.diagnosis.forms.recognition import Recognised
from charloom.diagnosis.forms.wrapper_text import BLANK, Source, call_text, wrapper_source

KNOWN = {
    "params": "params", "x": "x", "y": "y", "h0": "h0", "K": 'len(params["c"])', "H": "len(h0)", "T": "len(x)",
    "one": "1", "zero": "0.0",
}  # fmt: skip
MOST_BLANKS: Final = 4  # largest number of arguments that have a line of their own to fill in


def outline(facts: FunctionFacts, source: Source) -> Recognised:
    """Return a form whose wrapper has at most five lines to fill in: arguments, and the gradients."""
    given = [KNOWN.get(role_of_argument(name), f"{BLANK}{name}") for name in facts.required]
    unknown = [name for name in facts.required if role_of_argument(name) not in KNOWN]
    if len(unknown) > MOST_BLANKS:
        given = [f"*{BLANK}{', '.join(facts.required)}"]
    body = [
        *call_text(f"returned = net.{facts.name}", given),
        f"loss, dU, dW, db, dV, dc = {BLANK}the loss and the gradients in `returned`",
        'return loss, {"U": dU, "W": dW, "b": db, "V": dV, "c": dc}',
    ]
    title = f"{facts.name}, whose form is not known"
    notes = ["the doctor does not know this form: fill in the marked lines."]
    text = wrapper_source(source, title, notes, body)
    return Recognised(
        title, (facts.name,), "rnn", text, "", 4, tuple(notes), blanks=text.count("# fill in")
    )
