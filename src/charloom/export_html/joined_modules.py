"""Joins JavaScript modules into one script, so that an HTML file can contain them."""

import re
from pathlib import Path
from typing import Final

IMPORT: Final = re.compile(r'^import \{ [\w, ]+ \} from "([^"]+)";\n', re.MULTILINE)
EXPORT: Final = re.compile(r"^export (?=async function|function|class|const)", re.MULTILINE)


def one_script(path: Path) -> str:
    """Return one script with the module `path` and all modules that it imports, each after those that it imports.

    The script has no imports and exports: all modules share one scope, so no two of them may define the same name.

    Raises:
        ValueError: a module has an import or export of another form than `import { a, b } from "./c.js";`,
            `export function`, `export class` and `export const`.
    """
    sources: dict[Path, str] = {}
    add_module(path.resolve(), sources)
    return "\n".join(sources.values())


def add_module(path: Path, sources: dict[Path, str]) -> None:
    """Add the source of a module to `sources`, after the sources of the modules that it imports."""
    if path in sources:
        return
    source = path.read_text(encoding="utf-8")
    for imported in IMPORT.findall(source):
        add_module((path.parent / imported).resolve(), sources)
    source = EXPORT.sub("", IMPORT.sub("", source))
    if unknown := re.search(r"^(import|export)\b.*", source, re.MULTILINE):
        raise ValueError(f"{path.name} has {unknown[0]!r}, which cannot be joined.")
    sources[path] = source
