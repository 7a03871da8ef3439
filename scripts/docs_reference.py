"""Generates the reference of the site from the code: the commands, the settings and the public names of Python.

The pages are Markdown for Sphinx with MyST. Sphinx itself reads the docstrings of the public names.
"""

import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Iterable, Iterator
from typing import Any, Final

import typer.main

import charloom
import charloom.errors
from charloom import listeners, research
from charloom.cli import app
from charloom.cli.setting_options import CHOICES, PANELS
from charloom.config import MACHINE_SETTINGS, NOT_WITH_ZERO, ONLY_WITH, Config, default_of, help_of
from charloom.recipes import RECIPES

Page = dict[str, str]  # texts of pages by their path below the folder of the reference

CONTENTS: Final = """
```{{toctree}}
:hidden:
:maxdepth: 1

{entries}
```
"""
LITERAL: Final = "\b"  # the mark of a paragraph that typer does not wrap


def contents(names: Iterable[str]) -> str:
    """Return the directive that puts pages into the navigation of the site."""
    return CONTENTS.format(entries="\n".join(names))


def escaped(text: str) -> str:
    """Return plain text as Markdown: characters with a meaning in Markdown or HTML are escaped."""
    return re.sub(r"([\\`*_{}\[\]<>#|$~])", r"\\\1", text)


# Commands


def commands() -> dict[str, Any]:
    """Return the commands of charloom by name, in the order of `charloom --help`.

    The commands of a group, such as `runs rm`, come after the group.
    """
    found = {}
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        found[name] = command
        for inner, nested in getattr(command, "commands", {}).items():
            found[f"{name} {inner}"] = nested
    return found


def page_of(name: str) -> str:
    """Return the name of the page of a command, without its ending."""
    return name.replace(" ", "-")


def parameters(command: Any) -> dict[str, list[Any]]:
    """Return the arguments and options of a command by the heading under which its help lists them.

    Hidden options are left out, as in the help.
    """
    groups: dict[str, list[Any]] = {"Arguments": [], "Options": [], **{name: [] for name in PANELS}}
    for parameter in (found for found in command.params if not getattr(found, "hidden", False)):
        own = "Arguments" if parameter.param_type_name == "argument" else "Options"
        heading = getattr(parameter, "rich_help_panel", None) or own
        groups.setdefault(heading, []).append(parameter)
    return {heading: found for heading, found in groups.items() if found}


def example_of(paragraph: str) -> list[str]:
    """Return the commands of a paragraph that shows examples; an empty list for other paragraphs."""
    lines = [line.strip() for line in paragraph.splitlines() if line.strip(f" {LITERAL}")]
    return lines[1:] if lines[0].rstrip("s:") == "Example" else []


def prose_of(help_text: str) -> Iterator[str]:
    """Yield the paragraphs of a help text as Markdown. Examples become blocks of shell commands."""
    for paragraph in re.split(r"\n\s*\n", help_text.strip()):
        if example := example_of(paragraph):
            yield "\n".join(["```sh", *example, "```"])
        else:
            yield escaped(" ".join(paragraph.split()))


def entry_of(name: str, parameter: Any, context: Any) -> str:
    """Return the entry of one argument or option: a term with an anchor, and its help text."""
    shown, text = parameter.get_help_record(context)
    word = parameter.opts[0]
    anchor = f"{page_of(name)}{word if word.startswith('-') else f'-{word}'}".replace("_", "-")
    return f"[`{shown}`]{{#{anchor}}}\n: {escaped(text)}\n"


def command_page(name: str, command: Any) -> str:
    """Return the page of one command."""
    context = command.make_context(name, [], resilient_parsing=True)
    usage = " ".join(["charloom", name, *command.collect_usage_pieces(context)])
    parts = [f"# charloom {name}", f"```text\n{usage}\n```", *prose_of(command.help)]
    for heading, found in parameters(command).items():
        parts += [f"## {heading}", *(entry_of(name, parameter, context) for parameter in found)]
    return "\n\n".join(parts) + "\n"


def command_pages() -> Page:
    """Return the page of each command, and the list of all commands."""
    known = commands()
    rows = [
        f"| [`charloom {name}`]({page_of(name)}.md) | {escaped(' '.join(command.help.split(chr(10) * 2)[0].split()))} |"
        for name, command in known.items()
    ]
    head = (
        "# Commands\n\nEach page has the text of `charloom COMMAND --help`. Commands that print results for\n"
        "programs have `--json`.\n\n| command | what it does |\n|---|---|\n"
    )
    pages = {f"commands/{page_of(name)}.md": command_page(name, known[name]) for name in known}
    return {
        "commands/index.md": head
        + "\n".join(rows)
        + "\n"
        + contents(f"{name} <{page_of(name)}>" for name in known),
        **pages,
    }


