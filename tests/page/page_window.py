"""The size of the browser window in tests of the page, and how long the tests wait for a change."""

SIZE = {"width": 1280, "height": 900}
PATIENCE = 30_000  # milliseconds; machines may be busy
