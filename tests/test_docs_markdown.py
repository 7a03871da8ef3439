"""Documents are changed for the site so that their links lead to pages, and checks of the finished site work."""

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

import docs_build  # noqa: E402
import docs_checks  # noqa: E402
import docs_markdown  # noqa: E402
import docs_pages  # noqa: E402

PAGES = {"docs/LOG.md": "inside/log.md", "docs/spec/formats.md": "specification/formats.md"}


@pytest.mark.parametrize(
    ("target", "found"),
    [
        ("spec/formats.md", "../specification/formats.md"),
        ("spec/formats.md#runs", "../specification/formats.md#runs"),
        ("#runs", "#runs"),
        ("https://example.org/LOG.md", "https://example.org/LOG.md"),
        ("pictures/loss.svg", "../pictures/loss.svg"),
        ("../src/charloom/errors.py", "https://host/src/charloom/errors.py"),
    ],
)
def test_a_link_leads_to_the_page_of_a_document_or_to_the_repository(target, found):
    resolve = docs_pages.resolver("docs/LOG.md", "inside/log.md", PAGES, "https://host")
    assert resolve(target) == found


def test_without_an_address_of_the_repository_the_text_of_a_link_stays():
    resolve = docs_pages.resolver("docs/LOG.md", "inside/log.md", PAGES, None)
    text = "[`a.py`](../README.md) [more `a` words](../cpp/cells.hpp) [the log](LOG.md) [x](LOG.md)"
    assert docs_markdown.converted(text, resolve) == (
        "`a.py` more `a` words [the log](log.md) [x](log.md)"
    )


def test_a_link_to_a_file_that_does_not_exist_is_refused():
    resolve = docs_pages.resolver("docs/LOG.md", "inside/log.md", PAGES, "https://host")
    with pytest.raises(FileNotFoundError, match=r"docs/LOG\.md links to y\.py"):
        docs_markdown.converted("[x](y.py)", resolve)


def test_code_is_not_changed():
    text = "`[a](LOG.md)` ``x`[a](LOG.md)``\n\n```python\na[0](LOG.md)\n```\n\n[a](LOG.md)\n"
    resolve = docs_pages.resolver("docs/LOG.md", "inside/log.md", PAGES, None)
    assert docs_markdown.converted(text, resolve) == text.replace("\n[a](LOG", "\n[a](log")


def test_names_of_commands_and_functions_in_a_guide_lead_to_the_reference():
    text = (
        "# On `charloom train`\n\n`charloom train` and [`charloom train`](x.md) `charloom trai`\n"
    )
    assert docs_markdown.with_named_links(text, {"charloom train": "t.md"}) == (
        "# On `charloom train`\n\n[`charloom train`](t.md) and [`charloom train`](x.md) `charloom trai`\n"
    )
    targets = docs_pages.reference_targets()
    assert targets["charloom train"] == "reference/commands/train.md"
    assert targets["charloom.Model"] == "reference/python/classes/Model.md"
    pages = docs_pages.documents()
    guide = docs_pages.page_text("docs/guides/gradients.md", pages, None)
    assert "[`charloom doctor`](../reference/commands/doctor.md)" in guide


def test_a_picture_with_a_dark_version_becomes_two_pictures():
    text = (
        '<picture>\n<source media="(prefers-color-scheme: dark)" srcset="pictures/a-dark.svg">\n'
        '<img src="pictures/a.svg" alt="A curve.">\n</picture>\n'
    )
    assert docs_markdown.pictures_in(text) == ["pictures/a.svg", "pictures/a-dark.svg"]
    shown = docs_markdown.converted(text, lambda target: target)
    assert "```{image} pictures/a.svg\n:alt: A curve.\n:class: only-light\n```" in shown
    assert "```{image} pictures/a-dark.svg\n:alt: A curve.\n:class: only-dark\n```" in shown


def test_links_in_the_markdown_of_a_notebook_are_changed():
    cells = [
        {"cell_type": "markdown", "source": ["see [the\n", "log](../LOG.md)"]},
        {"cell_type": "code", "source": ["a = b[0](../LOG.md)"]},
    ]
    resolve = docs_pages.resolver("docs/notebooks/a.ipynb", "notebooks/a.ipynb", PAGES, None)
    found = json.loads(docs_markdown.converted_notebook(json.dumps({"cells": cells}), resolve))
    assert found["cells"][0]["source"] == "see [the\nlog](../inside/log.md)"
    assert found["cells"][1] == cells[1]


