"""How a page is made: one HTML file from a template, in colours for light and dark, that needs nothing.

What a template is given is text, and is escaped; what could disturb the page is shown as a sign of
itself. It knows nothing of what the pages say.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import jinja2
from markupsafe import Markup

from charloom.report.plots import DARK, LIGHT
from charloom.spelling import harmless

TEMPLATES: Final = Path(__file__).parent / "templates"
CSS: Final = "page.css"  # what all pages share


def page(template: str, **shown_there: Any) -> str:
    """A template of the folder, filled in. It is also given `css` and `colours`."""
    return (
        environment()
        .get_template(template)
        .render(
            css=Markup((TEMPLATES / CSS).read_text(encoding="utf-8")),
            colours={"light": variables(LIGHT), "dark": variables(DARK)},
            **shown_there,
        )
    )


@cache
def environment() -> jinja2.Environment:
    """The templates; each is compiled once."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["shown"] = shown
    return made


def shown(text: str) -> str:
    """A text as it can stand in a page: what would disturb it is shown as a sign of itself."""
    return harmless(text.replace("\r\n", "\n"))


def variables(palette: Mapping[str, str]) -> Markup:
    """A palette as CSS variables."""
    return Markup("; ".join(f"--{name}: {colour}" for name, colour in palette.items()))
