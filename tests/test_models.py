"""A trained model can be sampled, evaluated and scored, in Python and on the command line."""

import io
import json
import math
import re
import shlex
import sys
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

import charloom
from charloom import sampling
from charloom.cli import app
from charloom.cli.model_commands import read_text
from charloom.config import Config
from charloom.engines.reference import ReferenceEngine
from charloom.errors import ConfigError, TextError
from charloom.evaluation import evaluate
from charloom.scoring import score_segments
from charloom.text import Corpus, Windows
from small_runs import TEXT, train

SETTINGS = {"epochs": 1, "validation": 0.2, "test": 0.1}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return a finished run with all three parts, whose text is in a file. Tests only read it."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "book.txt").write_text(TEXT, encoding="utf-8")
    train(folder / "run", Corpus.open([folder / "book.txt"]), **SETTINGS)
    return folder / "run"


@pytest.fixture(scope="module")
def model(run):
    """Return the run's model on the reference engine, which every machine has."""
    return charloom.load(run, engine="reference")


@pytest.fixture(scope="module")
def alone(model, tmp_path_factory):
    """Return the model in a separate file, which does not have its text."""
    return model.save(tmp_path_factory.mktemp("alone") / "model.safetensors")


def charloom_(*words, stdin=None, **environment):
    """Run a command in this process. Words are split as in a shell."""
    args = [part for word in words for part in shlex.split(str(word))]
    return CliRunner().invoke(
        app, [*args, "--engine", "reference"], input=stdin, env=environment, prog_name="charloom"
    )


def output_of(*words, **more):
    """Return the JSON object that a command prints with `--json`."""
    done = charloom_(*words, "--json", **more)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def refused(*words, **more):
    """Return the message of a command that must refuse, without a traceback."""
    done = charloom_(*words, **more)
    assert done.exit_code == 2
    (sentence,) = done.stderr.splitlines()
    return sentence


# Writing


def test_a_stream_says_why_it_ended(model):
    whole = model.stream(length=200)
    assert whole.ended is None
    text = "".join(whole)
    assert whole.ended == "length"
    stopped = model.stream(length=200, stop=text[50:53])
    assert text.startswith("".join(stopped))
    assert stopped.ended == "stop"


def test_every_sampling_argument_changes_the_sample(model):
    plain = model.sample(length=300)
    for drawing in (
        {"top_k": 2},
        {"top_p": 0.5},
        {"min_p": 0.3},
        {"repetition_penalty": 2.0},
        {"temperature": 0.5},
        {"number": 1},
        {"seed": 1},
    ):
        assert model.sample(length=300, **drawing) != plain
    penalised = model.sample(length=300, repetition_penalty=2.0)
    assert model.sample(length=300, repetition_penalty=2.0, repetition_window=2) != penalised
    assert model.sample("thé ", unknown="replace", replacement="e") == model.sample("the ")


def test_the_command_writes_several_texts_and_says_how_each_ended(run, model):
    drawing = "--length 80 --temperature 0.8 --top-k 9 --top-p 0.95 --min-p 0.01 --seed 3"
    output = output_of("sample", run, drawing, "--repetition-penalty 1.1 -n 3 --stop at --stop og")
    python = {
        "length": 80, "temperature": 0.8, "top_k": 9, "top_p": 0.95, "min_p": 0.01, "seed": 3,
        "repetition_penalty": 1.1, "repetition_window": 64, "stop": ["at", "og"],
        "unknown": "refuse", "replacement": "",
    }  # fmt: skip
    assert {name: output[name] for name in python} == python
    assert [sample["number"] for sample in output["samples"]] == [0, 1, 2]
    for sample in output["samples"]:
        writing = model.stream(number=sample["number"], **python)
        assert (sample["text"], sample["ended"]) == ("".join(writing), writing.ended)


def test_texts_are_sampled_one_after_another(run, monkeypatch):
    """This holds for any number of texts."""
    begun = []
    honest = sampling.Writing

    def write(*given, number):
        begun.append(number)
        if len(begun) > 2:
            raise ConfigError("enough")
        return honest(*given, number=number)

    monkeypatch.setattr(sampling, "Writing", write)
    done = charloom_("sample", run, "--length 5 -n 1000000000")
    assert (done.exit_code, begun) == (2, [0, 1, 2])
    assert done.stdout.startswith("--- 1 of 1000000000\n")
    assert "--- 2 of" in done.stdout


