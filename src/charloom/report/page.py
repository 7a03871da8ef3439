"""Makes one HTML file from a template, in colours for light and dark; it needs no other file.

A template writes texts only, and they are escaped; what could disturb the page is shown as a sign of
itself. It knows nothing of what the pages say.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import jinja2
from markupsafe import Markup

from charloom.report.plots import DARK, LIGHT
from charloom.spelling import harmless

TEMPLATES: Final = Path(__file__).parent / "templates"
CSS: Final = "page.css"  # what all pages share


@dataclass(frozen=True)
class Colours:
    """The CSS variables of a page in light and in dark."""

    light: Markup
    dark: Markup


class StrictEnvironment(jinja2.Environment):
    """Compiles templates that read attributes of typed values and write texts.

    A dict has attributes of its own: where a key is called `update` or `items`, `row.update` is the
    dict's method. So templates may not read attributes of a mapping at all.
    """

    def getattr(self, obj: Any, attribute: str) -> Any:
        """The attribute of a value.

        Raises:
            TypeError: the value is a mapping.
        """
        if isinstance(obj, Mapping):
            raise TypeError(f"a template reads .{attribute} of a mapping; give it a dataclass.")
        return super().getattr(obj, attribute)


def page(template: str, **shown_there: Any) -> str:
    """A template of the folder, filled in. It is also given `css` and `colours`."""
    return (
        environment()
        .get_template(template)
        .render(
            css=Markup((TEMPLATES / CSS).read_text(encoding="utf-8")),
            colours=Colours(variables(LIGHT), variables(DARK)),
            **shown_there,
        )
    )


@cache
def environment() -> jinja2.Environment:
    """The templates; each is compiled once."""
    made = StrictEnvironment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=written,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["shown"] = shown
    return made


def written(value: object) -> object:
    """A value that a template writes, which must be a text.

    Raises:
        TypeError: it is something else, such as a number without its unit, a method or None.
    """
    # An undefined value raises an error of its own, which names it.
    if isinstance(value, (str, jinja2.Undefined)):
        return value
    raise TypeError(f"a template writes {value!r}, which is not a text.")


def shown(text: str) -> str:
    """A text as it can stand in a page: what would disturb it is shown as a sign of itself."""
    return harmless(text.replace("\r\n", "\n"))


def variables(palette: Mapping[str, str]) -> Markup:
    """A palette as CSS variables."""
    return Markup("; ".join(f"--{name}: {colour}" for name, colour in palette.items()))
