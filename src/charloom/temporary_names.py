"""The beginning of the names of temporary files, and the age from which such a file is abandoned."""

from typing import Final

TEMPORARY: Final = ".tmp-"  # readers ignore all names that begin with this
# Seconds. The process that wrote an older temporary file counts as dead, so others may remove it.
ABANDONED_SECONDS: Final = 86_400.0
