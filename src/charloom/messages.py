"""Messages that name arguments and commands, which each interface (face) writes in its own way.

The faces are Python, the command line and the page. The code below the faces puts a mark into a
message where an argument or a command must be named: the mark `argument("unknown", "skip")` becomes
unknown="skip" in Python and --unknown skip on the command line. A message with marks is a plain
string. One of the functions `for_…` must replace the marks before the message is shown or stored.
"""

import json
import re
import shlex
from collections.abc import Callable
from itertools import starmap
from pathlib import PurePath
from typing import Any, Final

# The beginning and the end of a mark. Unicode reserves these code points for use inside programs,
# so that normal text does not contain them.
OPEN: Final = "\ufdd0"
CLOSE: Final = "\ufdd1"
MARK: Final = re.compile(f"{OPEN}([^{CLOSE}]*){CLOSE}")
MARK_IN_HTML: Final = re.compile(f"{OPEN}[^{OPEN}{CLOSE}<>]*{CLOSE}")

PLACEHOLDER: Final = "placeholder"

# The environment variable that selects the face for which a command writes its messages. The server
# sets it to PAGE for the processes that it starts, because only the page shows their output.
FACE: Final = "CHARLOOM_FACE"
PAGE: Final = "page"
# The beginning of the lines in which a command reports that it searches for a learning rate. The server recognizes
# them in the output of the processes that it starts.
SEARCHING: Final = "searching for the learning rate"
# The same for the lines about the progress of reading a long text.
READING: Final = "reading the text"

# Arguments whose option on the command line is not the argument's name with hyphens.
OPTIONS: Final = {"from_model": "--from", "string": "--text"}
# Options of the command line that have no field on the page, which names the option itself.
WITHOUT_FIELD: Final = frozenset({"cell_file"})


class Placeholder(str):
    """A word, such as TEXT, that the user must replace by a value. It is written without quotes."""


def argument(name: str, value: object = None) -> str:
    """Return a mark for an argument: text in a message that each interface replaces by its own words.

    Args:
        name: the name of the Python argument, such as learning_rate.
        value: the value that the argument should have: a string, number, bool, list, dict of
            strings or `Placeholder`. With None, the message names the argument without a value.
    """
    return _mark({"argument": name, "value": value})


def arguments(**values: object) -> str:
    """Return one mark for several arguments that must be given together.

    A mark is text in a message that each interface replaces by its own words. `values` has the name
    of each argument, and the value that the user must give it.
    """
    return _mark({"arguments": values})


def words_by_face(*, in_python: str, elsewhere: str) -> str:
    """Return a mark for words that differ between Python and the other interfaces.

    A mark is text in a message. Python replaces this mark by `in_python`. The command line and the
    page replace it by `elsewhere`.
    """
    return _mark({"either": [in_python, elsewhere]})


def command(name: str, *values: object, **arguments: object) -> str:
    """Return a mark for a complete command: text in a message that stands for the command.

    In Python, a call such as charloom.resume("runs/book") replaces the mark. On the command line
    and on the page, the command as typed in a terminal replaces the mark. The user can run the call
    or the command without changes.

    Args:
        name: the name of the command and of the Python function, such as resume.
        values: the positional arguments of the command, such as a path.
        arguments: the other arguments of the command, by name.
    """
    return _mark({"command": name, "values": values, "named": arguments})


def terminal_command(name: str, *values: object, **arguments: object) -> str:
    """Return a mark for a command that has no Python function, such as `charloom serve`.

    A mark is text in a message. Every interface replaces this mark by the command as typed in a
    terminal.

    Args:
        name: the name of the command, such as serve.
        values: the positional arguments of the command, such as a path.
        arguments: the other arguments of the command, by name.
    """
    return _mark({"command": name, "values": values, "named": arguments, "terminal": True})


def pip_command(extra: str) -> str:
    """Return words for a message: where and how to install an extra of charloom, such as hub.

    charloom is not on PyPI, so pip must install the extra from the clone.
    """
    return f"in the clone of charloom: pip install '.[{extra}]'"


