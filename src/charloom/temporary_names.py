"""The beginning of the names of temporary files, and the age from which such a file is abandoned."""

from typing import Final

TEMPORARY: Final = ".tmp-"  # readers ignore all names that begin with this
# Seconds. For an older temporary file, the process that wrote it counts as dead, so that other
# processes may remove the file.
ABANDONED_SECONDS: Final = 86_400.0
