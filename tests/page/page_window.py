"""The size of the window that shows the page in tests, and how long tests wait for a change of it."""

SIZE = {"width": 1280, "height": 900}
PATIENCE = 30_000  # milliseconds; machines may be busy