def for_python(message: str) -> str:
    """Return the message with arguments and commands as in Python, such as unknown="skip"."""
    return _spelled(message, _python_argument, _python_command, ", ".join)


def for_command_line(message: str) -> str:
    """Return the message with arguments and commands as in a terminal, such as --unknown skip."""
    return _spelled(message, _option, _shell_command, " ".join)


def for_page(message: str) -> str:
    """Return the message with arguments and commands as on the page, such as “learning rate”.

    An argument gets the name of its field on the page. A command is written as in a terminal.
    """
    return _spelled(message, _field, _shell_command, _enumeration)


def for_any_face(message: str) -> str:
    """Return the message with words that suit Python, the command line and the page.

    Messages in the files of a run have these words, because each of the three interfaces may show
    them.
    """
    return for_page(message)


def for_file(message: str) -> str:
    """Return the message with arguments as keys of a TOML file, such as unknown = "skip".

    Commands are written as in a terminal.
    """
    return _spelled(message, _key, _shell_command, _enumeration)


def option(name: str) -> str:
    """Return the command-line option of a Python argument, such as --learning-rate."""
    return OPTIONS.get(name, "--" + name.replace("_", "-"))


def spelled_for(value: Any, spell: Callable[[str], str]) -> Any:
    """Return the JSON data `value` with each string in it replaced by `spell(string)`, at any depth.

    The keys of dicts do not change.
    """
    if isinstance(value, str):
        return spell(value)
    if isinstance(value, dict):
        return {name: spelled_for(inner, spell) for name, inner in value.items()}
    return [spelled_for(inner, spell) for inner in value] if isinstance(value, list) else value


def spelled_in_html(page: str, spell: Callable[[str], str]) -> str:
    """Return an HTML page with each mark in its text replaced by `spell`.

    The text of a page is escaped, and so is the JSON of a mark in it. So each mark is unescaped, spelled and
    escaped again.
    """
    import html  # only pages need it, and it is slow to import

    def spelled(found: re.Match[str]) -> str:
        return html.escape(spell(html.unescape(found[0])))

    return MARK_IN_HTML.sub(spelled, page)


def quoted(value: object) -> str:
    """Return a value as one word for a shell, in quotes if it needs them.

    A string or path that begins with - becomes ./-…, so that a command does not take it for an
    option. A value with control characters is written in the form $'…', with the characters as
    octal codes. bash, zsh, ksh and the POSIX standard of 2024 know this form; dash does not.
    """
    text = str(value)
    if isinstance(value, str | PurePath) and text.startswith("-") and text != "-":
        text = "./" + text
    if text.isprintable():
        return shlex.quote(text)
    return "$'" + "".join(map(_escaped, text)) + "'"


def _mark(content: dict[str, Any]) -> str:
    """Return a mark: the dict `content` as JSON, between the characters OPEN and CLOSE.

    A mark stands for an argument or a command in a message; `content` describes the argument or
    command. The JSON is ASCII, so it cannot contain OPEN or CLOSE.
    """
    return OPEN + json.dumps(_plain(content), default=str) + CLOSE


def _plain(value: Any) -> Any:
    """Return the value with only the types of JSON; each `Placeholder` in it becomes a dict."""
    if isinstance(value, Placeholder):
        return {PLACEHOLDER: str(value)}
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def _read(value: dict[str, Any]) -> Any:
    """Return the `Placeholder` for a dict with the key "placeholder"; return any other dict unchanged.

    The JSON parser calls this function for each object. `_plain` wrote the `Placeholder` as a dict,
    because JSON has no such type.
    """
    return Placeholder(value[PLACEHOLDER]) if PLACEHOLDER in value else value