# Settings


def value_text(value: object) -> str:
    """Return the default of a setting as it is shown to users."""
    return "none" if value in (None, "") else f"`{value}`"


def conditions(name: str) -> Iterator[str]:
    """Yield the sentences that say when a setting has an effect, and whether a resumed run may change it."""
    if name in ONLY_WITH:
        other, values = ONLY_WITH[name]
        yield f"Has an effect only if `{other}` is {' or '.join(f'`{value}`' for value in values)}."
    if name in NOT_WITH_ZERO:
        yield f"Has no effect if `{NOT_WITH_ZERO[name]}` is 0."
    if name in MACHINE_SETTINGS:
        yield "`charloom resume` can change it."


def setting_entry(name: str) -> str:
    """Return the entry of one setting."""
    kinds = typing.get_type_hints(Config)
    if name in CHOICES:
        kind = "one of " + ", ".join(f"`{value}`" for value in CHOICES[name])
    else:
        kind = f"`{getattr(kinds[name], '__name__', kinds[name])}`"
    others = [
        f"{value_text(getattr(recipe.config, name))} in `{recipe.name}`"
        for recipe in RECIPES.values()
        if name != "recipe" and getattr(recipe.config, name) != default_of(name)
    ]
    text = escaped(help_of(name))
    sentences = [
        f"{text[0].upper()}{text[1:]}.",
        f"Type: {kind}. Default: {', '.join([value_text(default_of(name)), *others])}.",
        *conditions(name),
    ]
    option = name.replace("_", "-")
    return f"[`{name}`, `--{option}`]{{#{option}}}\n: {' '.join(sentences)}\n"


def settings_page() -> str:
    """Return the page of all settings, under the headings that the help of `charloom train` has."""
    parts = [
        "# Settings",
        "A setting is a keyword argument of `charloom.train` and an option of `charloom train`. Defaults are those\n"
        "of the recipe `classic`; other recipes are named where they differ. `charloom train` and `charloom.train`\n"
        "start from the recipe `quick`.",
    ]
    for heading, names in PANELS.items():
        parts += [f"## {heading}", *map(setting_entry, names.split())]
    return "\n\n".join(parts) + "\n"


# Python


def public_names() -> list[str]:
    """Return the names that `import charloom` offers to users."""
    return [name for name in charloom.__all__ if not name.startswith("_")]


def classes_in(hint: object) -> Iterator[type]:
    """Yield the classes of charloom in a type, also those inside of unions and containers."""
    if isinstance(hint, type) and hint.__module__.partition(".")[0] == "charloom":
        yield hint
    for argument in typing.get_args(hint):
        items = argument if isinstance(argument, list) else [argument]
        for item in items:
            yield from classes_in(item)


def hints_of(thing: Any) -> list[object]:
    """Return the types in the signature of a function, or of the fields and public methods of a class."""
    if isinstance(thing, type):
        members = [
            value
            for name, value in vars(thing).items()
            if not name.startswith("_") or name == "__init__"
        ]
        functions = [m.fget if isinstance(m, property) else m for m in members]
        nested = [
            hint for f in functions if isinstance(f, types.FunctionType) for hint in hints_of(f)
        ]
        fields = dataclasses.fields(thing) if dataclasses.is_dataclass(thing) else ()
        known = typing.get_type_hints(thing)
        return [*nested, *(known[field.name] for field in fields if field.name[0] != "_")]
    return list(typing.get_type_hints(thing).values())


def other_types() -> list[type]:
    """Return the classes of charloom that public functions and classes take or return, sorted by name.

    The fields and methods of these classes, and so on, take or return only classes in the list or public ones.
    """
    waiting: list[Any] = [getattr(charloom, name) for name in public_names()]
    found = {thing for thing in waiting if isinstance(thing, type)}
    public = frozenset(found)
    while waiting:
        kinds = {kind for hint in hints_of(waiting.pop()) for kind in classes_in(hint)} - found
        waiting += kinds
        found |= kinds
    return sorted(found - public - set(errors()), key=lambda kind: (kind.__name__, kind.__module__))


