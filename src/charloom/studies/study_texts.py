"""Opens a text of a study, and says whether it is still the one for which the study was planned."""

from charloom.api.text_arguments import open_text
from charloom.studies.study_files import StudyHeader
from charloom.text import Corpus


def unchanged_text(header: StudyHeader, number: int) -> Corpus | None:
    """Return the text with the index `number` of a study; None if it has changed since the study was planned.

    Raises:
        TextError: the text cannot be read.
    """
    text = header.texts[number]
    corpus = open_text(list(text.paths), tokens=header.tokens)
    return corpus if corpus.fingerprint == text.fingerprint else None


def changed_message(header: StudyHeader, number: int) -> str:
    """Return the message that a text has changed."""
    name = header.texts[number].name
    return f"the text {name} has changed since the study was planned; restore it, or start a new study."
