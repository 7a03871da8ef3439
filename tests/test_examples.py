"""The programs in examples/ run unchanged and print what the documents say."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import charloom

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def output_of(program, folder, *words):
    """Run a program in an empty folder, and return its output. Assert that it succeeds and leaves no file."""
    done = subprocess.run(
        [sys.executable, program, *words],
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """Change to an empty folder. Assert at the end that it is still empty."""
    monkeypatch.setenv("PYTHONIOENCODING", "utf-8")
    folder = tmp_path / "empty"
    folder.mkdir()
    yield folder
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_short_and_a_guide_links_it(path):
    source = path.read_text(encoding="utf-8")
    assert len(source.splitlines()) < 40
    assert f"python examples/{path.name}" in source
    guides = (ROOT / "docs" / "guides").glob("*.md")
    assert any(f"(../../examples/{path.name})" in guide.read_text("utf-8") for guide in guides)


def bits_printed(name, folder):
    """Run an example, and return the numbers before "bits per character" on its lines."""
    printed = output_of(ROOT / "examples" / f"{name}.py", folder)
    return [float(bits) for bits in re.findall(r"([\d.]+) bits per character", printed)]


def test_a_schedule_of_ones_own_trains(empty):
    first, second, third = bits_printed("own_schedule", empty)
    assert first > second > third


def test_training_only_the_output_costs_bits(empty):
    free, recurrence, only_output = bits_printed("frozen_recurrence", empty)
    assert free != recurrence
    assert max(free, recurrence) < only_output < 6.7


def test_noise_on_the_weights_changes_what_is_learned(empty):
    bits = bits_printed("weight_noise", empty)
    assert len(set(bits)) == len(bits) == 3
    assert max(bits) < 6.7


def test_initial_weights_change_what_is_learned(empty):
    bits = bits_printed("own_initial_weights", empty)
    assert len(set(bits)) == len(bits) == 3
    assert max(bits) < 6.7


def test_gradients_and_states_are_measured_ten_times(empty):
    printed = output_of(ROOT / "examples" / "gradients_as_arrays.py", empty)
    rows = [[float(word) for word in line.split()] for line in printed.splitlines()[1:]]
    assert [row[0] for row in rows] == [1 + 100 * n for n in range(10)]
    assert all(-1 <= cosine <= 1 and 0 < size < 1 for _, _, cosine, size in rows)
    assert rows[-1][1] < rows[0][1]


def test_the_example_that_trains_writes_the_prompt_and_three_hundred_characters(empty):
    printed = output_of(ROOT / "examples" / "train_and_write.py", empty)
    measured, written = printed.split("\n", 1)
    assert written.startswith("The ")
    assert len(written.removesuffix("\n")) == len("The ") + 300
    bits = float(re.search(r"or ([\d.]+) bits per character", measured)[1])
    assert bits < 4  # a network that knows nothing has 6.7 on 103 characters


def test_the_example_that_checks_a_gradient_calls_it_right(empty):
    verdict, headline = output_of(ROOT / "examples" / "check_a_gradient.py", empty).splitlines()
    assert verdict == "right"
    assert headline.startswith("Right: ")


def test_the_mistake_that_the_example_names_is_found(empty, tmp_path):
    source = (ROOT / "examples" / "check_a_gradient.py").read_text(encoding="utf-8")
    assert source.count("(V.T @ p[t] + dh_next)") == 1
    planted = tmp_path / "planted.py"
    planted.write_text(source.replace("(V.T @ p[t] + dh_next)", "(V.T @ p[t])"), encoding="utf-8")
    verdict, headline = output_of(planted, empty).splitlines()
    assert verdict == "wrong"
    assert "no gradient flows back from step t+1 to step t" in headline


def test_the_example_that_finds_a_unit_shows_one_that_follows_quotations(empty):
    best, *rows = output_of(ROOT / "examples" / "find_a_unit.py", empty).splitlines()
    r = float(re.search(r"\br=(-?[\d.]+)", best)[1])
    assert abs(r) > 0.4
    values = [float(row[5:12]) for row in rows]
    text = 'Use "with open" here, or "try" there.\n'
    assert len(values) == len(text)
    spans = [found.span(1) for found in re.finditer(r'("[^"]+)"', text)]
    quoted = {n for start, end in spans for n in range(start, end)}
    inside = [value for n, value in enumerate(values) if n in quoted]
    outside = [value for n, value in enumerate(values) if n not in quoted]
    difference = sum(inside) / len(inside) - sum(outside) / len(outside)
    assert difference * r > 0
    assert abs(difference) > 0.5


@pytest.mark.parametrize("tokens", ["characters", "bytes"])
def test_the_example_with_onnx_writes_what_the_model_expects(tokens, empty, tmp_path):
    pytest.importorskip("onnxruntime")
    text = "the cät sat on the mat, and the hät sat on the cät.\n"
    model = charloom.train(
        string=text * 40, cell="lstm", hidden_size=32, seq_length=16, updates=400, tokens=tokens,
        ngram_order=0, input_pairs=30,
    )  # fmt: skip
    file = model.export(tmp_path / "cat.onnx", to="onnx")
    program = ROOT / "examples" / "write_with_onnx.py"
    printed = output_of(program, empty, str(file), "the cät ", "300")
    written = printed.removesuffix("\n")
    units = written.encode() if tokens == "bytes" else written
    prompt = "the cät ".encode() if tokens == "bytes" else "the cät "
    # U+FFFD, of three bytes, stands for one to three bytes that are not UTF-8, such as the begin of a character.
    replaced = written.count("\ufffd")
    assert len(units) - 2 * replaced <= len(prompt) + 300 <= len(units)
    assert written.startswith("the cät ")
    assert model.evaluate(string=written).nats < 0.7  # one that knows nothing has 2.6
    assert output_of(program, empty, str(file), "the cät ", "300") == printed


@pytest.mark.parametrize("words", [[], ["book.onnx", "The "], ["book.onnx", "The ", "long"]])
def test_the_example_with_onnx_prints_its_usage_if_the_arguments_are_wrong(
    words, empty, tmp_path, monkeypatch
):
    (tmp_path / "onnxruntime.py").touch()  # an empty module; the program ends before it uses it
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    command = [sys.executable, str(ROOT / "examples" / "write_with_onnx.py"), *words]
    done = subprocess.run(command, cwd=empty, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 1
    assert done.stderr == 'Usage: python examples/write_with_onnx.py book.onnx "The " 300\n'


def test_the_example_with_onnx_does_not_use_charloom():
    source = (ROOT / "examples" / "write_with_onnx.py").read_text(encoding="utf-8")
    imports = re.findall(r"^(?:import|from) (\w+)", source, re.MULTILINE)
    assert imports == ["json", "sys", "numpy", "onnxruntime"]
