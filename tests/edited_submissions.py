"""A submission with edits, as the doctor judges its file, for tests."""

from charloom.diagnosis import doctor


def judge_edited(folder, source, edits):
    """Return the diagnosis of a file with `source`, after edits (old, new), each of which must change something."""
    for old, new in edits:
        assert old in source
        source = source.replace(old, new)
    file = folder / "submission.py"
    file.write_text(source, encoding="utf-8")
    return doctor(str(file))
