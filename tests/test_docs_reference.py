"""The reference of the site has every command, option, setting and public name, and every document is a page."""

import inspect
import re
import sys
from pathlib import Path

import pytest

import charloom
from charloom.config import Config, help_of
from charloom.recipes import RECIPES

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

import docs_pages  # noqa: E402
import docs_reference  # noqa: E402


@pytest.fixture(scope="module")
def pages():
    """Return the generated pages by name."""
    return docs_reference.reference()


def missing_commands(pages):
    """Return the commands, arguments and options of charloom that the pages lack."""
    found = []
    for name, command in docs_reference.commands().items():
        page = pages.get(f"commands/{docs_reference.page_of(name)}.md", "")
        if (
            f"[`charloom {name}`]({docs_reference.page_of(name)}.md)"
            not in pages["commands/index.md"]
        ):
            found.append(name)
        terms = re.findall(r"^\[`([^`]+)`\]\{#", page, re.MULTILINE)
        words = {word for term in terms for word in re.split(r"[\s,/\[\]]+", term)}
        for parameter in command.params:
            if parameter.param_type_name == "argument":
                wanted = [(parameter.metavar or parameter.name.upper()).strip("[]")]
            else:
                hidden = getattr(parameter, "hidden", False)
                wanted = [] if hidden else [*parameter.opts, *parameter.secondary_opts]
            found += [f"{name} {word}" for word in wanted if word not in words]
    return found


def test_every_command_and_option_is_in_the_reference(pages):
    assert missing_commands(pages) == []


def test_a_planted_missing_command_or_option_is_caught(pages):
    index = pages["commands/index.md"]
    for name, link in (("score", "score.md"), ("runs rm", "runs-rm.md")):
        planted = {**pages, "commands/index.md": index.replace(f"[`charloom {name}`]({link})", "")}
        assert missing_commands(planted) == [name]
    page = pages["commands/score.md"]
    planted = {**pages, "commands/score.md": page.replace("[`--which", "[`--whom")}
    assert page.count("[`--which") == 1
    assert missing_commands(planted) == ["score --which"]


def test_every_example_of_the_help_is_a_block_of_shell_commands(pages):
    for name, command in docs_reference.commands().items():
        shown = re.findall(r"^ *(charloom .*)$", command.help, re.MULTILINE)
        (block,) = re.findall(
            r"^```sh\n(.*?)^```$", pages[f"commands/{docs_reference.page_of(name)}.md"], re.M | re.S
        )
        assert block.splitlines() == shown


def test_the_help_of_an_option_is_plain_text_in_the_page():
    text = "files such as '**/*.txt' or <name> [default: a_b]"
    assert docs_reference.escaped(text) == (
        r"files such as '\*\*/\*.txt' or \<name\> \[default: a\_b\]"
    )


def missing_settings(page):
    """Return the settings whose entry the page lacks, or has without its help."""
    found = []
    for name in Config().to_dict():
        entry = re.search(rf"^\[`{name}`, `--[a-z0-9-]+`\]\{{#.*\n: (.*)$", page, re.MULTILINE)
        text = docs_reference.escaped(help_of(name))
        if not entry or text[1:] not in entry[1]:
            found.append(name)
    return found


def test_every_setting_is_in_the_reference_with_its_help(pages):
    page = pages["settings.md"]
    assert missing_settings(page) == []
    assert missing_settings(page.replace("of each layer's outputs set to 0", "of each")) == [
        "dropout"
    ]
    for recipe in RECIPES:
        assert f"`{recipe}`" in page


def test_a_setting_says_when_it_has_an_effect():
    assert "Has an effect only if `init` is `normal`." in docs_reference.setting_entry("sigma")
    assert "Has no effect if `clip` is 0." in docs_reference.setting_entry("clip_by")
    assert "`charloom resume` can change it." in docs_reference.setting_entry("threads")


