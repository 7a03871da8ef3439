"""A small text, as a string, for tests that train on a string or on the file `book`."""

TEXT = "the cat sat on the mat, and the hat sat on the cat.\n" * 20
