"""Writes figures as SVG and PNG, to files and into HTML pages."""

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

import matplotlib
from markupsafe import Markup, escape
from matplotlib.figure import Figure

from charloom.errors import ConfigError
from charloom.formatting import shortened
from charloom.report.page_data import Picture
from charloom.report.plot_style import NARROW, SENTINELS, UNITS_PER_INCH, WIDE, Palette
from charloom.store.atomic_files import replace_file

FONTS: Final = "system-ui, 'Segoe UI', Roboto, Helvetica, Arial, 'DejaVu Sans', sans-serif"


def svg_of(figure: Figure) -> str:
    """Return a figure as an SVG document.

    Its labels are text elements, not outlines. The same figure always gives the same bytes.
    """
    file = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "charloom"}):
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": "charloom"})
    return re.sub(r"font-family: [^;\"]*", f"font-family: {FONTS}", file.getvalue())


def png_of(figure: Figure) -> bytes:
    """Return the bytes of a PNG file of a figure, with two pixels per 1/72 inch."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=2 * UNITS_PER_INCH)
    return file.getvalue()


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write a figure to a file; the ending of `path`, .png or .svg, decides the format.

    Raises:
        ConfigError: `path` has another ending.
        WriteError: the file cannot be written.
    """
    path = Path(path)
    require_image(path)
    data = png_of(figure) if path.suffix == ".png" else svg_of(figure).encode()
    replace_file(path, data, durable=False)


def require_image(path: Path) -> None:
    """Raise ConfigError if `path` does not end in .png or .svg."""
    if path.suffix not in (".png", ".svg"):
        raise ConfigError(
            f"{shortened(path)} has no image format; give a name that ends in .png or .svg."
        )


def coloured(svg: str, palette: Palette) -> str:
    """Return an SVG document in which each placeholder colour (`SENTINELS`) is replaced by the colour
    of the same name in `palette`."""
    names = {colour: name for name, colour in SENTINELS.items()}
    return re.sub(r"#0101[0-9a-f]{2}", lambda found: palette[names[found[0]]], svg)


def picture_of(draw: Callable[..., Figure], name: str, label: str) -> Picture:
    """Return a plot for a page, drawn once for wide screens and once for narrow screens.

    Args:
        draw: function with the keyword arguments `width` and `palette` that returns the plot.
        name: prefix that makes the ids of the plot unique on the page.
        label: description of the plot for screen readers, as plain text.
    """
    wide, narrow = (svg_of(draw(width=width, palette=SENTINELS)) for width in (WIDE[0], NARROW[0]))
    return Picture(
        inline_svg(wide, f"{name}-wide", label), inline_svg(narrow, f"{name}-narrow", label)
    )


def inline_svg(svg: str, prefix: str, label: str) -> Markup:
    """Convert an SVG document to an element of an HTML page.

    The placeholder colours (`SENTINELS`) become CSS variables, and the ids get a prefix. The prologue,
    metadata, namespaces and fixed size are removed.

    Args:
        svg: the document, drawn with the palette `SENTINELS` and returned by `svg_of`.
        prefix: prefix that makes the ids unique on the page.
        label: description of the plot for screen readers, as plain text.
    """
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(r"font-family: [^;\"]*; ?", "", body)
    view = re.search(r'viewBox="([^"]*)"', body)
    assert view is not None
    body = re.sub(
        r"<svg[^>]*>",
        f'<svg viewBox="{view[1]}" role="img" aria-label="{escape(label)}">',
        body,
        count=1,
    )
    body = re.sub(r'\bid="', f'id="{prefix}-', body)
    body = re.sub(r'(?:xlink:)?href="#', f'href="#{prefix}-', body)
    body = body.replace("url(#", f"url(#{prefix}-")
    return Markup(coloured(body, {name: f"var(--{name})" for name in SENTINELS}))