def missing_names(pages):
    """Return the public names of Python that the pages lack, and the public classes without their members."""
    found = []
    for name in charloom.__all__:
        if name.startswith("__"):
            known = f"`charloom.{name}`" in pages["python/index.md"]
        else:
            page = pages.get(docs_reference.place_of(name), "")
            is_class = inspect.isclass(getattr(charloom, name))
            wanted = f".. auto{'class' if is_class else 'function'}:: charloom.{name}\n"
            known = wanted in page and (not is_class or "\n   :members:\n" in page)
            known &= f"[`charloom.{name}`](" in pages["python/index.md"]
        found += [] if known else [name]
    return found


def test_every_public_name_is_in_the_reference(pages):
    assert missing_names(pages) == []


def test_a_planted_missing_name_is_caught(pages):
    page = docs_reference.place_of("Model")
    planted = {**pages, page: pages[page].replace(":members:", "")}
    assert missing_names(planted) == ["Model"]
    planted = {name: text for name, text in pages.items() if not name.endswith("/gradcheck.md")}
    assert missing_names(planted) == ["gradcheck"]


def test_every_member_of_a_public_class_has_a_docstring():
    """Sphinx leaves out members without one."""
    for name in charloom.__all__:
        kind = getattr(charloom, name)
        if inspect.isclass(kind):
            for member, value in vars(kind).items():
                if not member.startswith("_") and (
                    inspect.isfunction(value) or hasattr(value, "fget")
                ):
                    assert inspect.getdoc(value), f"{name}.{member}"


def test_types_in_public_signatures_and_all_errors_are_in_the_reference(pages):
    kinds = docs_reference.other_types()
    names = [kind.__name__ for kind in kinds]
    for name in ("Corpus", "Record", "Surprise", "SampleOptions"):
        assert name in names
    for kind in kinds:
        assert f":: {docs_reference.qualified(kind)}\n" in pages["python/types.md"]
    for error in ("ConfigError", "EncodingError", "WriteError"):
        assert f":: charloom.errors.{error}\n" in pages["python/errors.md"]


def test_no_two_pages_have_names_that_differ_only_in_case():
    names = [name.lower() for name, _ in docs_pages.sources()]
    assert len(names) == len(set(names))


def unlisted_pages(sources):
    """Return the pages that no list of contents names."""
    listed = {"index.md"}
    for name, text in sources.items():
        for block in re.findall(r"^```\{toctree\}\n(.*?)^```$", text, re.M | re.S):
            entries = [
                re.sub(r".*<(.*)>", r"\1", line)
                for line in block.splitlines()
                if line and not line.startswith(":")
            ]
            folder = Path(name).parent
            listed |= {(folder / entry).as_posix() for entry in entries}
    return [
        name for name in sources if name != "index.md" and name.rpartition(".")[0] not in listed
    ]


def test_every_page_is_in_the_navigation():
    sources = dict(docs_pages.sources())
    assert unlisted_pages(sources) == []
    index = sources["index.md"].replace("reference/settings\n", "")
    assert unlisted_pages({**sources, "index.md": index}) == ["reference/settings.md"]


def test_every_document_of_the_repository_is_a_page():
    kept = [p.name for p in ROOT.glob("*.md")] + [
        p.relative_to(ROOT).as_posix() for p in (ROOT / "docs").rglob("*.md")
    ]
    assert sorted(kept) == sorted(f for f in docs_pages.documents() if f.endswith(".md"))


def missing_research_names(page):
    """Return the classes and functions of `charloom.research` that the page lacks."""
    return [
        name
        for name in docs_reference.research_names()
        if f":: charloom.research.{name}\n" not in page
    ]


def test_the_research_layer_is_in_the_reference(pages):
    page = pages["python/research.md"]
    assert missing_research_names(page) == []
    assert missing_research_names(page.replace("autoclass:: charloom.research.Plan", "")) == [
        "Plan"
    ]
    assert {"TrainingLoop", "Learner", "Plan", "open_engine"} <= set(
        docs_reference.research_names()
    )


def test_the_listeners_are_in_the_reference(pages):
    for name in ("TensorBoard", "WandB", "MLflow"):
        assert f":: charloom.listeners.{name}\n" in pages["python/listeners.md"]
