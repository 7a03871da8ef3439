"""Takes the pictures of the page for README and the guides: learning, playground, a unit that follows quotation marks, the
same unit held, and a study.

They show the run and the study of a folder that changed last. scripts/screenshots trains such ones first.
"""

import io
import re
import sys
from pathlib import Path

import httpx
from playwright.sync_api import expect

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from browser import NONE, chromium, chromium_path  # noqa: E402
from web_servers import LiveServer  # noqa: E402

PICTURES = ROOT / "docs" / "pictures"
MOST = 220_000  # bytes
SIZE = {"width": 1280, "height": 940}
TALL = {"width": 1280, "height": 1580}  # shows the whole form of the playground
PATIENCE = 120_000  # milliseconds
TEXT = (
    'A "string" is written in quotes: "this one", or "that other one", which is\n'
    'longer.  A list has brackets, such as ["a", "b", "c"], and a "dict" pairs a\n'
    'key like "name" with what it stands for.\n'
    "\n"
    '   The statement "import" finds a module; what follows "as" is the name by\n'
    '   which it is known here, and "from" takes single names out of it.  See also\n'
    '   the function "open()", and what it says of the "mode": "r" to read, "w" to\n'
    '   write, "a" to add to what is there already.\n'
    "\n"
    '   If no file of that name is there, a "FileNotFoundError" is raised, unless\n'
    '   the mode was "w".\n'
    "Where nothing is quoted nothing should be coloured, as in this line here.\n"
)


def keep(page, name):
    """Save a screenshot of the browser window."""
    from PIL import Image

    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    path = PICTURES / f"{name}.png"
    picture.save(path, optimize=True)
    assert path.stat().st_size < MOST, f"{path} has {path.stat().st_size:,} bytes"
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size:,} bytes")


def learning(page, url, run):
    """Take the picture of the curves, with a sample from the middle of the training run."""
    page.goto(f"{url}/#/learning?run={run}")
    page.wait_for_selector("#learning-chart .main-svg")
    slider = page.locator("#sample-slider")
    expect(slider).to_be_enabled(timeout=PATIENCE)
    slider.focus()
    for _ in range(2):
        page.keyboard.press("ArrowLeft")
    page.evaluate("document.activeElement.blur()")
    page.wait_for_timeout(1_500)
    keep(page, "learning")


def playground(page, url, run):
    """Take the picture of a text coloured by surprise, with the predictions for one of its characters."""
    page.goto(
        f"{url}/#/playground?model={run}&temperature=0.7&length=700&seed=4&colour=1&prompt=The+function+"
    )
    page.wait_for_selector(".output")
    page.click("#play-go")
    expect(page.locator(".output > .aside")).to_contain_text("characters in", timeout=PATIENCE)
    page.focus(".output .sheet")
    for _ in range(24):
        page.keyboard.press("ArrowRight")
    page.wait_for_timeout(300)
    keep(page, "playground")


def inside(page, url, run):
    """Take the picture of the unit that follows quotation marks most closely."""
    page.goto(f"{url}/#/inside?model={run}")
    page.fill("#inside-text", TEXT)
    page.click("#inside-go")
    expect(page.locator("#map-size")).to_contain_text("units", timeout=PATIENCE)
    page.click("#find-go")
    unit = page.locator(".property", has_text="in quotes").locator("button").first
    print("in quotes:", unit.get_attribute("title"))
    unit.click()
    expect(unit).to_have_attribute("aria-pressed", "true", timeout=PATIENCE)
    number = re.search(r"unit (\d+)", unit.get_attribute("title"))[1]
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    page.evaluate("document.getElementById('inside-text').scrollTo(0, 0)")
    page.wait_for_timeout(500)
    keep(page, "inside")
    held(page, url, run, number)


def held(page, url, run, unit):
    """Take the picture of a text that the model writes while a unit is held, with the note that says so."""
    settings = "temperature=0.7&length=500&seed=4&samples=2&prompt=The+function+"
    page.set_viewport_size(TALL)
    page.goto(f"{url}/#/playground?model={run}&{settings}&hold=0,{unit},1")
    page.wait_for_selector(".output")
    page.click("#play-go")
    for part in page.locator(".output > .aside").all():
        expect(part).to_contain_text("characters in", timeout=PATIENCE)
    page.evaluate("document.activeElement.blur()")
    page.wait_for_timeout(300)
    keep(page, "held")
    page.set_viewport_size(SIZE)


def study(page, url, key):
    """Take the picture of the table and the curves of a study."""
    page.goto(f"{url}/#/study?name={key}")
    expect(page.locator("#study-chart .main-svg").first).to_be_visible(timeout=PATIENCE)
    expect(page.locator("#study-table tbody tr").first).to_be_visible(timeout=PATIENCE)
    page.wait_for_timeout(1_500)
    keep(page, "study")


def main(folder):
    if chromium_path() is None:
        raise SystemExit(NONE)
    with LiveServer(folder) as live, chromium() as browser:
        found = httpx.get(f"{live.url}/api/runs").json()["runs"]
        studies = httpx.get(f"{live.url}/api/studies").json()["studies"]
        if not found or not studies:
            raise SystemExit(f"{folder} needs a run and a study.")
        page = browser.new_page(viewport=SIZE)
        page.set_default_timeout(PATIENCE)
        for picture in (learning, playground, inside):
            picture(page, live.url, found[0]["key"])
        study(page, live.url, max(studies, key=lambda one: one["changed"])["key"])
        paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
        print(f"first paint: {paint:.0f} ms")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
