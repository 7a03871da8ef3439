"""A collection of items is read by its rules, laid out in a random order, and divided at items."""

import io
import sys

import numpy as np
import pytest

from charloom.config import Config
from charloom.errors import ConfigError, EncodingError, TextError, UnknownCharacterError
from charloom.random import words
from charloom.text import Corpus, UnknownPolicy, Vocabulary, corpus, id_cache, item_ids, item_order
from charloom.text.collection import Collection
from charloom.text.epoch_columns import columns_of_epoch, places_of_epoch
from charloom.text.epoch_items import tokens_of_epoch
from charloom.text.id_file import IdFile
from charloom.text.windows import windows_of

LINES = Collection("lines")


def laid_out(found):
    """Return the items of a corpus in the order in which they are laid out."""
    ids = found.ids
    return [found.vocabulary.decode(ids.item(n)) for n in range(ids.items)]


def items_of(text, kind="lines", separator="", field="", tokens="characters"):
    """Return the items of a text in its own order."""
    found = Corpus.from_text(text, tokens=tokens, collection=Collection(kind, separator, field))
    order = np.argsort(words(0, "items", found.items), kind="stable")
    in_order = dict(zip(order.tolist(), laid_out(found), strict=True))
    return [in_order[n] for n in range(found.items)]


@pytest.mark.parametrize("tokens", ["characters", "bytes"])
@pytest.mark.parametrize(
    ("kind", "text", "items"),
    [
        ("lines", "Ann\nBö\n\nClara", ["Ann", "Bö", "Clara"]),
        ("lines", "Ann\r\nBö\r\n", ["Ann", "Bö"]),
        ("paragraphs", "a\nb\n\n \t\n\ncö\r\nd\r\n\r\ne\n", ["a\nb", "cö\nd", "e"]),
        ("files", "a\r\nb\n\ncö\n", ["a\nb\n\ncö"]),
        ("separator", "a\n\nb\n---\nc---ö\n---\n", ["a\n\nb", "c", "ö"]),
        ("csv", 'id,text\n1,"a\nb"\n\n2,\n3,"c ""ö"", d"\n', ["a\nb", 'c "ö", d']),
        ("jsonl", '{"text": "a\\nö"}\n\n{"text": null}\n{"text": "b"}', ["a\nö", "b"]),
    ],
)
def test_each_kind_of_items_is_read_by_its_rule(kind, text, items, tokens):
    separator = "---" if kind == "separator" else ""
    field = "text" if kind in ("csv", "jsonl") else ""
    assert items_of(text, kind, separator, field, tokens) == items


def test_a_field_of_json_may_be_a_path_of_names():
    lines = '{"a": {"b": "x"}}\n{"a.b": "yz", "a": {"b": "w"}}\n'
    assert items_of(lines, "jsonl", field="a.b") == ["x", "yz"]


def test_a_separator_may_have_newlines_and_may_cross_two_blocks(monkeypatch):
    from charloom.text import block_reader

    monkeypatch.setattr(block_reader, "BLOCK", 3)
    assert items_of("aa\n\n\nbb\r\n\r\n\r\ncc\n", "separator", "\n\n\n") == ["aa", "bb", "cc"]
    assert items_of("aa\r\nbb\r\ncc", "lines") == ["aa", "bb", "cc"]


def test_empty_items_are_left_out_and_counted():
    found = Corpus.from_text("\nAnn\n\n\nBob\n", collection=LINES)
    assert found.items == 2
    assert found.notes == ("3 empty items were left out",)


@pytest.mark.parametrize(
    ("collection", "text", "message"),
    [
        (Collection("csv", field="text"), 'a,text\n1,"x\ny\n', "text, line 2: a quote is not closed"),
        (Collection("csv", field="text"), "a,text\n1,x\n1,2,3\n", "text, line 3: the row has 3 columns"),
        (Collection("csv", field="text"), 'a,text\n1,"x"y\n', "text, line 2: ',' expected after"),
        (Collection("csv", field="txt"), "a,text\n1,x\n", "no column 'txt'.*'a', 'text'; did you mean text"),
        (Collection("csv", field="text"), "a;text\n1;x\n", "must be separated by commas"),
        (Collection("csv", field="a"), "a,a\n1,x\n", "has several columns 'a'"),
        (Collection("jsonl", field="text"), '{"text": "a"}\n{"text"\n', "text, line 2 is not valid JSON"),
        (Collection("jsonl", field="text"), "[1]\n", r"line 1: '\[1\]' is not a JSON object"),
        (Collection("jsonl", field="text"), '{"txt": "a"}\n', "line 1 has no field 'text'.*did you mean txt"),
        (Collection("jsonl", field="text"), '{"text": 5}\n', "the field 'text' is 5; it must be a string"),
        (Collection("jsonl", field="text"), "[" * 100_000 + "\n", "too many nested values"),
        (LINES, "\n\n", "has no items"),
    ],
)  # fmt: skip
def test_a_broken_line_is_refused_with_its_number_and_what_is_wrong(collection, text, message):
    with pytest.raises(TextError, match=message):
        Corpus.from_text(text, collection=collection)


