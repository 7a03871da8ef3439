"""Converts texts to numbers: vocabulary, corpus and windows. It does not depend on networks."""

from charloom.text.builtin_texts import BUILTIN_TEXTS
from charloom.text.corpus import Corpus
from charloom.text.unknown_policy import UnknownPolicy
from charloom.text.vocabulary import Vocabulary
from charloom.text.windows import Windows, windows_of

__all__ = ["BUILTIN_TEXTS", "Corpus", "UnknownPolicy", "Vocabulary", "Windows", "windows_of"]
