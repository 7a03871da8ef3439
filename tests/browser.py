"""A headless Chromium for tests and pictures: found on this machine, never downloaded.

CHARLOOM_CHROMIUM names another one than the first that the PATH has.
"""

import os
import shutil
from contextlib import contextmanager

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
NONE = "there is no Chromium: install it (Debian: apt install chromium), or name it in CHARLOOM_CHROMIUM"


def chromium_path():
    """Where Chromium is; None where there is none."""
    return os.environ.get("CHARLOOM_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def chromium():
    """A browser that is running."""
    from playwright.sync_api import sync_playwright

    # Debian's Chromium refuses to sandbox itself for root, as whom tests often run in containers.
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    arguments = ["--disable-gpu", *(["--no-sandbox"] if root else [])]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=arguments)
        try:
            yield browser
        finally:
            browser.close()