def test_a_notebook_is_a_page_in_the_navigation(tmp_path):
    (tmp_path / "docs" / "notebooks").mkdir(parents=True)
    (tmp_path / "docs" / "notebooks" / "learn.ipynb").write_text('{"cells": []}')
    (tmp_path / "docs" / "site").mkdir()
    (tmp_path / "docs" / "site" / "index.md").write_text(f"# A\n\n{docs_pages.MARK}\n")
    pages = docs_pages.documents(tmp_path)
    assert pages["docs/notebooks/learn.ipynb"] == "notebooks/learn.ipynb"
    index = docs_pages.page_text(docs_pages.INDEX, pages, None, tmp_path)
    assert ":caption: Notebooks\n" in index
    assert "\nnotebooks/learn\n" in index


def test_every_picture_of_a_document_is_on_the_site():
    assert docs_pages.missing_pictures() == []


# Finished pages


def checked(folder, body, style=""):
    """Write a page and a style sheet into a folder, and return the problems that are found."""
    (folder / "index.html").write_text(f'<h2 id="here">A</h2>{body}', encoding="utf-8")
    (folder / "site.css").write_text(style, encoding="utf-8")
    return docs_checks.problems(folder)


@pytest.mark.parametrize(
    "body",
    [
        '<script src="https://cdn.example/x.js"></script>',
        '<link rel="stylesheet" href="//cdn.example/x.css">',
        '<img src="a.png" srcset="a.png 1x, http://cdn.example/b.png 2x">',
        '<div style="background: url(https://cdn.example/x.png)"></div>',
        "<style>@import 'https://cdn.example/x.css';</style>",
        '<iframe src="https://video.example/x"></iframe>',
    ],
)
def test_a_planted_load_from_another_machine_is_found(body, tmp_path):
    (problem,) = checked(tmp_path, body)
    assert problem.startswith("index.html loads http") or "loads //cdn" in problem


def test_a_planted_load_in_a_style_sheet_is_found(tmp_path):
    style = '@font-face { src: url("https://fonts.example/x.woff2"); } a { b: url(data:x) }'
    assert checked(tmp_path, "", style) == ["site.css loads https://fonts.example/x.woff2"]


def test_links_to_other_machines_load_nothing(tmp_path):
    body = '<a href="https://a.example/x">x</a><link rel="canonical" href="https://a.example">'
    assert checked(tmp_path, body) == []


@pytest.mark.parametrize("link", ["other.html", "#there", "index.html#there", "../index.html"])
def test_a_planted_broken_link_is_found(link, tmp_path):
    (problem,) = checked(tmp_path, f'<a href="{link}">x</a><a href="#here">y</a>')
    assert problem == f"index.html links to {link}, which does not exist"


@pytest.mark.parametrize(
    ("row", "all_must_work", "found"),
    [
        ({"status": "working", "info": ""}, True, []),
        ({"status": "broken", "info": "404 Client Error: Not Found"}, False, [True]),
        ({"status": "broken", "info": "Max retries exceeded"}, False, [False]),
        ({"status": "broken", "info": "Max retries exceeded"}, True, [True]),
        ({"status": "timeout", "info": "timed out"}, False, [False]),
        ({"status": "timeout", "info": "timed out"}, True, [True]),
    ],
)
def test_only_an_answer_that_a_page_is_gone_is_an_error_without_a_network(
    row, all_must_work, found
):
    rows = [{"uri": "https://a.example", **row}]
    assert [is_error for is_error, _ in docs_build.unanswered(rows, all_must_work)] == found


POOL = "HTTPSConnectionPool(host='a.example', port=443): "


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        (
            {"status": "broken", "info": "404 Client Error: Not Found for url: https://a.example/x"},
            "does not exist: 404 Client Error: Not Found.",
        ),
        (
            {"status": "broken", "info": "403 Client Error: Forbidden for url: https://a.example/x"},
            "could not be checked: 403 Client Error: Forbidden.",
        ),
        (
            {"status": "broken", "info": f"{POOL}Max retries exceeded with url: /x (Caused by NameResolutionError())"},
            "could not be checked: no connection to the machine.",
        ),
        (
            {"status": "broken", "info": "('Connection aborted.', RemoteDisconnected('closed'))"},
            "could not be checked: no connection to the machine.",
        ),
        (
            {"status": "timeout", "info": f"{POOL}Read timed out. (read timeout=10)"},
            "could not be checked: the machine did not answer in time.",
        ),
        (
            {"status": "broken", "info": f"{POOL}Max retries exceeded with url: /x (Caused by ConnectTimeoutError(timed out))"},
            "could not be checked: the machine did not answer in time.",
        ),
        (
            {"status": "broken", "info": "Anchor 'x' not found"},
            "could not be checked: Anchor 'x' not found.",
        ),
    ],
)  # fmt: skip
def test_a_link_that_did_not_work_has_a_short_reason(row, sentence):
    rows = [{"uri": "https://a.example/x", **row}]
    ((_, found),) = docs_build.unanswered(rows, False)
    assert found == f"https://a.example/x {sentence}"