def errors() -> list[type]:
    """Return the classes of errors, each after its base class."""
    return [kind for kind in vars(charloom.errors).values() if isinstance(kind, type)][1:]


def qualified(kind: type) -> str:
    """Return the full name of a class."""
    return f"{kind.__module__}.{kind.__qualname__}"


def directive(kind: str, name: str, *options: str) -> str:
    """Return a block with a directive of Sphinx's autodoc."""
    lines = [f".. {kind}:: {name}", *(f"   :{option}:" for option in options)]
    return "\n".join(["```{eval-rst}", *lines, "```"])


def first_sentence(thing: Any) -> str:
    """Return the first paragraph of a docstring as Markdown on one line."""
    paragraph = (inspect.getdoc(thing) or "").split("\n\n")[0]
    return " ".join(paragraph.split()).replace("|", r"\|")


def place_of(name: str) -> str:
    """Return the page of a public name. Classes and functions have different folders, as names differ only in case."""
    kind = "classes" if isinstance(getattr(charloom, name), type) else "functions"
    return f"python/{kind}/{name}.md"


def python_page(name: str) -> str:
    """Return the page of one public name of Python."""
    if isinstance(getattr(charloom, name), type):
        return f"# charloom.{name}\n\n{directive('autoclass', f'charloom.{name}', 'members')}\n"
    return f"# charloom.{name}\n\n{directive('autofunction', f'charloom.{name}')}\n"


def classes_page(title: str, about: str, kinds: list[type], how: str) -> str:
    """Return a page with several classes, which the directive `how` describes."""
    parts = [f"# {title}", about]
    for kind in kinds:
        parts += [f"## {kind.__name__}", directive(how, qualified(kind), "members")]
    return "\n\n".join(parts) + "\n"


def research_names() -> list[str]:
    """Return the classes and functions of `charloom.research` that have no page of their own."""
    return [
        name
        for name in research.__all__
        if name not in charloom.__all__
        and callable(getattr(research, name))
        and getattr(research, name).__module__.startswith("charloom")
    ]


def research_page() -> str:
    """Return the page of the research layer."""
    about = (
        "The parts of training, for loops of your own. The guide [Loops of your own](../../guides/research.md) shows how\n"
        "to use them. `Parameters` and `State` are dicts of arrays by name."
    )
    parts = ["# charloom.research", about]
    for name in research_names():
        is_class = isinstance(getattr(research, name), type)
        kind, options = ("autoclass", ["members"]) if is_class else ("autofunction", [])
        parts += [f"## {name}", directive(kind, f"charloom.research.{name}", *options)]
    return "\n\n".join(parts) + "\n"


def listeners_page() -> str:
    """Return the page of the listeners that log a run."""
    about = "Each can be the `listener` of `charloom.train` and `charloom.resume`."
    kinds = [getattr(listeners, name) for name in listeners.__all__]
    return classes_page("charloom.listeners", about, kinds, "autoclass")


def python_pages() -> Page:
    """Return the page of each public name of Python, the list of all names, and the pages of other classes."""
    names = public_names()
    rows = [
        f"| [`charloom.{name}`]({place_of(name).removeprefix('python/')}) | {first_sentence(getattr(charloom, name))} |"
        for name in names
    ]
    head = (
        "# Python\n\n`import charloom` offers these names. `charloom.__version__` is the version as a string.\n\n"
        "| name | what it does or holds |\n|---|---|\n"
    )
    entries = [f"{n} <{place_of(n).removeprefix('python/').removesuffix('.md')}>" for n in names]
    others = ["research", "listeners", "errors", "types"]
    return {
        "python/index.md": head + "\n".join(rows) + "\n" + contents([*entries, *others]),
        "python/research.md": research_page(),
        "python/listeners.md": listeners_page(),
        **{place_of(name): python_page(name) for name in names},
        "python/errors.md": classes_page(
            "Errors",
            "All errors that a user can cause are in `charloom.errors`, and have the base class\n"
            "[`charloom.CharloomError`](classes/CharloomError.md).",
            errors(),
            "autoexception",
        ),
        "python/types.md": classes_page(
            "Other types",
            "The public functions and classes take or return values of these types.",
            other_types(),
            "autoclass",
        ),
    }


def reference() -> Page:
    """Return all pages of the reference by their path below the folder of the reference."""
    return {**command_pages(), "settings.md": settings_page(), **python_pages()}
