"""Messages that name arguments and commands, which Python, the command line and the page spell differently.

Code below the faces marks them: `argument("unknown", "skip")` becomes unknown="skip" in Python and
--unknown skip on the command line. A marked message is a plain string. It must be spelled by one of the
functions `for_…` before it is shown or stored.
"""

import json
import re
import shlex
from collections.abc import Callable
from itertools import starmap
from pathlib import PurePath
from typing import Any, Final

# Code points that Unicode reserves for use inside programs: no text contains them.
OPEN: Final = "\ufdd0"
CLOSE: Final = "\ufdd1"
MARK: Final = re.compile(f"{OPEN}([^{CLOSE}]*){CLOSE}")

PLACEHOLDER: Final = "placeholder"

# The environment variable that selects the spelling of a command's messages. The server sets it to PAGE
# for the processes that it starts, because only the page shows their output.
FACE: Final = "CHARLOOM_FACE"
PAGE: Final = "page"

# Arguments whose option has another name than the rule of `option` gives.
OPTIONS: Final = {"from_model": "--from", "string": "--text"}


class Placeholder(str):
    """A word, such as TEXT, that the user must replace by a value. It is spelled without quotes."""


def argument(name: str, value: object = None) -> str:
    """Return a mark for an argument.

    Args:
        name: the name of the Python argument, such as learning_rate.
        value: the value that it should have: a string, number, bool, list, dict of strings or
            `Placeholder`. None names the argument without a value.
    """
    return _mark({"argument": name, "value": value})


def arguments(**values: object) -> str:
    """Return a mark for several arguments that must be given together, with their values."""
    return _mark({"arguments": values})


def words_by_face(*, in_python: str, elsewhere: str) -> str:
    """Return a mark for words that differ between Python and the other faces."""
    return _mark({"either": [in_python, elsewhere]})


def command(name: str, *values: object, **arguments: object) -> str:
    """Return a mark for a command that the user can run without changes.

    Args:
        name: the name of the command and of the Python function, such as resume.
        values: its positional arguments, such as a path.
        arguments: its arguments by name.
    """
    return _mark({"command": name, "values": values, "named": arguments})


def terminal_command(name: str, *values: object, **arguments: object) -> str:
    """Return a mark for a command without a Python function; every face spells it for a terminal."""
    return _mark({"command": name, "values": values, "named": arguments, "terminal": True})


def for_python(message: str) -> str:
    """Return the message with arguments and commands in Python, such as unknown="skip"."""
    return _spelled(message, _python_argument, _python_command, ", ".join)


def for_command_line(message: str) -> str:
    """Return the message with options and commands of a terminal, such as --unknown skip."""
    return _spelled(message, _option, _shell_command, " ".join)


def for_page(message: str) -> str:
    """Return the message with the names of the page's fields, and with commands of a terminal."""
    return _spelled(message, _field, _shell_command, _enumeration)


def for_any_face(message: str) -> str:
    """Return the message in words that suit Python, the command line and the page alike.

    Such a message is for a file of a run, which each of them may show.
    """
    return for_page(message)


def option(name: str) -> str:
    """Return the command-line option of a Python argument, such as --learning-rate."""
    return OPTIONS.get(name, "--" + name.replace("_", "-"))


def spelled_for(value: Any, spell: Callable[[str], str]) -> Any:
    """Return plain data with `spell` applied to every string in it, at any depth; keys stay."""
    if isinstance(value, str):
        return spell(value)
    if isinstance(value, dict):
        return {name: spelled_for(inner, spell) for name, inner in value.items()}
    return [spelled_for(inner, spell) for inner in value] if isinstance(value, list) else value


def quoted(value: object) -> str:
    """Return a value as one word for a shell.

    A string or path that begins with - becomes ./-…, so that it is not read as an option. Control
    characters are written as octal codes in $'…'. bash, zsh, ksh and the POSIX standard of 2024 know
    this form. An older sh such as dash does not, but no shell accepts a pasted raw control character.
    """
    text = str(value)
    if isinstance(value, str | PurePath) and text.startswith("-") and text != "-":
        text = "./" + text
    if text.isprintable():
        return shlex.quote(text)
    return "$'" + "".join(map(_escaped, text)) + "'"


def _mark(content: dict[str, Any]) -> str:
    """Return the content as JSON between OPEN and CLOSE, which JSON in ASCII cannot contain."""
    return OPEN + json.dumps(_plain(content), default=str) + CLOSE


