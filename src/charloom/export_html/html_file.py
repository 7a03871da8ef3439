"""Makes the HTML file of a model: the page, its scripts and the model (spec/formats.md: HTML files)."""

import base64
import html
import re
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Final

from charloom.canonical_form import canonical_json
from charloom.export_html.browser_weights import WeightType, embedded_model
from charloom.export_html.joined_modules import one_script
from charloom.formatting import harmless
from charloom.model import Learner

PLACE: Final = re.compile(r"\{\{ (\w+) \}\}")  # of a value in the template
PAGE: Final = Path(__file__).parent / "page"
# The exported page looks like the page of `charloom serve`, and shares modules with it.
SERVED: Final = Path(__file__).parent.parent / "web" / "static"
# A browser limits the length of a string: Chromium to 2^29 - 24 characters. Each part ends with a group of four
# characters of base64, so that it can be decoded alone.
MOST_IN_ELEMENT: Final = 1 << 26
# The page may load nothing, also no evaluated code: only the script and the style in the file itself.
POLICY: Final = (
    "default-src 'none'; script-src '{script}'; style-src '{style}'; img-src data:; base-uri 'none'; "
    "form-action 'none'; require-trusted-types-for 'script'"
)


def html_bytes(model: Learner, weights: WeightType, title: str, about: str = "") -> bytes:
    """Return the bytes of an HTML file with a model.

    Args:
        model: a result of `browser_model` with the same `weights`.
        weights: the type of the weights in the file.
        title: the title of the page.
        about: a text about the model that the page shows; may be empty.
    """
    description, data = embedded_model(model, weights)
    page, style, script = page_sources()
    values = {
        "policy": POLICY.format(script=source_hash(script), style=source_hash(style)),
        "title": html.escape(harmless(title)),
        "about": html.escape(harmless(about)),
        "icon": encoded((SERVED / "favicon.svg").read_bytes()),
        "style": style,
        "script": script,
        "json": script_json(description),
        "data": data_elements(encoded(data)),
    }
    # One pass, so a value that contains {{ name }} is not filled in.
    return PLACE.sub(lambda place: values[place[1]], page).encode("utf-8")


@cache
def page_sources() -> tuple[str, str, str]:
    """Return the template of the page, its style sheet and its script."""
    styles = [SERVED / "style.css", PAGE / "page.css"]
    return (
        (PAGE / "page.html").read_text(encoding="utf-8"),
        "\n".join(path.read_text(encoding="utf-8") for path in styles),
        one_script(PAGE / "page.js"),
    )


def data_elements(text: str) -> str:
    """Return the elements of the page that hold a text in base64, with at most `MOST_IN_ELEMENT` characters each."""
    parts = [text[at : at + MOST_IN_ELEMENT] for at in range(0, len(text), MOST_IN_ELEMENT)]
    return "\n".join(
        f'<script type="text/plain" class="model-data">{part}</script>' for part in parts
    )


def source_hash(source: str) -> str:
    """Return the hash of a script or a style sheet for a content security policy."""
    return f"sha256-{encoded(sha256(source.encode('utf-8')).digest())}"


def encoded(data: bytes) -> str:
    """Return bytes in base64."""
    return base64.b64encode(data).decode("ascii")


def script_json(value: dict[str, object]) -> str:
    """Return a value as JSON that may be inside a script element: without the character <."""
    return canonical_json(value).decode("ascii").replace("<", "\\u003c")
