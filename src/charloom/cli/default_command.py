"""A group of commands of which one is meant if the user names none, such as `charloom runs [DIR]`."""

from typing import Any

from typer.core import TyperGroup


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
            parsed: list[str] = super().parse_args(ctx, args if named else [self.default, *args])
            return parsed

    return GroupWithDefault
