"""Exports models as directories for a hub of models such as Hugging Face (spec/formats.md: Model directories)."""

from charloom.hub_format.card_text import DEFAULT_LICENSE, CardWords
from charloom.hub_format.directory_files import hub_files, is_unedited, loading_lines

__all__ = ["DEFAULT_LICENSE", "CardWords", "hub_files", "is_unedited", "loading_lines"]
