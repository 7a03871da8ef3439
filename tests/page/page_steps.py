"""Steps that a user takes on the page, for tests in a browser."""

import re
from importlib import resources

from playwright.sync_api import expect

from page.page_window import PATIENCE

# Drops a file on the page, as a user would.
DROP = """({ name, text }) => {
  const held = new DataTransfer();
  const content = typeof text === "string" ? text : new Uint8Array(text);
  held.items.add(new File([content], name, { type: "text/plain" }));
  for (const kind of ["dragenter", "dragover", "drop"]) {
    document.body.dispatchEvent(new DragEvent(kind, { bubbles: true, cancelable: true, dataTransfer: held }));
  }
}"""
# Where character n of the coloured text in a box is, in the window.
PLACE = """(box, n) => {
  const walker = document.createTreeWalker(box.querySelector(".letters"), NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    if (n < node.length) {
      const range = document.createRange();
      range.setStart(node, n);
      range.setEnd(node, n + 1);
      const { left, right, top, bottom } = range.getBoundingClientRect();
      return [(left + right) / 2, (top + bottom) / 2];
    }
    n -= node.length;
  }
}"""

# How far the page has scrolled when the click on Write returns: 0 if it scrolls smoothly, or not at all.
SCROLL_OF_WRITE = """() => {
  document.getElementById("play-go").click();
  return scrollY;
}"""


def without_charts(page):
    """Do not load plotly.js, which takes most of the time, in a test without charts."""
    page.route("**/plotly.min.js", lambda route: route.abort())


# A stand-in for plotly.js. It writes the first curve's updates into the box, and its drawing takes
# hours by the page's clock.
SLOW_CHARTS = """
const now = performance.now.bind(performance);
let later = 0;
performance.now = () => now() + later;
window.Plotly = { react: async (box, traces) => {
  box.textContent = JSON.stringify(traces[0].x);
  later += 1e7;
} };
"""


def slow_charts(page):
    """Let the page draw with a library that claims to take hours for each chart."""
    page.route(
        "**/plotly.min.js",
        lambda route: route.fulfill(body=SLOW_CHARTS, content_type="text/javascript"),
    )


def eventually(locator, pattern):
    """Wait until the text of an element matches a pattern."""
    expect(locator).to_have_text(re.compile(pattern, re.DOTALL), timeout=PATIENCE)


def write(page, length=60, prompt="the "):
    """Sample in the playground, and return the prompt and the sample as one text."""
    page.fill("#play-prompt", prompt)
    page.fill("#play-length", str(length))
    page.click("#play-go")
    for note in page.locator(".output > .aside").all():
        eventually(note, "characters in")
    return page.locator(".output .letters").first.text_content()


def violations(page, rules=None):
    """Return the serious and critical problems that axe-core finds, by the given rules or all."""
    axe = resources.files("axe_playwright_python") / "axe.min.js"
    page.evaluate(axe.read_text(encoding="utf-8"))
    options = {"resultTypes": ["violations"]} | ({"runOnly": rules} if rules else {})
    found = page.evaluate("(options) => axe.run(document, options)", options)["violations"]
    return [
        f"{one['id']}: {one['nodes'][0]['html'][:120]} {one['nodes'][0]['failureSummary'][:200]}"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
