"""Characters are encoded as ids and decoded, and errors about unknown characters are clear."""

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charloom.errors import ConfigError, TextError, UnknownCharacterError
from charloom.text import UnknownPolicy, Vocabulary

any_text = st.text()  # lone surrogates as well: a string may have them
TEXTS = {
    "line ends": "a\r\nb\nc\rd",
    "a byte-order mark inside": "a\ufeffb",
    "NUL": "a\0b",
    "combining marks": "e\u0301 and é, o\u0308\u0323",
    "emoji": "\U0001f469\u200d\U0001f680 and \U0001f1e9\U0001f1ea",
    "lone surrogates": "\ud83d\ude00\udc80",
    "the last code point": "\U0010ffff\uffff",
}


@given(any_text.filter(lambda text: len(set(text)) >= 2))
def test_decode_undoes_encode(text):
    vocabulary = Vocabulary.from_text(text)
    assert vocabulary.decode(vocabulary.encode(text)) == text


@given(any_text.filter(lambda text: len(set(text)) >= 2))
def test_characters_are_sorted_by_code_point_and_ids_are_their_places(text):
    vocabulary = Vocabulary.from_text(text)
    assert vocabulary.characters == tuple(sorted(set(text)))
    for place, character in enumerate(vocabulary.characters):
        assert vocabulary.encode(character).tolist() == [place]


def test_characters_beyond_the_basic_plane_are_one_character_each():
    vocabulary = Vocabulary.from_text("a😀é𝄞a")
    assert vocabulary.characters == ("a", "é", "𝄞", "😀")
    assert vocabulary.encode("😀𝄞").tolist() == [3, 2]


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_every_allowed_character_is_decoded_unchanged(text):
    vocabulary = Vocabulary.from_text(text)
    assert len(vocabulary.encode(text)) == len(text)
    assert vocabulary.decode(vocabulary.encode(text)) == text


@pytest.mark.parametrize(
    ("size", "dtype"), [(2, "uint8"), (256, "uint8"), (257, "uint16"), (65_537, "uint32")]
)
def test_ids_use_the_smallest_unsigned_type(size, dtype):
    vocabulary = Vocabulary(chr(0x10000 + k) for k in range(size))
    assert vocabulary.id_dtype == dtype
    assert vocabulary.encode(vocabulary.characters[-1]).tolist() == [size - 1]
    assert vocabulary.encode("").dtype == dtype


def test_the_vocabulary_does_not_depend_on_the_process():
    code = "from charloom.text import Vocabulary; print(Vocabulary('to be or not'))"
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert outputs == {"Vocabulary(' benort')\n"}


def test_equal_vocabularies_have_the_same_characters():
    assert Vocabulary("abc") == Vocabulary("cabba")
    assert hash(Vocabulary("abc")) == hash(Vocabulary("cab"))
    assert Vocabulary("abc") != Vocabulary("abcd")
    assert Vocabulary("abc") != "abc"


def test_membership_is_of_single_characters():
    vocabulary = Vocabulary("abc")
    assert "a" in vocabulary
    assert "d" not in vocabulary
    assert "ab" not in vocabulary
    assert "" not in vocabulary


@pytest.mark.parametrize(("text", "found"), [("", "no character"), ("aaaa", "'a'")])
def test_fewer_than_two_characters_are_refused(text, found):
    with pytest.raises(TextError, match=f"only {found}; a model needs at least two distinct"):
        Vocabulary.from_text(text)


def test_an_unknown_character_is_named_with_its_place_and_the_closest():
    with pytest.raises(UnknownCharacterError) as caught:
        Vocabulary("abc 'x").encode("a cab’s")
    assert caught.value.character == "’"
    assert caught.value.position == 5
    assert "character 6 is '’' (RIGHT SINGLE QUOTATION MARK)" in str(caught.value)
    assert 'The closest one in the vocabulary is "\'".' in str(caught.value)


@pytest.mark.parametrize(
    ("unknown", "closest"),
    [
        ("“", '"'), ("—", "-"), ("\t", " "), ("…", "."), ("Q", "q"), ("é", "e"), ("É", "e"),
        ("ﬁ", "f"), ("7", "5"), ("z", "q"), ("\r", "\n"),
    ],
)  # fmt: skip
def test_the_closest_character_is_what_a_person_would_type(unknown, closest):
    assert Vocabulary("\n \"'-.5efq").closest(unknown) == closest


