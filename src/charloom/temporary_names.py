"""The beginning of the names of temporary files, and the age from which such a file is abandoned."""

from typing import Final

TEMPORARY: Final = ".tmp-"  # charloom does not read files whose names begin with this
# Age of a temporary file in seconds. The process that wrote an older one counts as dead, so that
# other processes may remove the file.
ABANDONED_SECONDS: Final = 86_400.0
