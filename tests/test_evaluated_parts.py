"""A model and the baselines are evaluated on the same characters of every part, and count them equally."""

import pytest

import charloom
from charloom.errors import TextError
from charloom.evaluation import evaluate

TEXT = "".join(f"{n} times é is {n * n}; " for n in range(120))
OTHER = "the 7 times é is 49; " * 12


def trained(tmp_path, **settings):
    """Return a small model with its run, and the text that it was trained on."""
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    return charloom.train(
        str(path), run=str(tmp_path / "run"), updates=3, hidden_size=4, seq_length=10, **settings
    )


def counted(model, **arguments):
    """Return the characters evaluated with the model, those with the baselines, and the segments of the part.

    Assert that the number of streams does not change the first of them.
    """
    found = [model.evaluate(streams=streams, **arguments) for streams in (None, 1, 3)]
    (characters,) = {one.characters for one in found}
    return characters, model.baselines(**arguments).judged, found[0].segments


DIVISIONS = {
    "end": {"validation": 0.1, "test": 0.1},
    "end, streams of training": {"validation": 0.1, "test": 0.1, "batch_size": 4},
    "streams": {"validation": 0.2, "test": 0.2, "split": "streams", "batch_size": 4},
    "one stream": {"validation": 0.2, "test": 0.2, "split": "streams"},
    "bytes": {"validation": 0.1, "test": 0.1, "tokens": "bytes"},
    "streams of bytes": {"validation": 0.2, "test": 0.2, "split": "streams", "batch_size": 3,
                         "tokens": "bytes"},
}  # fmt: skip


@pytest.mark.parametrize("split", ["validation", "test"])
@pytest.mark.parametrize("division", DIVISIONS)
def test_model_and_baselines_count_the_same_characters_of_a_part(division, split, tmp_path):
    characters, others, segments = counted(trained(tmp_path, **DIVISIONS[division]), split=split)
    assert others == characters == sum(end - start - 1 for start, end in segments)


def test_the_count_of_a_part_equals_the_count_by_hand(tmp_path):
    model = trained(tmp_path, validation=0.2, split="streams", batch_size=4)
    characters, others, segments = counted(model, split="validation")
    windows = (len(TEXT) - 1) // (4 * 10)  # Q of the section Windows
    held_out = windows - int(windows * 0.8)
    assert len(segments) == 4
    assert others == characters == 4 * held_out * 10


def test_another_text_counts_every_character_except_the_first(tmp_path):
    model = trained(tmp_path, validation=0.1)
    characters, others, _ = counted(model, string=OTHER, unknown="skip")
    assert others == characters == len([c for c in OTHER if c in TEXT]) - 1


def test_another_text_for_a_byte_model_is_counted_in_bytes(tmp_path):
    model = trained(tmp_path, validation=0.1, tokens="bytes")
    characters, others, _ = counted(model, string=TEXT[100:400])
    assert others == characters == len(TEXT[100:400].encode()) - 1


@pytest.mark.parametrize("segments", [[(0, 1)], [(0, 1), (5, 6)]])
def test_segments_of_one_character_have_nothing_to_predict(segments, tmp_path):
    model = trained(tmp_path)
    ids = model.learner.vocabulary.encode(TEXT)
    with pytest.raises(TextError, match="needs at least two"):
        evaluate(model.learner, model.engine, ids, segments)
