"""Starts a headless Chromium for tests and pictures. It must be installed; it is never downloaded.

The variable CHARLOOM_CHROMIUM selects another one than the first in the PATH.
"""

import os
import shutil
from contextlib import contextmanager

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
NONE = "there is no Chromium: install it (Debian: apt install chromium), or name it in CHARLOOM_CHROMIUM"


def chromium_path():
    """Return the path of Chromium; None if it is not installed."""
    return os.environ.get("CHARLOOM_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def chromium():
    """Start the browser, and close it at the end of the `with` block."""
    from playwright.sync_api import sync_playwright

    # Debian's Chromium refuses its sandbox for root, and in containers tests often run as root.
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    arguments = ["--disable-gpu", *(["--no-sandbox"] if root else [])]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=arguments)
        try:
            yield browser
        finally:
            browser.close()