def test_several_texts_are_kept_apart(run, model):
    done = charloom_("sample", run, "--prompt the --length 20 -n 2")
    texts = ["the" + model.sample("the", 20, number=number) for number in range(2)]
    assert done.stdout == f"--- 1 of 2\n{texts[0]}\n--- 2 of 2\n{texts[1]}\n"


def test_a_prompt_comes_from_a_file_or_from_standard_input_as_it_is(run, tmp_path):
    wanted = output_of("sample", run, "--prompt 'the big '")
    (tmp_path / "prompt.txt").write_bytes(b"\xef\xbb\xbfthe big ")
    assert output_of("sample", run, "--prompt-file", tmp_path / "prompt.txt") == wanted
    assert output_of("sample", run, "--prompt -", stdin="the big ") == wanted


def test_unknown_characters_of_a_prompt_are_reported(run):
    done = charloom_("sample", run, "--prompt thQe --unknown skip --length 5")
    assert done.exit_code == 0
    assert "1 unknown character was skipped: 'Q' (1) in the prompt." in done.stderr


def test_a_prompt_that_cannot_be_read_is_refused(run, tmp_path):
    assert "cannot be read" in refused("sample", run, "--prompt-file", tmp_path / "none.txt")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9 ")
    sentence = refused("sample", run, "--prompt-file", tmp_path / "latin.txt")
    assert "is not UTF-8: byte 0xe9 at offset 3" in sentence
    (tmp_path / "marked.txt").write_bytes(b"\xef\xbb\xbfcaf\xe9 ")
    sentence = refused("sample", run, "--prompt-file", tmp_path / "marked.txt")
    assert "is not UTF-8: byte 0xe9 at offset 6" in sentence
    sentence = refused("sample", run, "--prompt a --prompt-file", tmp_path / "latin.txt")
    assert "give only one of them" in sentence
    assert "samples is 0" in refused("sample", run, "-n 0")


# Being judged


def test_a_model_is_evaluated_on_the_validation_part_of_its_own_text(run, model):
    windows = Windows.of(Config(seq_length=10, **SETTINGS), len(TEXT))
    ((start, end),) = windows.parts["validation"]
    ids = model.vocabulary.encode(TEXT)
    nats = score_segments(ReferenceEngine(), model.learner, ids, [(start, end)])
    found = model.evaluate()
    assert (found.split, found.characters) == ("validation", end - start - 1)
    assert found.nats == pytest.approx(nats.mean(), rel=1e-12)
    output = output_of("evaluate", run)
    assert (output["nats"], output["split"], output["text"]) == (
        found.nats,
        "validation",
        "book.txt",
    )
    shown = charloom_("evaluate", run).stdout
    assert f"validation: characters {start + 1:,} to {end:,} of {len(TEXT):,}" in shown
    assert f"bits:       {found.bits:.4f} per character\n" in shown


def test_every_part_and_the_whole_text_can_be_evaluated(model, run):
    parts = Windows.of(Config(seq_length=10, **SETTINGS), len(TEXT)).parts
    for split in ("train", "validation", "test"):
        ((start, end),) = parts[split]
        found = model.evaluate(split=split)
        assert (found.split, found.characters) == (split, end - start - 1)
    whole = model.evaluate(split="all")
    assert whole.segments == ((0, len(TEXT)),)
    assert "all of it" in charloom_("evaluate", run, "--split", "all").stdout
    given = model.evaluate(run.parent / "book.txt")  # its own text again
    assert given == model.evaluate()
    assert given.split == "validation"


def test_a_given_text_is_divided_as_in_training_on_request(model, alone):
    wanted = model.evaluate(split="test")
    opened = charloom.load(alone, engine="reference")
    found = opened.evaluate(string=TEXT, split="test")
    assert (found.nats, found.segments) == (wanted.nats, wanted.segments)
    assert (found.own, wanted.own) == (False, True)  # a model file does not know its text


def test_without_a_validation_part_the_training_part_is_evaluated_and_named(tmp_path):
    train(tmp_path / "run", epochs=1)
    output = output_of("evaluate", tmp_path / "run")
    assert (output["split"], output["characters"]) == ("train", len(TEXT) - 1)
    sentence = refused("evaluate", tmp_path / "run", "--split test")
    assert "choose train or all" in sentence
    assert "--validation 0.1" in refused("evaluate", tmp_path / "run", "--baselines")