def _plain(value: Any) -> Any:
    """Return the value with types that JSON has: a placeholder becomes an object of one field."""
    if isinstance(value, Placeholder):
        return {PLACEHOLDER: str(value)}
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def _read(value: dict[str, Any]) -> Any:
    """Return the value of a JSON object that `_plain` made; called for each object from the inside out."""
    return Placeholder(value[PLACEHOLDER]) if PLACEHOLDER in value else value


def _spelled(
    message: str,
    spell_argument: Callable[[str, Any], str],
    spell_command: Callable[[str, list[Any], dict[str, Any]], str],
    join: Callable[[list[str]], str],
) -> str:
    """Return the message with each mark replaced by its spelling.

    `spell_argument` gets a name and a value, `join` several arguments that were spelled. `spell_command` gets a name, the positional arguments and
    the arguments by name.
    """

    def spell(found: re.Match[str]) -> str:
        try:
            content = json.loads(found[1], object_hook=_read)
            if "argument" in content:
                return spell_argument(content["argument"], content["value"])
            if "arguments" in content:
                spelled = list(starmap(spell_argument, content["arguments"].items()))
                return join(spelled)
            if "either" in content:
                in_python, elsewhere = content["either"]
                return str(in_python if spell_argument is _python_argument else elsewhere)
            spell = _shell_command if "terminal" in content else spell_command
            return spell(content["command"], content["values"], content["named"])
        except (ValueError, TypeError, KeyError, AttributeError):
            return found[
                0
            ]  # not a mark: a text that the message repeats may have these code points

    return MARK.sub(spell, message)


def _python_argument(name: str, value: Any) -> str:
    """Return an argument such as unknown="skip"; without a value only the name."""
    return name if value is None else f"{name}={_python_value(value)}"


def _python_command(name: str, values: list[Any], named: dict[str, Any]) -> str:
    """Return a call such as charloom.resume("runs/book", epochs=3)."""
    parts = [*map(_python_value, values), *(_python_argument(*pair) for pair in named.items())]
    return f"charloom.{name}({', '.join(parts)})"


def _python_value(value: Any) -> str:
    """Return a value as Python source; strings are in double quotes if they contain none."""
    if isinstance(value, Placeholder):
        return value
    if isinstance(value, list):
        return f"[{', '.join(map(_python_value, value))}]"
    if isinstance(value, dict):
        return (
            f"{{{', '.join(f'{_python_value(k)}: {_python_value(v)}' for k, v in value.items())}}}"
        )
    written = repr(value)
    return f'"{written[1:-1]}"' if isinstance(value, str) and '"' not in written else written


def _option(name: str, value: Any) -> str:
    """Return an option such as --unknown skip; for a bool only --NAME or --no-NAME."""
    if value is None or value is True:
        return option(name)
    if value is False:
        return option(f"no_{name}")
    return f"{option(name)} {quoted(_listed(value))}"


def _listed(value: Any) -> Any:
    """Return a list in the form x,y and a dict in the form U=Wxh,W=Whh; other values stay."""
    if isinstance(value, dict):
        value = [f"{name}={inner}" for name, inner in value.items()]
    return ",".join(map(str, value)) if isinstance(value, list) else value


def _shell_command(name: str, values: list[Any], named: dict[str, Any]) -> str:
    """Return a command such as charloom resume runs/book --epochs 3."""
    return " ".join(
        ["charloom", name, *map(quoted, values), *(_option(*pair) for pair in named.items())]
    )


def _field(name: str, value: Any) -> str:
    """Return the name of the page's field and the value, such as “learning rate” 0.1."""
    words = f"“{name.replace('_', ' ')}”"
    return words if value is None or value is True else f"{words} {_listed(value)}"


def _enumeration(items: list[str]) -> str:
    """Return the items as “x” 1, “y” 2 and “z” 3."""
    *others, last = items
    return f"{', '.join(others)} and {last}" if others else last


def _escaped(character: str) -> str:
    """Return a character for use within $'…'.

    Codes are octal, because they end after three digits, unlike hexadecimal ones.
    """
    if character in "\\'":
        return "\\" + character
    if character.isprintable():
        return character
    return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(
        character, "".join(f"\\{byte:03o}" for byte in _as_bytes(character))
    )


def _as_bytes(character: str) -> bytes:
    """Return a character in UTF-8. A surrogate that stands for a byte that is not UTF-8 gives that byte."""
    try:
        return character.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return character.encode("utf-8", "replace")
