"""Makes the site of the documentation in build/docs/html, and checks it.

    sh scripts/docs
    sh scripts/docs --links                      # a link to another machine that does not work is an error
    sh scripts/docs --address https://HOST/PATH  # where the files of the repository can be read

Warnings of Sphinx are errors. Links to other machines are tried. Those that could not be tried are listed.
"""

import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import docs_checks
from charloom.cpu_limits import ONE_THREAD
from docs_pages import FRAME, ROOT, collect

PLACE: Final = ROOT / "build" / "docs"
HTML: Final = PLACE / "html"
LINKS: Final = PLACE / "links"
GONE: Final = ("404 ", "410 ")  # how the reason of a broken link begins if the page does not exist


def sphinx(builder: str, output: Path, *options: str) -> int:
    """Run a builder of Sphinx on the collected sources, and return its exit code."""
    words = ["-c", str(ROOT / FRAME), "-b", builder, "-d", str(PLACE / "doctrees"), "-q", *options]
    command = [sys.executable, "-m", "sphinx", *words, str(PLACE / "source"), str(output)]
    environment = {**os.environ, **ONE_THREAD}
    return subprocess.run(command, check=False, env=environment).returncode


def tried_links(folder: Path) -> list[dict[str, Any]]:
    """Return what Sphinx found out about each link to another machine that it tried."""
    lines = (folder / "output.json").read_text(encoding="utf-8").splitlines()
    return [
        row
        for row in map(json.loads, lines)
        if row["uri"].startswith("http") and row["status"] != "ignored"
    ]


def unanswered(rows: list[dict[str, Any]], all_must_work: bool) -> Iterator[tuple[bool, str]]:
    """Yield a sentence for each link that did not work, and whether that is an error.

    It is one if the other machine answered that the page does not exist, or if `all_must_work`.
    """
    for row in rows:
        if row["status"] in ("broken", "timeout"):
            gone = row["info"].startswith(GONE)
            words = "does not exist" if gone else "could not be checked"
            yield gone or all_must_work, f"{row['uri']} {words}: {reason_of(row)}."


def reason_of(row: dict[str, Any]) -> str:
    """Return in a few words why a link did not work.

    Sphinx gives an answer such as "404 Client Error: Not Found for url: …", or the text of a Python error.
    """
    info = row["info"]
    if row["status"] == "timeout" or "timed out" in info:
        return "the machine did not answer in time"
    if "Max retries exceeded" in info or "Connection" in info:
        return "no connection to the machine"
    return textwrap.shorten(info.partition(" for url")[0], 80, placeholder=" …")


def check_links(all_must_work: bool, address: str | None) -> bool:
    """Try the links to other machines, print those that did not work, and return False if one is an error.

    The links to files of the repository, at `address`, are not tried: the files exist here.
    """
    settings = ["linkcheck_timeout=10", "linkcheck_retries=1"]
    if address:
        settings.append(f"linkcheck_ignore={re.escape(address)}/.*")
    sphinx("linkcheck", LINKS, "-Q", *(word for value in settings for word in ("-D", value)))
    rows = tried_links(LINKS)
    found = list(unanswered(rows, all_must_work))
    for is_error, sentence in found:
        print(sentence, file=sys.stderr if is_error else sys.stdout)
    print(f"links to other machines: {len(rows)} tried, {len(rows) - len(found)} work.")
    return not any(is_error for is_error, _ in found)


def main(words: list[str]) -> int:
    """Make and check the site. Return the exit code."""
    address = words[words.index("--address") + 1].rstrip("/") if "--address" in words else None
    collect(PLACE / "source", address)
    if code := sphinx("html", HTML, "-E", "-W", "--keep-going"):
        return code
    found = docs_checks.problems(HTML)
    for problem in found:
        print(problem, file=sys.stderr)
    if found or not check_links("--links" in words, address):
        return 1
    print(f"the site is in {HTML.relative_to(ROOT)}; open {HTML.relative_to(ROOT)}/index.html")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
