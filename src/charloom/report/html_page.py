"""Renders a template as one HTML file, with colours for light and dark screens.

Templates may only write strings, which are escaped. Control characters are replaced by visible signs.
"""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import jinja2
from markupsafe import Markup

from charloom.errors import ConfigError
from charloom.formatting import harmless
from charloom.report.plot_style import DARK, LIGHT
from charloom.store import replace_file

TEMPLATES: Final = Path(__file__).parent / "templates"
CSS: Final = "page.css"  # the style sheet of all pages


class StrictEnvironment(jinja2.Environment):
    """A Jinja environment that does not let a template read an attribute of a mapping, such as a dict.

    In Jinja, `row.update` of a dict would be the dict's method, not its value with the key "update".
    """

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Return an attribute of a value.

        Raises:
            TypeError: the value is a mapping.
        """
        if isinstance(obj, Mapping):
            raise TypeError(f"a template reads .{attribute} of a mapping; give it a dataclass.")
        return super().getattr(obj, attribute)


def write_page(path: str | Path, render: Callable[[], str]) -> Path:
    """Write a page to a file, and return its path. An existing file is replaced.

    Args:
        path: the file.
        render: returns the page; called only if the file can have this path.

    Raises:
        ConfigError: the path is a directory, or its parent directory does not exist.
        WriteError: the file cannot be written.
    """
    path = Path(path)
    if path.is_dir():
        raise ConfigError(f"{path} is a directory; give the path of a file.")
    if not path.parent.is_dir():
        raise ConfigError(
            f"{path.name} cannot be written: the directory {path.parent} does not exist; create it."
        )
    replace_file(path, render().encode("utf-8", "replace"), durable=False)
    return path


def page(template: str, **values: Any) -> str:
    """Return a page: the template filled with `values`, the style sheet and the colours."""
    return (
        environment()
        .get_template(template)
        .render(
            css=Markup((TEMPLATES / CSS).read_text(encoding="utf-8")),
            light=variables(LIGHT),
            dark=variables(DARK),
            **values,
        )
    )


@cache
def environment() -> jinja2.Environment:
    """Return the Jinja environment of all pages. It is made once and keeps the compiled templates."""
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
    """Return `value` unchanged. Jinja calls this function with each value that a template writes.

    Raises:
        TypeError: `value` is not a string, but for example a number without its unit, a method or None.
    """
    # Return an undefined value too: Jinja then raises an error that names this value.
    if isinstance(value, (str, jinja2.Undefined)):
        return value
    raise TypeError(f"a template writes {value!r}, which is not a string.")


def shown(text: str) -> str:
    """Return a text with control characters replaced by visible signs."""
    return harmless(text.replace("\r\n", "\n"))


def variables(palette: Mapping[str, str]) -> Markup:
    """Return CSS code that sets a variable for each colour of `palette`."""
    return Markup("; ".join(f"--{name}: {colour}" for name, colour in palette.items()))
