"""The beginning of the names of temporary files, and the age from which such a file is abandoned."""

from typing import Final

TEMPORARY: Final = ".tmp-"  # charloom does not read files whose names begin with this
# Age in seconds from which a temporary file is abandoned: the process that wrote the file counts as
# dead, so other processes may remove the file.
ABANDONED_SECONDS: Final = 86_400.0