def test_there_can_be_no_close_character():
    vocabulary = Vocabulary("abc")
    assert vocabulary.closest("5") is None
    with pytest.raises(UnknownCharacterError, match=r"vocabulary of 3 characters\. To read"):
        vocabulary.encode("5")


@given(st.characters(exclude_categories=["Cs"]))
def test_every_unknown_character_has_a_message(character):
    vocabulary = Vocabulary("\u0378\u0379")
    if character not in vocabulary:
        with pytest.raises(UnknownCharacterError) as caught:
            vocabulary.encode(character)
        assert "\n" not in str(caught.value)


# What is not known


def test_the_error_counts_the_other_unknown_characters():
    with pytest.raises(UnknownCharacterError) as caught:
        Vocabulary("abc").encode("abcxaybxx")
    assert "character 4 is 'x'" in str(caught.value)
    assert "The text has 4 unknown characters, 2 of them different." in str(caught.value)
    assert 'unknown="skip"' in str(caught.value)


def test_unknown_characters_can_be_skipped_and_are_reported():
    encoded = Vocabulary("abc").encode_with("xaybxcx", UnknownPolicy("skip"))
    assert encoded.ids.tolist() == [0, 1, 2]
    assert encoded.unknown.total == 4
    assert encoded.unknown.counts == (("x", 3), ("y", 1))
    assert encoded.unknown.sentence == (
        "4 unknown characters, 2 distinct, were skipped: 'x' (3), 'y' (1)"
    )


def test_unknown_characters_can_be_replaced_and_are_reported():
    encoded = Vocabulary("abc").encode_with("axé", UnknownPolicy("replace", "c"))
    assert encoded.ids.tolist() == [0, 2, 2]
    assert "were replaced by 'c'" in encoded.unknown.sentence


def test_only_the_commonest_unknown_characters_are_named():
    sentence = (
        Vocabulary("ab").encode_with("vwwxxxyyyyzzzzz", UnknownPolicy("skip")).unknown.sentence
    )
    assert sentence.endswith("were skipped: 'z' (5), 'y' (4), 'x' (3), …")


def test_a_single_unknown_character_is_reported_in_the_singular():
    unknown = Vocabulary("ab").encode_with("a\n", UnknownPolicy("replace", "b")).unknown
    assert unknown.sentence == "1 unknown character was replaced by 'b': '\\n' (1)"


@pytest.mark.parametrize("unknown", ["refuse", "skip", "replace"])
def test_without_unknown_characters_nothing_is_reported(unknown):
    encoded = Vocabulary("abc").encode_with("cab", UnknownPolicy(unknown, "a"))
    assert encoded.ids.tolist() == [2, 0, 1]
    assert encoded.unknown.sentence == ""


@pytest.mark.parametrize("replacement", ["", "x", "ab"])
def test_a_replacement_must_be_one_known_character(replacement):
    with pytest.raises(
        ConfigError, match=r"it must be one of the [\d,]+ characters that the model knows"
    ):
        Vocabulary("abc").encode_with("axb", UnknownPolicy("replace", replacement))


def test_an_unknown_policy_is_refused():
    with pytest.raises(ConfigError, match="it must be one of refuse, skip, replace, add"):
        Vocabulary("abc").encode_with("axb", UnknownPolicy("ignore"))


@given(any_text, st.text("abc", min_size=1))
def test_skipping_keeps_the_known_characters_and_replacing_keeps_the_length(text, known):
    vocabulary = Vocabulary("abc")
    skipped = vocabulary.encode_with(text, UnknownPolicy("skip"))
    assert vocabulary.decode(skipped.ids) == "".join(c for c in text if c in "abc")
    replaced = vocabulary.encode_with(text, UnknownPolicy("replace", "b"))
    assert vocabulary.decode(replaced.ids) == "".join(c if c in "abc" else "b" for c in text)
    assert skipped.unknown.total == replaced.unknown.total == len(text) - len(skipped.ids)


# Bytes