def test_the_end_of_each_stream_is_evaluated_from_the_zero_state(tmp_path):
    settings = {"validation": 0.3, "split": "streams", "batch_size": 3, "seq_length": 5}
    train(tmp_path / "run", epochs=1, **settings)
    segments = Windows.of(Config(**settings), len(TEXT)).parts["validation"]
    assert len(segments) == 3
    model = charloom.load(tmp_path / "run", engine="reference")
    ids = model.vocabulary.encode(TEXT)
    wanted = [evaluate(model.learner, model.engine, ids[start:end]).nats for start, end in segments]
    assert model.evaluate().nats == pytest.approx(sum(wanted) / 3, rel=1e-6)
    assert "a part of each of 3 streams" in charloom_("evaluate", tmp_path / "run").stdout


def test_a_model_without_its_run_must_be_given_a_text(alone, run):
    assert "give a text, or the run directory" in refused("evaluate", alone)
    found = output_of("evaluate", alone, run.parent / "book.txt")
    assert found["characters"] == len(TEXT) - 1


def test_a_long_part_has_an_interval(run, tmp_path):
    (tmp_path / "long.txt").write_text(TEXT * 20, encoding="utf-8")
    output = output_of("evaluate", run, tmp_path / "long.txt", "--streams 1 --seed 4")
    low, high = output["interval"]
    assert low <= output["bits"] <= high
    shown = charloom_("evaluate", run, tmp_path / "long.txt", "--streams 1 --seed 4").stdout
    assert f"per character, 95 % between {low:.4f} and {high:.4f}" in shown


def test_unknown_characters_of_a_text_are_refused_or_reported(run, model, tmp_path):
    (tmp_path / "other.txt").write_text("the €at sat", encoding="utf-8")
    assert "not in the model's vocabulary" in refused("evaluate", run, tmp_path / "other.txt")
    done = charloom_("evaluate", run, tmp_path / "other.txt", "--unknown skip")
    assert "1 unknown character was skipped: '€' (1)." in done.stderr
    output = output_of("evaluate", run, tmp_path / "other.txt", "--unknown replace --replacement c")
    assert output["unknown"] == 1
    assert output["nats"] == model.evaluate(string="the cat sat").nats


def test_an_unknown_split_is_refused(model):
    with pytest.raises(ConfigError, match="split is 'some'; it must be one of train, validation"):
        model.evaluate(split="some")


def test_an_unknown_policy_is_refused_with_the_models_own_text_too(model):
    with pytest.raises(ConfigError, match="unknown is 'guess'; it must be one of refuse"):
        model.evaluate(unknown="guess")


# The baselines


def test_baselines_and_model_are_evaluated_on_the_same_part(run, model):
    output = output_of("evaluate", run, "--baselines")["baselines"]
    found = model.baselines()
    parts = Windows.of(Config(seq_length=10, **SETTINGS), len(TEXT)).parts
    learnt, judged = (end - start for ((start, end),) in (parts["train"], parts["validation"]))
    assert (found.learnt, found.judged) == (learnt, judged - 1)  # as the model: not the first
    assert list(output["ngrams"].values()) == list(found.ngrams.values())
    assert output["compressors"]["xz"]["alone"] == found.compressors["xz"].alone
    shown = charloom_("evaluate", run, "--baselines").stdout
    assert f"{found.best_order}-gram, the best of 1 to {max(found.ngrams)}" in shown
    table = [line.split()[-1] for line in shown.splitlines() if line.startswith("  ")]
    assert [float(bits) for bits in table] == sorted(float(bits) for bits in table)
    assert len(table) == 6


def test_for_another_text_baselines_learn_from_the_models_own_training_part(model, alone):
    other = "the dog sat on the log, and the cat ran round the mat;"
    found = model.baselines(string=other)
    ((start, end),) = Windows.of(Config(seq_length=10, **SETTINGS), len(TEXT)).parts["train"]
    assert (found.learnt, found.judged) == (end - start, len(other) - 1)
    with pytest.raises(TextError, match="the text that it was trained on is not known"):
        charloom.load(alone, engine="reference").baselines(string=other)
    # Divided as in training, a text has a part to learn from.
    opened = charloom.load(alone, engine="reference")
    assert opened.baselines(string=TEXT, split="validation") == model.baselines()


def test_baselines_do_not_learn_from_the_part_they_are_evaluated_on(run, model):
    """A file that holds the model's own text counts as its own text too."""
    for given in ({"split": "train"}, {"split": "all"}, {"string": TEXT, "split": "all"}):
        with pytest.raises(ConfigError, match="cannot be evaluated on it"):
            model.baselines(**given)
    given = ("evaluate", run, run.parent / "book.txt", "--split all --baselines")
    assert "cannot be evaluated on it" in refused(*given)


