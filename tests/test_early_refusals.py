"""A run that cannot be trained is refused before anything is read, measured or written."""

import pytest
from typer.testing import CliRunner

import charloom
import file_contents
import small_runs
from charloom import api
from charloom.cli import app
from charloom.engines import native_problem
from charloom.errors import EngineError, RunExistsError, WriteError

TOO_LARGE = [
    (
        "--layers 65 --hidden-size 2",
        "the network has 65 layers, but the native engine supports at most 64",
    ),
    (
        "--recipe classic --seq-length 3000 --batch-size 6000",
        "a window has 3,000 steps of 6,000 streams, but the native engine can process at most 16,777,215 characters",
    ),
]


def charloom_(*words):
    """Run a command in this process."""
    return CliRunner().invoke(app, list(map(str, words)), prog_name="charloom")


@pytest.fixture
def book(tmp_path):
    """Write a small text to a file, and return its path."""
    path = tmp_path / "book.txt"
    path.write_text(100 * small_runs.TEXT, encoding="utf-8")
    return path


@pytest.fixture
def unmeasured(monkeypatch):
    """Fail if anything is measured."""

    def measure(*args):
        raise AssertionError("measured before it was refused")

    monkeypatch.setattr(api.training_plan, "measure", measure)


@pytest.mark.skipif(native_problem() is not None, reason="there is no native engine")
@pytest.mark.parametrize(("options", "message"), TOO_LARGE)
def test_a_network_the_native_engine_cannot_train_is_refused_with_an_alternative(
    book, tmp_path, options, message
):
    run = tmp_path / "run"
    done = charloom_("train", book, "--run", run, *options.split(), "--updates", "1")
    assert done.exit_code == 2
    assert message in done.stderr
    assert "or use --engine reference" in done.stderr
    assert not run.exists()


@pytest.mark.skipif(native_problem() is not None, reason="there is no native engine")
def test_python_and_resume_refuse_an_engine_that_cannot_train_the_network(tmp_path):
    with pytest.raises(EngineError, match='use engine="reference"'):
        charloom.train(string=small_runs.TEXT, layers=65, hidden_size=2, updates=1)
    run = tmp_path / "run"
    small_runs.train(run, layers=65, hidden_size=2, epochs=1, engine="reference", passage_length=2)
    before = file_contents.tree(run)
    with pytest.raises(EngineError, match="65 layers"):
        charloom.resume(run, engine="native", epochs=2)
    assert file_contents.tree(run) == before


@pytest.mark.parametrize("command", ["train", "reproduce"])
def test_an_existing_run_directory_is_refused_before_the_text_is_read(
    tmp_path, unmeasured, command
):
    run = tmp_path / "run"
    small_runs.create(run)[0].close()
    before = file_contents.tree(run)
    done = charloom_(command, tmp_path / "no such text", "--run", run)
    assert done.exit_code == 2
    assert f"{run} already contains a run" in done.stderr
    with pytest.raises(RunExistsError):
        getattr(charloom, command)(tmp_path / "no such text", run=run)
    assert file_contents.tree(run) == before


def test_the_error_for_a_file_given_as_a_run_directory_says_that_it_is_a_file(book, unmeasured):
    for below in ("run", "deep/run"):
        done = charloom_("train", book, "--run", book / below)
        assert done.exit_code == 2
        assert f"--run is {book / below}, but {book} is a file, not a directory" in done.stderr


def test_the_error_for_a_file_given_as_any_output_directory_says_that_it_is_a_file(book, tmp_path):
    small_runs.train(tmp_path / "run")
    model = charloom.load(tmp_path / "run")
    for write in (model.save, model.export):
        with pytest.raises(WriteError, match="is a file, not a directory"):
            write(book / "model.safetensors")
    done = charloom_("report", tmp_path / "run", "--output", book / "deep" / "page.html")
    assert f"{book} is a file, not a directory" in done.stderr


@pytest.mark.parametrize("content", ["[]", "{", ""])
@pytest.mark.parametrize("command", ["evaluate", "report", "resume"])
def test_the_error_for_a_damaged_config_says_how_to_recover(tmp_path, command, content):
    run = tmp_path / "run"
    small_runs.train(run)
    (run / "config.json").write_text(content)
    output = charloom_(command, run).stderr
    assert "config.json" in output
    assert "is intact: charloom resume" in output
    assert "--allow-older" in output


def test_a_count_of_one_is_printed_in_the_singular(book, tmp_path):
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "a.txt").write_text(book.read_text())
    (folder / "b.txt").write_bytes(b"")
    words = ("--recipe", "classic", "--hidden-size", "4", "--updates", "1")
    output = charloom_("train", folder, "--run", tmp_path / "run", *words).stderr
    assert "; skipped 1 file without text in UTF-8: " in output
    assert "1 update;" in output
    assert "1 updates" not in output


def test_the_recipe_classic_is_described_as_the_classic_experiment():
    output = " ".join(charloom_("recipes").stdout.split())
    assert "defaults of every setting" not in output
    assert "none; this is the classic experiment" in output
