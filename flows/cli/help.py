"""What ``hcp --help`` and ``hcp COMMAND --help`` look like: headings, and examples as they are."""

from typing import Any

from typer.core import TyperCommand, TyperGroup

from flows.cli.console import ends_unread, note

_KEPT = "stopped by Ctrl-C; what was committed is kept, and the same command goes on from it"


class HelpGroup(TyperGroup):
    """Lists the commands under the headings that they were added with."""

    def make_context(self, *args: Any, **options: Any) -> Any:
        """Read the command line; options such as ``--help`` print here."""
        with ends_unread():
            return super().make_context(*args, **options)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """One section for each heading, in the order of the commands."""
        sections: dict[str, list[tuple[str, Any]]] = {}
        for name in self.list_commands(ctx):
            command: Any = self.get_command(ctx, name)
            if not command.hidden:
                sections.setdefault(command.rich_help_panel, []).append((name, command))
        widest = max(len(name) for rows in sections.values() for name, _ in rows)
        for heading, rows in sections.items():
            # padded, so that the columns of all sections stand below each other
            shown = [(name.ljust(widest), each.get_short_help_str(200)) for name, each in rows]
            with formatter.section(heading):
                formatter.write_dl(shown)


class HelpCommand(TyperCommand):
    """Shows its epilog as examples: line by line, so that they can be copied."""

    def make_context(self, *args: Any, **options: Any) -> Any:
        """Read the command's part of the command line; ``--help`` prints here."""
        with ends_unread():
            return super().make_context(*args, **options)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """The examples, neither wrapped nor joined."""
        formatter.write("\nExamples:\n")
        for line in (self.epilog or "").splitlines():
            formatter.write(f"  {line}\n")

    def invoke(self, ctx: Any) -> Any:
        """Run it; Ctrl-C is told of, and ends it with the exit code 130."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            note(_KEPT)
            raise
