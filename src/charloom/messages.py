"""Messages that name arguments or commands, which each face spells in its own way.

Code below the faces marks them: `argument("unknown", "skip")` is unknown="skip" for somebody who
called a Python function and --unknown skip for somebody who typed a command. A marked message is a
plain string; it must be spelled before anybody reads it or a file keeps it.
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

# The environment variable that says for which face a command spells its messages. The server sets it to
# PAGE for the processes that it starts, because only the page shows what they print.
FACE: Final = "CHARLOOM_FACE"
PAGE: Final = "page"

# Arguments whose option has another name than the rule of `option` gives.
OPTIONS: Final = {"from_model": "--from", "string": "--text"}


class Placeholder(str):
    """A word, such as TEXT, that stands for what the user puts there."""


def argument(name: str, value: object = None) -> str:
    """Mark an argument, and the value that it should have where one is given.

    Args:
        name: the name of the Python argument, such as learning_rate.
        value: a string, number, bool, list, dict of strings or `Placeholder`.
    """
    return _mark({"argument": name, "value": value})


def arguments(**values: object) -> str:
    """Mark several arguments with their values, to be given together."""
    return _mark({"arguments": values})


def either(*, in_python: str, elsewhere: str) -> str:
    """Mark words of which somebody who called a Python function reads other ones than all others."""
    return _mark({"either": [in_python, elsewhere]})


def command(name: str, *values: object, **arguments: object) -> str:
    """Mark a command that somebody may run as it stands.

    Args:
        name: of the command, such as resume, which is also the name of the Python function.
        values: what it is given by place, paths for the most part.
        arguments: what it is given by name.
    """
    return _mark({"command": name, "values": values, "named": arguments})


def terminal_command(name: str, *values: object, **arguments: object) -> str:
    """Mark a command that no Python function stands for: every face spells it for a terminal."""
    return _mark({"command": name, "values": values, "named": arguments, "terminal": True})


def for_python(message: str) -> str:
    """The message with arguments as Python has them: unknown="skip"."""
    return _spelled(message, _python_argument, _python_command)


def for_command_line(message: str) -> str:
    """The message with options, and with commands that can be pasted: --unknown skip."""
    return _spelled(message, _option, _shell_command)


def for_page(message: str) -> str:
    """The message with the names of the page's fields, and with commands for a terminal."""
    return _spelled(message, _field, _shell_command)


def for_any_face(message: str) -> str:
    """Return the message in words that fit every face, for a file of a run that any face may show."""
    return for_page(message)


def option(name: str) -> str:
    """The option that gives a Python argument on the command line."""
    return OPTIONS.get(name, "--" + name.replace("_", "-"))


def spelled_for(value: Any, spell: Callable[[str], str]) -> Any:
    """Plain data with every string in it spelled for a face."""
    if isinstance(value, str):
        return spell(value)
    if isinstance(value, dict):
        return {name: spelled_for(inner, spell) for name, inner in value.items()}
    return [spelled_for(inner, spell) for inner in value] if isinstance(value, list) else value


def quoted(value: object) -> str:
    """A value as one word for a shell.

    A path that begins with - becomes ./-…, so that it is not taken for an option. Control characters
    are written as octal codes in $'…', which bash, zsh, ksh and the POSIX standard of 2024 know; an
    older sh such as dash does not, but a raw control character could not be pasted anywhere.
    """
    text = str(value)
    if isinstance(value, str | PurePath) and text.startswith("-") and text != "-":
        text = "./" + text
    if text.isprintable():
        return shlex.quote(text)
    return "$'" + "".join(map(_escaped, text)) + "'"


def _mark(content: dict[str, Any]) -> str:
    """The content between marks; JSON in ASCII cannot contain them."""
    return OPEN + json.dumps(_plain(content), default=str) + CLOSE


def _plain(value: Any) -> Any:
    """The value as JSON can have it: a placeholder becomes an object of one field."""
    if isinstance(value, Placeholder):
        return {PLACEHOLDER: str(value)}
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def _read(value: dict[str, Any]) -> Any:
    """The inverse of `_plain`, object by object."""
    return Placeholder(value[PLACEHOLDER]) if PLACEHOLDER in value else value


def _spelled(
    message: str,
    spell_argument: Callable[[str, Any], str],
    spell_command: Callable[[str, list[Any], dict[str, Any]], str],
) -> str:
    """The message with each mark replaced by its spelling."""

    def spell(found: re.Match[str]) -> str:
        try:
            content = json.loads(found[1], object_hook=_read)
            if "argument" in content:
                return spell_argument(content["argument"], content["value"])
            if "arguments" in content:
                apart = ", " if spell_argument is _python_argument else " "
                return apart.join(starmap(spell_argument, content["arguments"].items()))
            if "either" in content:
                in_python, elsewhere = content["either"]
                return str(in_python if spell_argument is _python_argument else elsewhere)
            spell = _shell_command if "terminal" in content else spell_command
            return spell(content["command"], content["values"], content["named"])
        except (ValueError, TypeError, KeyError, AttributeError):
            return found[0]  # no mark of ours: a text may hold these code points after all

    return MARK.sub(spell, message)


def _python_argument(name: str, value: Any) -> str:
    """unknown="skip"; without a value the name alone."""
    return name if value is None else f"{name}={_python_value(value)}"


def _python_command(name: str, values: list[Any], named: dict[str, Any]) -> str:
    """charloom.resume("runs/book", epochs=3)."""
    given = [*map(_python_value, values), *(_python_argument(*pair) for pair in named.items())]
    return f"charloom.{name}({', '.join(given)})"


def _python_value(value: Any) -> str:
    """A value as Python source."""
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
    """--unknown skip; a bool is given by the option alone."""
    if value is None or value is True:
        return option(name)
    if value is False:
        return option(f"no_{name}")
    return f"{option(name)} {quoted(_listed(value))}"


def _listed(value: Any) -> Any:
    """A list as the command line takes it, x,y, and a dict likewise, U=Wxh,W=Whh."""
    if isinstance(value, dict):
        value = [f"{name}={inner}" for name, inner in value.items()]
    return ",".join(map(str, value)) if isinstance(value, list) else value


def _shell_command(name: str, values: list[Any], named: dict[str, Any]) -> str:
    """charloom resume runs/book --epochs 3."""
    return " ".join(
        ["charloom", name, *map(quoted, values), *(_option(*pair) for pair in named.items())]
    )


def _field(name: str, value: Any) -> str:
    """“learning rate” 0.1: the words of the field, as the page shows them."""
    words = f"“{name.replace('_', ' ')}”"
    return words if value is None or value is True else f"{words} {_listed(value)}"


def _escaped(character: str) -> str:
    """A character within $'…'. Codes are octal: unlike hexadecimal ones they end after three digits."""
    if character in "\\'":
        return "\\" + character
    if character.isprintable():
        return character
    return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(
        character, "".join(f"\\{byte:03o}" for byte in _as_bytes(character))
    )


def _as_bytes(character: str) -> bytes:
    """A character in UTF-8; of what Python made of a byte that is no UTF-8, that byte."""
    try:
        return character.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return character.encode("utf-8", "replace")