def test_values_of_more_than_131072_characters_are_read():
    assert items_of(f"text\n{'ab' * 100_000}\n", "csv", field="text") == ["ab" * 100_000]


def test_columns_of_a_tsv_file_are_separated_by_tabs(tmp_path):
    (tmp_path / "a.tsv").write_bytes(b"\xef\xbb\xbftext\tn\nAnn, Bob\t1\n")
    found = Corpus.open([tmp_path / "a.tsv"], collection=Collection("csv", field="text"))
    assert laid_out(found) == ["Ann, Bob"]


def test_an_item_never_crosses_two_files_and_the_fingerprint_says_where_one_ends(tmp_path):
    for name, text in {"a": "ab", "b": "c"}.items():
        (tmp_path / name).write_text(text)
    one = Corpus.open([tmp_path / "a", tmp_path / "b"], collection=Collection("files"))
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("bc")
    other = Corpus.open([tmp_path / "a", tmp_path / "b"], collection=Collection("files"))
    assert (sorted(laid_out(one)), sorted(laid_out(other))) == (["ab", "c"], ["a", "bc"])
    assert one.fingerprint != other.fingerprint


def test_a_file_that_is_not_utf8_is_refused_unless_the_tokens_are_bytes(tmp_path):
    (tmp_path / "names").write_bytes(b"Ann\nB\xf6b\n")
    with pytest.raises(EncodingError, match="names is not UTF-8"):
        Corpus.open([tmp_path / "names"], collection=LINES)
    assert Corpus.open([tmp_path / "names"], tokens="bytes", collection=LINES).items == 2


def test_a_collection_from_standard_input_is_kept_and_read_again(tmp_path, monkeypatch):
    class Stdin:
        buffer = io.BytesIO(b"\xef\xbb\xbftext\nAnn\nBob\n")

    monkeypatch.setattr(sys, "stdin", Stdin)
    collection = Collection("csv", field="text")
    found = Corpus.open("-", tokens="bytes", collection=collection)
    (tmp_path / "text.txt").write_bytes(b"".join(found.kept_bytes()))
    again = Corpus.from_kept(
        tmp_path / "text.txt", found.name, found.vocabulary, collection=collection
    )
    assert (again.fingerprint, laid_out(again)) == (found.fingerprint, laid_out(found))


def test_unknown_characters_are_refused_or_skipped_and_an_item_of_them_is_left_out():
    known = Vocabulary("abc", items=True)
    with pytest.raises(UnknownCharacterError, match="'x'"):
        Corpus.from_text("ab\nxx\ncxa", vocabulary=known, collection=LINES)
    found = Corpus.from_text(
        "ab\nxx\ncxa", vocabulary=known, policy=UnknownPolicy("skip"), collection=LINES
    )
    assert sorted(laid_out(found)) == ["ab", "ca"]
    with pytest.raises(TextError, match="the model learned a stream"):
        Corpus.from_text("ab", vocabulary=Vocabulary("ab"), collection=LINES)


def names(count, seed=1):
    """Return `count` different names."""
    numbers = np.random.default_rng(seed).integers(0, 6, (count, 6))
    return ["".join(np.array(list("abcdef"))[row]) + str(n) for n, row in enumerate(numbers)]


def test_the_items_are_laid_out_by_random_words_and_each_part_has_whole_items():
    given = names(50)
    found = Corpus.from_text("\n".join(given), collection=Collection("lines", seed=3))
    order = np.argsort(words(3, "items", 50), kind="stable")
    assert laid_out(found) == [given[n] for n in order]
    config = Config(items="lines", validation=0.2, test=0.1, seed=3)
    windows = windows_of(config, found.ids)
    tokens, boundary = np.asarray(found.ids), found.vocabulary.boundary
    ends = []
    for part in ("train", "validation", "test"):
        ((start, end),) = windows.parts[part]
        assert tokens[start] == tokens[end - 1] == boundary
        ends += [start, end - 1]
    assert ends[1::2] == [*ends[2::2], len(tokens) - 1]
    shares = np.diff([0, *ends[1::2]]) / (len(tokens) - 1)
    assert np.abs(shares - [0.7, 0.2, 0.1]).max() < 0.03


def test_each_part_has_an_item_even_if_one_item_is_nearly_everything():
    found = Corpus.from_text("a" * 1000 + "\nb\nc", collection=LINES)
    train, validation = found.ids.bounds(Config(items="lines", validation=0.4, test=0.4))
    assert (train, validation) == (1, 2)
    with pytest.raises(TextError, match="has 2 items, but each of its 3 parts"):
        Corpus.from_text("a\nb", collection=LINES).ids.bounds(
            Config(items="lines", validation=0.4, test=0.4)
        )


def test_another_seed_than_that_of_the_layout_is_refused():
    found = Corpus.from_text("a\nb", collection=LINES)
    with pytest.raises(ConfigError, match="open the text again"):
        windows_of(Config(items="lines", seed=1), found.ids)


