"""Changes a Markdown file of the repository so that its links and pictures are right on the site."""

import json
import posixpath
import re
from collections.abc import Callable, Mapping
from typing import Final

FENCE: Final = re.compile(r"^(?:```.*?^```|~~~.*?^~~~)$", re.MULTILINE | re.DOTALL)
# A span of code, which stays as it is, or the end of a link: `](target)`.
LINK: Final = re.compile(
    r"(?P<code>(?<!`)(`+)(?!`).+?(?<!`)\2(?!`))|\]\((?P<target>[^)\s]+)\)", re.DOTALL
)
# A link, without those around a picture.
WHOLE_LINK: Final = re.compile(r"(?<!!)\[(?P<text>(?:`[^`]+`|[^\]\[`])+)\]\((?P<target>[^)\s]+)\)")
# A heading or a link, which stay as they are, or a span of code on one line.
NAMED: Final = re.compile(r"^#.*$|\[[^\]]*\]\([^)]*\)|(?<!`)`(?P<name>[^`\n]+)`(?!`)", re.MULTILINE)
PICTURE: Final = re.compile(
    r'<picture>\n<source media="\(prefers-color-scheme: dark\)" srcset="(?P<dark>[^"]+)">\n'
    r'<img src="(?P<light>[^"]+)" alt="(?P<alt>[^"]+)">\n</picture>'
)

Resolve = Callable[[str], str | None]


def outside_code(text: str, change: Callable[[str], str]) -> str:
    """Return `text` with `change` applied to the parts that are not in fenced blocks of code."""
    parts, end = [], 0
    for fence in FENCE.finditer(text):
        parts += [change(text[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*parts, change(text[end:])])


def themed(found: re.Match[str]) -> str:
    """Return the two pictures of a `<picture>`: the theme of the site shows one of them."""
    return "\n\n".join(
        f"```{{image}} {found[theme]}\n:alt: {found['alt']}\n:class: only-{theme}\n```"
        for theme in ("light", "dark")
    )


def with_links(text: str, resolve: Resolve) -> str:
    """Return `text` with the target of each link replaced by `resolve(target)`.

    If that is None, the text of the link stays, without the link.
    """

    def unlinked(found: re.Match[str]) -> str:
        return found[0] if resolve(found["target"]) is not None else found["text"]

    def changed(found: re.Match[str]) -> str:
        if found["code"]:
            return found[0]
        return f"]({resolve(found['target']) or found['target']})"

    return LINK.sub(changed, WHOLE_LINK.sub(unlinked, text))


def with_named_links(text: str, targets: Mapping[str, str]) -> str:
    """Return `text` with a link around each span of code that is a key of `targets`, outside of headings and links."""

    def linked(found: re.Match[str]) -> str:
        target = targets.get(found["name"] or "")
        return f"[`{found['name']}`]({target})" if target else found[0]

    return outside_code(text, lambda part: NAMED.sub(linked, part))


def converted(text: str, resolve: Resolve) -> str:
    """Return the text of a Markdown file for the site. `resolve` is called with the target of each link."""
    return outside_code(PICTURE.sub(themed, text), lambda part: with_links(part, resolve))


def converted_notebook(text: str, resolve: Resolve) -> str:
    """Return the JSON text of a notebook for the site, with the links in its Markdown cells changed."""
    notebook = json.loads(text)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            source = cell["source"]
            joined = source if isinstance(source, str) else "".join(source)
            cell["source"] = converted(joined, resolve)
    return json.dumps(notebook, ensure_ascii=False)


def pictures_in(text: str) -> list[str]:
    """Return the paths of the local pictures that a Markdown file shows, as it writes them."""
    plain = FENCE.sub("", text)
    shown = re.findall(r"!\[[^\]]*\]\(([^)\s]+)\)", plain)
    for found in PICTURE.finditer(plain):
        shown += [found["light"], found["dark"]]
    return [path for path in shown if not re.match(r"[a-z]+:", path)]


def relative(target: str, page: str) -> str:
    """Return the path from the folder of `page` to `target`; both are paths on the site."""
    return posixpath.relpath(target, posixpath.dirname(page) or ".")


def joined(file: str, target: str) -> str:
    """Return the path in the repository to which `target`, in the folder of `file`, refers."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(file), target))
