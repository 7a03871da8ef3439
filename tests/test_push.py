"""A model directory is uploaded to a hub: a local server takes the requests that Hugging Face would get."""

import json
import subprocess
import sys

import pytest

import charloom
from charloom import hub_upload
from charloom.config import Config
from charloom.errors import ConfigError, DamagedError, HubError, MissingPartError, NotAModelError
from charloom.hub_format import CardWords, hub_files
from charloom.model import new_learner
from charloom.store.atomic_files import replace_directory
from charloom.text import Vocabulary
from hub_server import COMMIT, hub_environment, hub_server

FILES = ["README.md", "config.json", "model.safetensors"]


@pytest.fixture
def directory(tmp_path):
    """Return a model directory with two files that must not be uploaded."""
    learner = new_learner(Config(hidden_size=6, init="uniform"), Vocabulary("abcdé"))
    path = tmp_path / "model"
    replace_directory(path, hub_files(learner, 7, CardWords(license="mit")))
    (path / "secret.txt").write_text("not for the hub")
    (path / ".git").mkdir()
    (path / ".git" / "config").write_text("not for the hub")
    return path


def push(server, folder, *words, token="hf_test"):
    """Run `charloom push` in a process of its own, with a hub at `server`, and return its result."""
    pytest.importorskip("huggingface_hub", reason="the extra hub is not installed")
    return subprocess.run(
        [sys.executable, "-m", "charloom", "push", *map(str, words)],
        env=hub_environment(server, folder, token), capture_output=True, encoding="utf-8",
        check=False,
    )  # fmt: skip


def test_the_three_files_arrive_and_make_the_same_model(directory, tmp_path):
    with hub_server() as server:
        done = push(server.url, tmp_path, directory, "ada/book")
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"{server.url}/ada/book\n"
        assert server.visibility == {"ada/book": "private"}
        ((repository, files),) = server.commits
        again = push(server.url, tmp_path, directory, "ada/book", "--public", "--json")
        assert again.returncode == 0, again.stderr
        assert server.visibility == {"ada/book": "private"}
    assert json.loads(again.stdout) == {
        "repository": "ada/book", "url": f"{server.url}/ada/book", "commit": COMMIT,
    }  # fmt: skip
    assert repository == "ada/book"
    assert sorted(files) == FILES
    assert all(files[name] == (directory / name).read_bytes() for name in FILES)
    replace_directory(tmp_path / "downloaded", files)
    assert charloom.load(tmp_path / "downloaded").update == 7


def test_a_public_repository_is_created_only_if_asked(directory, tmp_path):
    with hub_server() as server:
        assert push(server.url, tmp_path, directory, "ada/book", "--public").returncode == 0
        assert server.visibility == {"ada/book": "public"}


def test_a_wrong_token_is_explained_in_one_sentence(directory, tmp_path):
    with hub_server() as server:
        done = push(server.url, tmp_path, directory, "ada/book", token="hf_other")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("charloom: 'ada/book' was not pushed: ")
    assert "Log in with hf auth login, or set HF_TOKEN" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert (server.visibility, server.commits) == ({}, [])


class Refusing:
    """A library whose calls raise an error."""

    def __init__(self, error):
        self.error = error

    def HfApi(self, **options):
        """Return the object that makes the calls."""
        return self

    def create_repo(self, *arguments, **options):
        """Raise the error."""
        raise self.error


class Response:
    """A response with a status."""

    def __init__(self, status):
        self.status_code = status


def refusal(status, message="no\n\x1b[31m"):
    """Return an error like those of the library, with the status of a response."""
    error = OSError(message)
    error.response = Response(status)
    return error


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (refusal(401), "'a/b' was not pushed: no ␛[31m. Log in with hf auth login"),
        (refusal(403), "Use a token that may write to this repository"),
        (refusal(404), "Give a repository of your own, such as ada/book"),
        (refusal(500), "Check the connection, and try again"),
        (ConnectionError("refused"), "'a/b' was not pushed: refused. Check the connection"),
        (ValueError("Repo id must be in the form 'repo_name'."), "Repo id must be in the form"),
        (RuntimeError(), "'a/b' was not pushed: RuntimeError. Check"),
    ],
)
def test_a_refusal_says_why_and_what_to_do(error, sentence, directory, monkeypatch):
    monkeypatch.setattr(hub_upload, "_library", lambda: Refusing(error))
    with pytest.raises(HubError) as failed:
        charloom.push(directory, "a/b")
    assert sentence in str(failed.value)
    assert len(str(failed.value).splitlines()) == 1


def test_a_missing_extra_is_named(directory, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(
        MissingPartError,
        match=r"package huggingface_hub.*in the clone of charloom: pip install '\.\[hub\]'",
    ):
        charloom.push(directory, "ada/book")


def test_only_an_intact_model_directory_is_sent(directory, tmp_path, monkeypatch):
    monkeypatch.setattr(hub_upload, "_library", lambda: pytest.fail("sent"))
    run = tmp_path / "run"
    charloom.train(string="the cat sat. " * 20, run=run, recipe="classic", updates=2, hidden_size=4)
    for path in (run, tmp_path, directory / "model.safetensors", tmp_path / "nothing"):
        with pytest.raises(NotAModelError, match=r'is not a model directory.*to="hub"'):
            charloom.push(path, "ada/book")
    file = directory / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(DamagedError, match=r"model\.safetensors is damaged"):
        charloom.push(directory, "ada/book")
    with pytest.raises(ConfigError, match="repository is 3; it must be a str"):
        charloom.push(directory, 3)