@pytest.fixture
def in_files(tmp_path, monkeypatch):
    """Keep the ids of all collections in files, and sort few tokens at a time."""
    monkeypatch.setattr(corpus, "IN_MEMORY", 10)
    monkeypatch.setattr(item_order, "SORTED_TOKENS", 100)
    monkeypatch.setattr(item_order, "GATHERED", 30)
    monkeypatch.setattr(item_ids, "READ_IDS", 23)
    monkeypatch.setenv(id_cache.VARIABLE, str(tmp_path / "cache"))


def test_a_collection_in_files_is_that_in_memory(tmp_path, in_files, monkeypatch):
    path = tmp_path / "names.txt"
    path.write_text("\n".join([*names(200), "long" * 100]))
    with monkeypatch.context() as patch:
        patch.setattr(corpus, "IN_MEMORY", 10**9)
        memory = Corpus.open([path], collection=LINES)
    stored = Corpus.open([path], collection=LINES)
    assert isinstance(stored.ids.ids, IdFile)
    assert np.asarray(stored.ids).tobytes() == np.asarray(memory.ids).tobytes()
    assert np.array_equal(np.asarray(stored.ids.starts), memory.ids.starts)
    config = Config(items="lines", validation=0.1, batch_size=4, seq_length=11)
    windows = windows_of(config, memory.ids)
    assert windows == windows_of(config, stored.ids)
    for epoch in (0, 1):
        for position in (0, 11, windows.epoch_length - 11):
            rows = []
            for ids in (memory.ids, stored.ids):
                tokens, starts = tokens_of_epoch(ids, config, windows, epoch).read(position, 12)
                rows.append(tokens[starts[:, np.newaxis] + position + np.arange(12)])
            assert np.array_equal(*rows)
    assert not list((tmp_path / "cache" / "ids").glob(".*")), "a temporary file is left"


def test_a_changed_collection_in_files_is_read_again(tmp_path, in_files):
    path = tmp_path / "names.txt"
    path.write_text("\n".join(names(30)))
    before = Corpus.open([path], collection=LINES)
    path.write_text("\n".join(names(30, seed=2)))
    assert laid_out(Corpus.open([path], collection=LINES)) != laid_out(before)
    assert laid_out(Corpus.open([path], collection=Collection("files"))) != laid_out(before)


@pytest.mark.parametrize("streams", [1, 3, 40])
def test_an_epoch_has_each_item_of_the_training_part_once_in_the_order_of_its_words(streams):
    given = names(40)
    found = Corpus.from_text("\n".join(given), collection=LINES)
    config = Config(items="lines", validation=0.2, batch_size=streams, seq_length=5)
    windows, boundary = windows_of(config, found.ids), found.vocabulary.boundary
    train, _ = found.ids.bounds(config)
    orders = []
    for epoch in (0, 1):
        read = tokens_of_epoch(found.ids, config, windows, epoch)
        circle = read.tokens[: read.size]
        text = [found.vocabulary.decode(part) for part in np.split(circle, np.flatnonzero(circle == boundary))]  # fmt: skip
        order = np.argsort(words(0, "items", train, update=epoch + 1), kind="stable")
        assert text[1:] == [laid_out(found)[n] for n in order]
        orders.append(text)
        starts, begins = read.starts, np.flatnonzero(circle == boundary)
        for s, start in enumerate(starts.tolist()):
            later = begins[begins >= s * (read.size // streams)]
            assert start == (later[0] if len(later) else 0)
        needed = starts.max() + windows.epoch_length + 1
        assert len(read.tokens) >= needed
        assert np.array_equal(read.tokens[:needed], np.resize(circle, needed))
    assert orders[0] != orders[1]


def test_the_columns_of_an_epoch_are_those_of_the_counted_text():
    found = Corpus.from_text("\n".join(names(12)), collection=LINES)
    config = Config(items="lines", seq_length=5)
    windows, ids = windows_of(config, found.ids), found.ids
    text, segments = ids.with_both_boundaries(len(ids) - 1, 10**6)
    for begin, end in segments:
        assert text[begin] == text[end - 1] == ids.boundary
        assert ids.boundary not in text[begin + 1 : end - 1]
    circle = tokens_of_epoch(ids, config, windows, 0).tokens[: len(ids) - 1]
    places = np.concatenate(list(places_of_epoch(ids, 0, 0, ids.items)))
    assert np.array_equal(text[places], np.roll(circle, -1))
    # Each id of the counted text that is not the first of an item is predicted once.
    assert sorted(places) == sorted(set(range(len(text))) - set(segments[:, 0].tolist()))
    columns = columns_of_epoch(iter([places]), len(text), 8)
    assert columns[1:].tolist() == (1 + places[:-1] * 8 // len(text)).tolist()


def test_counting_stops_at_whole_items():
    ids = Corpus.from_text("\n".join(names(12)), collection=LINES).ids
    text, segments = ids.with_both_boundaries(len(ids) - 1, 30)
    assert len(text) == segments[-1, 1] <= 30
    text, segments = ids.with_both_boundaries(len(ids) - 1, 1)
    assert segments.tolist() == [[0, len(text)]]