# Surprise


def test_score_prints_the_bits_of_each_character(run, model):
    output = output_of("score", run, "--text 'the cat'")
    found = model.score("the cat")
    assert output["characters"] == list("the cat")
    assert output["bits"] == [None, *found.bits.tolist()[1:]]
    assert output["nats"] == [None, *found.nats.tolist()[1:]]
    assert output["mean_bits"] == pytest.approx(model.evaluate(string="the cat").bits)


def test_score_reads_a_file_or_standard_input(run, tmp_path):
    wanted = output_of("score", run, "--text 'the cat'")
    (tmp_path / "text.txt").write_text("the cat", encoding="utf-8")
    assert output_of("score", run, tmp_path / "text.txt") == wanted
    assert output_of("score", run, stdin="the cat") == wanted
    assert output_of("score", run, "-", stdin="the cat") == wanted
    assert "give only one of them" in refused("score", run, tmp_path / "text.txt", "--text cat")


def test_without_a_terminal_a_scored_text_is_plain(run):
    done = charloom_("score", run, "--text 'the cat'")
    assert done.stdout == "the cat\n"
    assert "bits per character" in done.stderr
    assert done.stderr.endswith("; this terminal shows no colours, --json prints the numbers.\n")
    assert charloom_("score", run, "--text 'the cat'", FORCE_COLOR="1", NO_COLOR="1").stdout == (
        "the cat\n"
    )


def test_a_terminal_without_colours_shows_only_the_text(run):
    dumb = {"FORCE_COLOR": "1", "TERM": "dumb", "NO_COLOR": None}
    assert charloom_("score", run, "--text 'the cat'", **dumb).stdout == "the cat\n"


def test_a_terminal_shows_surprising_characters_in_colour(run, model):
    text = "the cat gone mad"
    terminal = {"FORCE_COLOR": "1", "TERM": "xterm-256color", "COLORTERM": "", "NO_COLOR": None}
    done = charloom_("score", run, f"--text '{text}'", **terminal)
    assert "--json" not in done.stderr
    legend, painted = done.stdout.splitlines()
    plain = re.sub(r"\x1b\[[\d;]*m", "", legend)
    assert plain.split() == ["bits:", "0-1", "1-2", "2-4", "4-6", "6", "and", "more"]
    steps = {"0": "\x1b[2m", "1": "", "2": "48;5;229m", "4": "48;5;215m", "6": "48;5;160m"}
    wanted = [
        steps[max(least for least in steps if bits >= int(least))]
        for bits in model.score(text).bits.tolist()[1:]
    ]
    assert len(set(wanted)) > 2
    assert painted.startswith("\x1b[4mt\x1b[0m")
    for style in set(wanted):
        assert painted.count(style) or style == ""
    for style in set(steps.values()) - set(wanted):
        assert style not in painted


def test_control_characters_of_a_scored_text_are_not_printed(tmp_path):
    train(tmp_path / "run", Corpus.from_text(TEXT + "\x1b\x07"), epochs=1)
    done = charloom_("score", tmp_path / "run", stdin="a\x1b]0;\x07t")
    assert "␛" not in done.stdout
    assert done.exit_code == 2  # "]" was never read
    done = charloom_("score", tmp_path / "run", stdin="a \x1b\x07t")
    assert done.stdout == "a ␛␇t\n"


def test_a_text_too_short_to_score_is_refused(run):
    assert "at least two" in refused("score", run, stdin="t")
    assert math.isnan(charloom.load(run, engine="reference").score("th").nats[0])


def test_input_that_is_not_text_is_refused(run):
    stdin = io.BytesIO(b"\xff\xfe\x00").read()
    assert "standard input is not UTF-8" in refused("score", run, stdin=stdin)


@pytest.mark.parametrize(("terminal", "count"), [(True, 1), (False, 0)])
def test_a_terminal_shows_how_to_type_the_text(terminal, count, monkeypatch, capsys):
    typed = SimpleNamespace(buffer=io.BytesIO(b"the cat"), isatty=lambda: terminal)
    monkeypatch.setattr(sys, "stdin", typed)
    assert read_text("-") == "the cat"
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("reading the text from the terminal") == count
    assert output.err.count("end it with Ctrl-") == count
