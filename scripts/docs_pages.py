"""Collects the sources of the site in one folder: the documents of the repository, and the generated reference.

Each document stays where it is in the repository, and can be read there. `PAGES` says which page it becomes.
"""

import re
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Final

from docs_markdown import (
    converted,
    converted_notebook,
    joined,
    pictures_in,
    relative,
    with_named_links,
)
from docs_reference import commands, page_of, place_of, public_names, reference

ROOT: Final = Path(__file__).resolve().parent.parent
FRAME: Final = "docs/site"  # the configuration of Sphinx, and the page with the contents
INDEX: Final = f"{FRAME}/index.md"
# The page of each document. Those of the folders in FOLDERS follow from their names.
PAGES: Final = {
    INDEX: "index.md",
    "README.md": "index.md",  # the target of links to it
    "docs/gradient-checking.md": "lesson.md",
    "docs/backpropagation-by-hand.md": "lesson-by-hand.md",
    "docs/RESULTS.md": "results/recipes.md",
    "docs/DOCTOR.md": "results/doctor.md",
    "docs/RELIABILITY.md": "results/reliability.md",
    "ARCHITECTURE.md": "inside/architecture.md",
    "docs/modules.md": "inside/modules.md",
    "docs/adding.md": "inside/adding.md",
    "docs/native-engine.md": "inside/native-engine.md",
    "docs/page.md": "inside/page.md",
    "CONTRIBUTING.md": "inside/contributing.md",
    "SECURITY.md": "inside/security.md",
    "CHANGELOG.md": "inside/changes.md",
    "docs/LOG.md": "inside/log.md",
}
# Folders of the repository whose files all become pages: the ending of the files, and the folder on the site.
FOLDERS: Final = {
    "docs/guides": (".md", "guides"),
    "docs/spec": (".md", "specification"),
    "docs/notebooks": (".ipynb", "notebooks"),
    "examples": (".py", "examples"),
}
REFERENCE: Final = "reference"
# Replaced in the index by the contents of the folders whose files are not known beforehand.
MARK: Final = "<!-- other folders -->"
CONTENTS: Final = """```{{toctree}}
:caption: {caption}
:maxdepth: 1
:hidden:

{entries}
```
"""

Address = Callable[[str], str | None]


def documents(root: Path = ROOT) -> dict[str, str]:
    """Return the page on the site of each document, by the document's path in the repository."""
    found = {file: page for file, page in PAGES.items() if (root / file).is_file()}
    for folder, (suffix, place) in FOLDERS.items():
        for path in sorted((root / folder).glob(f"*{suffix}")):
            name = path.stem + ".md" if suffix == ".py" else path.name
            found[f"{folder}/{path.name}"] = f"{place}/{name}"
    return found


def resolver(
    file: str, page: str, pages: dict[str, str], address: str | None, root: Path = ROOT
) -> Address:
    """Return a function that returns the target on the site of each link of a document.

    A link to a document leads to its page, and a link of the index to the reference stays. A link to another file of the repository leads to
    `address/FILE`, or is None without an address. Other links stay as they are. The function raises
    FileNotFoundError for a link to a file that the repository does not have.
    """

    def resolve(target: str) -> str | None:
        if re.match(r"[a-z]+:|#", target):
            return target
        path, mark, anchor = target.partition("#")
        wanted = joined(file, path)
        if file == INDEX and path.startswith(f"{REFERENCE}/"):
            return target
        if wanted.startswith("docs/pictures/"):
            return relative(wanted.removeprefix("docs/"), page)
        if wanted in pages:
            return relative(pages[wanted], page) + mark + anchor
        if not (root / wanted).exists():
            raise FileNotFoundError(f"{file} links to {target}, which does not exist")
        return f"{address}/{wanted}" if address else None

    return resolve


def example_page(path: Path) -> str:
    """Return the page of a program in examples/."""
    title = path.stem.replace("_", " ").capitalize()
    code = path.read_text(encoding="utf-8").rstrip("\n")
    return f"# {title}\n\n`examples/{path.name}`:\n\n```python\n{code}\n```\n"


def other_contents(pages: dict[str, str]) -> str:
    """Return the contents of the folders whose files are not known beforehand, for the navigation."""
    parts = []
    for caption, folder in (("Notebooks", "notebooks/"), ("Examples", "examples/")):
        entries = [page.rpartition(".")[0] for page in pages.values() if page.startswith(folder)]
        if entries:
            parts.append(CONTENTS.format(caption=caption, entries="\n".join(entries)))
    return "\n".join(parts)


def page_text(file: str, pages: dict[str, str], address: str | None, root: Path = ROOT) -> str:
    """Return the source of the page of a document.

    Args:
        file: the document's path in the repository.
        pages: the page of each document.
        address: where the files of the repository can be read, such as
            https://github.com/OWNER/NAME/blob/main; None if nowhere.
        root: the repository.
    """
    if file.endswith(".py"):
        return example_page(root / file)
    text = (root / file).read_text(encoding="utf-8")
    resolve = resolver(file, pages[file], pages, address, root)
    if file.endswith(".ipynb"):
        return converted_notebook(text, resolve)
    if file == INDEX:
        text = text.replace(MARK, other_contents(pages))
    shown = converted(text, resolve)
    if not file.startswith("docs/guides/"):
        return shown
    targets = {name: relative(place, pages[file]) for name, place in reference_targets().items()}
    return with_named_links(shown, targets)


@cache
def reference_targets() -> dict[str, str]:
    """Return the page on the site of each command and public name, by its name in the guides."""
    found = {f"charloom {name}": f"commands/{page_of(name)}.md" for name in commands()}
    found |= {f"charloom.{name}": place_of(name) for name in public_names()}
    return {name: f"{REFERENCE}/{page}" for name, page in found.items()}


def sources(address: str | None = None, root: Path = ROOT) -> Iterator[tuple[str, str]]:
    """Yield each page of the site: its path and its source."""
    pages = documents(root)
    for file, page in pages.items():
        if file != "README.md":
            yield page, page_text(file, pages, address, root)
    for name, text in reference().items():
        yield f"{REFERENCE}/{name}", text


def missing_pictures(root: Path = ROOT) -> list[str]:
    """Return the pictures that documents show from outside docs/pictures, which the site does not have."""
    found = []
    for file in documents(root):
        if file.endswith(".md"):
            shown = pictures_in((root / file).read_text(encoding="utf-8"))
            found += [p for p in shown if not joined(file, p).startswith("docs/pictures/")]
    return found


def collect(folder: Path, address: str | None = None) -> None:
    """Write the sources of the site into an empty or new folder."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "docs" / "pictures", folder / "pictures")
    for name, text in sources(address):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
