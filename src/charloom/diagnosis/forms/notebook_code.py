"""Returns the Python code of a Jupyter notebook: its code cells one after another, without magic commands."""

import json
from typing import Final

from charloom.errors import DoctorError

SUFFIX: Final = ".ipynb"
MAGIC: Final = ("%", "!", "?")  # the first character of a line that is not Python
# The lines of a wrapper that read a notebook.
READER: Final = '''
def code_of(path):
    """Return the code cells of a notebook, without magic commands."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    text = "\\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    lines = ["" if line.lstrip().startswith(("%", "!", "?")) else line for line in text.split("\\n")]
    return "\\n".join(lines)
'''


def code_of_notebook(content: bytes, name: str) -> str:
    """Return the code cells of a notebook; a magic command becomes an empty line.

    Raises:
        DoctorError: `content` is not a notebook. `name` is the name of its file.
    """
    try:
        cells = json.loads(content)["cells"]
        text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    except (ValueError, KeyError, TypeError):
        raise DoctorError(f"{name} is not a Jupyter notebook; check the file.") from None
    lines = ["" if line.lstrip().startswith(MAGIC) else line for line in text.split("\n")]
    return "\n".join(lines)