@given(st.text(st.characters(exclude_categories=["Cs"])).filter(lambda text: len(text) > 1))
def test_a_text_is_decoded_from_its_bytes(text):
    vocabulary = Vocabulary(map(chr, range(256)), "bytes")
    ids = vocabulary.encode(text)
    assert ids.tolist() == list(text.encode())
    assert vocabulary.decode(ids) == text
    assert vocabulary.to_bytes(ids) == text.encode()


def test_a_byte_vocabulary_has_the_bytes_of_the_text():
    vocabulary = Vocabulary.from_text("aé", "bytes")
    assert vocabulary.characters == ("a", "\xa9", "\xc3")
    assert vocabulary.encode("é").tolist() == [2, 1]
    assert "é" in vocabulary
    assert "©" not in vocabulary  # c2 a9, of which it knows the second byte alone
    assert vocabulary != Vocabulary("a\xa9\xc3")
    assert repr(vocabulary) == "Vocabulary('a©Ã', tokens='bytes')"


def test_bytes_that_are_not_utf8_are_shown_as_replacement_characters():
    vocabulary = Vocabulary(map(chr, range(256)), "bytes")
    assert vocabulary.decode([0x61, 0xFF, 0x62, 0xE2, 0x82]) == "a\ufffdb\ufffd"
    assert vocabulary.to_bytes([0x61, 0xFF]) == b"a\xff"


@given(st.binary(max_size=30), st.integers(1, 5))
def test_bytes_become_the_same_text_however_they_are_cut(data, size):
    vocabulary = Vocabulary(map(chr, range(256)), "bytes")
    decoder = vocabulary.decoder()
    cut = [decoder.decode(list(data[at : at + size])) for at in range(0, len(data), size)]
    assert "".join(cut) + decoder.decode([], final=True) == data.decode("utf-8", "replace")


def test_an_incomplete_character_is_held_back():
    decoder = Vocabulary(map(chr, range(256)), "bytes").decoder()
    assert decoder.decode([0xE2, 0x82]) == ""
    assert decoder.decode([0xAC, 0x61]) == "€a"


def test_an_unknown_byte_is_called_a_byte():
    with pytest.raises(UnknownCharacterError, match=r"^byte 2 is 0xc3, .* vocabulary of 3 bytes"):
        Vocabulary("abc", "bytes").encode("aé")
    skipped = Vocabulary("abc", "bytes").encode_with("aéb", UnknownPolicy("skip"))
    assert skipped.ids.tolist() == [0, 1]
    assert (
        "2 unknown bytes, 2 distinct, were skipped: 0xa9 (1), 0xc3 (1)" in skipped.unknown.sentence
    )


def test_a_value_that_is_not_a_byte_is_refused():
    with pytest.raises(ConfigError, match="'Ω' is not a byte"):
        Vocabulary("aΩ", "bytes")
    with pytest.raises(ConfigError, match="tokens is 'words'"):
        Vocabulary("ab", "words")
    with pytest.raises(TextError, match="only 0x61 'a'; a model needs at least two distinct bytes"):
        Vocabulary("aa", "bytes")


def test_a_replacement_of_another_type_is_refused_with_the_policy():
    with pytest.raises(ConfigError, match=r"^replacement is 5; it must be one character\.$"):
        UnknownPolicy("replace", 5)


def test_a_collection_has_one_more_id_which_no_text_has_and_which_is_never_shown():
    names = Vocabulary("abc", items=True)
    assert (len(names), names.boundary, names.characters) == (4, 3, ("a", "b", "c"))
    assert names.encode("cab").tolist() == [2, 0, 1]
    assert names.decode([3, 2, 0, 3, 1, 3]) == "cab"
    assert names.to_bytes([3, 2, 3]) == b"c"
    characters, ends = names.completed([3, 2, 3, 0, 1, 3])
    assert (characters, ends.tolist()) == (("c", "a", "b"), [2, 4, 5])
    assert names != Vocabulary("abc")
    assert repr(names) == "Vocabulary('abc', items=True)"
    assert Vocabulary("abc").boundary is None
    with pytest.raises(UnknownCharacterError, match="vocabulary of 3 characters"):
        names.encode("d")


def test_the_items_of_a_collection_may_have_a_single_character():
    assert len(Vocabulary("aa", items=True)) == 2
    with pytest.raises(TextError, match="the text has only no character"):
        Vocabulary("", items=True)
