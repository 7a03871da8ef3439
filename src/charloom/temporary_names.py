"""The beginnings of the names of temporary files and directories, and the age from which they are abandoned."""

from typing import Final

TEMPORARY: Final = ".tmp-"  # charloom does not read files whose names begin with this
# The beginning of the hidden name of a run directory that is being deleted.
REMOVED: Final = f"{TEMPORARY}removed-run-"
# Age in seconds from which a temporary file is abandoned: the process that wrote the file counts as
# dead, so other processes may remove the file.
ABANDONED_SECONDS: Final = 86_400.0
