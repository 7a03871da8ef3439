"""A group of commands of which one is meant if the user names none, such as `charloom runs [DIR]`."""

from contextlib import suppress
from pathlib import Path
from typing import Any

from typer.core import TyperGroup

from charloom.errors import ConfigError
from charloom.formatting import shortened
from charloom.name_suggestions import did_you_mean


def require_no_misspelt_command(args: list[str], commands: list[str]) -> None:
    """Raise ConfigError if the first word is a misspelt command, rather than an argument of the default command.

    A file or a directory that exists, an option, and a path with a slash or an ending are arguments.
    """
    word = args[0]
    if word.startswith("-") or "." in word or "/" in word or is_path(word):
        return
    meant = did_you_mean(word, commands)
    several = len(args) > 1 and not args[1].startswith("-")
    if meant or several:
        among = meant or f"the commands are {', '.join(commands)}."
        raise ConfigError(f"{shortened(word)} is neither a command nor a path that exists; {among}")


def is_path(word: str) -> bool:
    """Return True if a word is the path of a file or a directory that exists."""
    with suppress(OSError):  # the name may be too long
        return Path(word).exists()
    return False


def group_with_default(default: str) -> type[TyperGroup]:
    """Return a class of groups in which `default` is the command if the user names none."""

    default_name = default

    class GroupWithDefault(TyperGroup):
        """A group of commands. `default` is the command that is meant if the user names none."""

        default = default_name

        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            if not args and ctx.resilient_parsing:
                return []  # a shell asks for the next word, which may be the name of a command
            named = args and (args[0] in self.commands or args[0] in ctx.help_option_names)
            if args and not named:
                require_no_misspelt_command(args, list(self.commands))
            parsed: list[str] = super().parse_args(ctx, args if named else [self.default, *args])
            return parsed

    return GroupWithDefault
