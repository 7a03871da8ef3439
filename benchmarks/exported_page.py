"""Measures how fast an exported page writes text in Chromium, and how long it takes to open.

    python benchmarks/exported_page.py            a GRU with 256 units and random weights
    python benchmarks/exported_page.py MODEL …    any models

Each text has 5,000 characters. The first one also compiles the page's functions.
"""

import re
import statistics
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page, expect

import charloom
from charloom.api.model import Model
from charloom.config import Config
from charloom.engines import open_engine
from charloom.model import new_learner
from charloom.text import Vocabulary

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from browser import chromium

LENGTH = 5_000
TEXTS = 5
PATIENCE = 120_000  # milliseconds


def random_model() -> Model:
    """Return a GRU with 256 units, 80 characters and random weights."""
    vocabulary = Vocabulary(map(chr, range(32, 112)))
    learner = new_learner(Config(cell="gru", hidden_size=256), vocabulary)
    return Model(learner, open_engine("auto"))


def measure(page: Page, name: str, model: Model, folder: Path) -> None:
    """Export a model, let its page write, and print the sizes and times."""
    path = model.to_html(folder / "page.html", weights="float16")
    began = time.perf_counter()
    page.goto(path.as_uri())
    expect(page.locator("#play-go")).to_be_enabled(timeout=PATIENCE)
    opened = time.perf_counter() - began
    speeds = []
    for seed in range(TEXTS):
        page.fill("#play-length", str(LENGTH))
        page.fill("#play-seed", str(seed))
        page.click("#play-go")
        note = page.locator("#note")
        expect(note).to_contain_text("characters in", timeout=PATIENCE)
        seconds = re.search(r"in ([\d.]+) s", note.text_content() or "")
        assert seconds is not None
        speeds.append(LENGTH / float(seconds[1]))
    print(
        f"{name}: {path.stat().st_size / 1e6:.2f} MB, opened in {opened:.2f} s; "
        f"{statistics.median(speeds):,.0f} characters per second (median of {TEXTS}), "
        f"the first text {speeds[0]:,.0f}"
    )


def main() -> None:
    """Measure the models of the command line, or a random model."""
    models = {name: charloom.load(name) for name in sys.argv[1:]} or {"gru-256": random_model()}
    with chromium() as browser, tempfile.TemporaryDirectory() as folder:
        page = browser.new_page()
        for name, model in models.items():
            measure(page, name, model, Path(folder))


if __name__ == "__main__":
    main()
