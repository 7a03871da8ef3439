"""The command `serve`, which starts the web server of the page."""

from typing import Final

from charloom.cli import run_options
from charloom.cli.terminal import say
from charloom.config import require_whole
from charloom.errors import MissingPartError
from charloom.messages import pip_command
from charloom.reading_progress import reading_shown_by
from charloom.run_file_names import RUNS

PORTS: Final = 1 << 16


def serve(
    runs: run_options.RunsFolder = RUNS,
    host: run_options.Host = "127.0.0.1",
    port: run_options.Port = 8421,
    open_page: run_options.OpenPage = True,
) -> None:
    """Serve the page: watch training runs, write with models, look inside them.

    The page shows all runs in a directory, also those that other processes train,
    and starts new runs. Only this machine can reach it, unless --host is given.

    \b
    Example:
      charloom serve runs
    """
    require_whole("port", port, least=0, below=PORTS)
    try:
        from charloom.web.server import serve as serving
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] == "charloom":
            raise
        raise MissingPartError(
            f"the page needs the package {error.name}, which is not installed. Install it "
            f"{pip_command('web')}."
        ) from None
    with reading_shown_by(None):  # the page waits for a text, not the terminal
        serving(runs, host, port, open_page, say)