def _spelled(
    message: str,
    spell_argument: Callable[[str, Any], str],
    spell_command: Callable[[str, list[Any], dict[str, Any]], str],
    join: Callable[[list[str]], str],
) -> str:
    """Return the message with each mark replaced by the words of one interface.

    Args:
        message: the message. Its marks stand for arguments and commands.
        spell_argument: function that returns the interface's words for an argument, given the
            name and the value of the argument.
        spell_command: function that returns the interface's words for a command, given the
            command's name, its positional arguments, and its other arguments by name.
        join: function that returns one text for a list of arguments that are already in words.
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
                words = str(in_python if spell_argument is _python_argument else elsewhere)
                return _spelled(words, spell_argument, spell_command, join)
            spell = _shell_command if "terminal" in content else spell_command
            return spell(content["command"], content["values"], content["named"])
        except (ValueError, TypeError, KeyError, AttributeError):
            # Text between OPEN and CLOSE that is not valid JSON of a mark stays unchanged. It may come
            # from a file name, for example.
            return found[0]

    return MARK.sub(spell, message)


def _python_argument(name: str, value: Any) -> str:
    """Return an argument as in a Python call, such as unknown="skip", or `name` if `value` is None."""
    return name if value is None else f"{name}={_python_value(value)}"


def _python_command(name: str, values: list[Any], named: dict[str, Any]) -> str:
    """Return a command as a Python call, such as charloom.resume("runs/book", epochs=3).

    In this example, `name` is resume, `values` has the path, and `named` has the value of epochs.
    """
    parts = [*map(_python_value, values), *(_python_argument(*pair) for pair in named.items())]
    return f"charloom.{name}({', '.join(parts)})"


def _python_value(value: Any) -> str:
    """Return a value as Python source code, such as "runs/book", ["a", "b"] or 3."""
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
    """Return an argument as a command-line option, such as --unknown skip.

    If `value` is True or None, return --NAME; if it is False, --no-NAME.
    """
    if value is None or value is True:
        return option(name)
    if value is False:
        return option(f"no_{name}")
    return f"{option(name)} {quoted(_listed(value))}"


def _listed(value: Any) -> Any:
    """Return a list as text such as x,y and a dict as text such as U=Wxh,W=Whh.

    Return any other value as it is.
    """
    if isinstance(value, dict):
        value = [f"{name}={inner}" for name, inner in value.items()]
    return ",".join(map(str, value)) if isinstance(value, list) else value


def _shell_command(name: str, values: list[Any], named: dict[str, Any]) -> str:
    """Return a command as in a terminal, such as charloom resume runs/book --epochs 3.

    In this example, `name` is resume, `values` has the path, and `named` has the value of epochs.
    """
    return " ".join(
        ["charloom", name, *map(quoted, values), *(_option(*pair) for pair in named.items())]
    )


def _field(name: str, value: Any) -> str:
    """Return an argument as a field of the page with its value, such as “learning rate” 0.1."""
    if name in WITHOUT_FIELD:
        return _option(name, value)
    words = f"“{name.replace('_', ' ').replace('ngram', 'n-gram')}”"
    return words if value is None or value is True else f"{words} {_listed(value)}"


def _key(name: str, value: Any) -> str:
    """Return an argument as a key of a TOML file with its value, such as unknown = "skip", or `name` if it is None."""
    return name if value is None else f"{name} = {json.dumps(value, ensure_ascii=False)}"


def _enumeration(items: list[str]) -> str:
    """Return the texts in `items` joined into one text, such as “x” 1, “y” 2 and “z” 3."""
    *others, last = items
    return f"{', '.join(others)} and {last}" if others else last


def _escaped(character: str) -> str:
    """Return a character as it is written inside $'…', with an escape code if it needs one.

    The codes are octal, because an octal code ends after three digits, unlike a hexadecimal one.
    """
    if character in "\\'":
        return "\\" + character
    if character.isprintable():
        return character
    return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(
        character, "".join(f"\\{byte:03o}" for byte in _as_bytes(character))
    )


def _as_bytes(character: str) -> bytes:
    """Return a character in UTF-8.

    Python writes a byte of a file name that is not UTF-8 as a surrogate. Such a surrogate becomes
    the byte again. Any other surrogate becomes a question mark.
    """
    try:
        return character.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return character.encode("utf-8", "replace")
