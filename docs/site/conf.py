"""The configuration of Sphinx for the site of the documentation. `sh scripts/docs` makes the site."""

import re
import tomllib
from pathlib import Path
from typing import Any

from docutils import nodes

import charloom
import charloom.errors

ROOT = Path(__file__).resolve().parent.parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

project = "charloom"
author = PROJECT["authors"][0]["name"]
project_copyright = author
version = release = PROJECT["version"]

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
nitpicky = True
# Types of other packages. Their documentation is on other machines.
nitpick_ignore_regex = [("py:.*", r"(?!charloom\b).*")]

html_theme = "furo"
html_title = f"charloom {release}"
html_favicon = str(ROOT / "src" / "charloom" / "web" / "static" / "favicon.svg")
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"top_of_page_buttons": []}
# Programs in other languages than Python are shown without colours rather than with wrong ones.
highlight_language = "text"
pygments_style = "friendly"
pygments_dark_style = "monokai"

myst_enable_extensions = ["attrs_inline", "deflist"]
myst_heading_anchors = 6
nb_execution_mode = "off"
nb_ipywidgets_js: dict[str, Any] = {}  # by default, from another machine

smartquotes = False  # quotes in the text may be parts of commands
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 80
python_use_unqualified_type_names = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
add_module_names = False


def role_of(words: str) -> str:
    """Return what is in backquotes in a docstring as a link to a public name, or else as code."""
    name = words.removeprefix("charloom.")
    first, _, member = name.partition(".")
    public = getattr(charloom, first, None) if first in charloom.__all__ else None
    if first == name or (isinstance(public, type) and hasattr(public, member)):
        return f":py:obj:`{words} <charloom.{name}>`" if public else f"``{words}``"
    return f"``{words}``"


def changed_line(line: str) -> str:
    """Return a line of a docstring for Sphinx, which has other marks than Markdown."""
    if found := re.fullmatch(r":raises (\w+): ?(.*)", line):
        full = f"charloom.errors.{found[1]}" if hasattr(charloom.errors, found[1]) else found[1]
        return f":raises {full}: {changed_line(found[2])}"
    pieces = re.split(r"(``.+?``)|(?<![:\w`])`([^`]+)`", line)
    texts, kept, quoted = pieces[::3], pieces[1::3], pieces[2::3]
    codes = [same or role_of(words) for same, words in zip(kept, quoted, strict=True)]
    plain = [text.replace("|", r"\|") for text in texts]
    return "".join([plain[0], *(x for pair in zip(codes, plain[1:], strict=True) for x in pair)])


def change_docstring(
    _app: Any, _what: str, _name: str, _thing: Any, _options: Any, lines: list[str]
) -> None:
    """Change the lines of a docstring in place."""
    lines[:] = map(changed_line, lines)


def change_dashes(_app: Any, document: nodes.document) -> None:
    """Replace the two hyphens that Sphinx writes between an argument and its description."""
    for text in list(document.findall(nodes.Text)):
        if text == " -- ":
            text.parent.replace(text, nodes.Text(" – "))


def setup(app: Any) -> None:
    """Connect the functions above with Sphinx, after those of its extensions."""
    app.connect("autodoc-process-docstring", change_docstring, priority=600)
    app.connect("doctree-read", change_dashes)
