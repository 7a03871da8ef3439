"""Uploads a model directory to Hugging Face with the package huggingface_hub, which knows the user's token.

This is the only module that connects to another machine, and only `push` uses it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from charloom.errors import HubError, MissingPartError, NotAModelError
from charloom.formatting import excerpt, shortened
from charloom.messages import argument, pip_command
from charloom.store.atomic_files import reading
from charloom.store.model_directory import MODEL_FILES, is_model_directory, model_file_of
from charloom.store.run_model import load_model
from charloom.store.run_settings import charloom_version

# What a user can do about a refusal, by the status of the hub's response.
FIXES: Final[dict[Any, str]] = {
    401: "Log in with hf auth login, or set HF_TOKEN to a token that may write.",
    403: "Use a token that may write to this repository, or give a repository of your own.",
    404: "Give a repository of your own, such as ada/book, and a token that may write to it.",
}
OTHERWISE: Final = "Check the connection, and try again."


@dataclass(frozen=True)
class Uploaded:
    """A model directory on a hub.

    Attributes:
        repository: the name of the repository, with its owner.
        url: the address of its page.
        commit: the identifier of the commit with the files.
    """

    repository: str
    url: str
    commit: str


def upload(directory: Path, repository: str, public: bool) -> Uploaded:
    """Upload the three files of a model directory as one commit, and return where they are.

    Args:
        directory: a model directory. Other files in it are not uploaded.
        repository: the name of the repository, such as "ada/book". It is created if it does not exist.
        public: True to create a public repository, False to create a private one. An existing repository stays as
            it is.

    Raises:
        NotAModelError: the directory is not a model directory.
        DamagedError: its model file is damaged.
        MissingPartError: huggingface_hub is not installed.
        HubError: the hub refused the files, or could not be reached.
    """
    require_intact(directory)
    api = _library().HfApi(library_name="charloom", library_version=charloom_version())
    try:
        created = api.create_repo(repository, private=not public, exist_ok=True)
        commit = api.upload_folder(
            repo_id=created.repo_id,
            folder_path=directory,
            allow_patterns=sorted(MODEL_FILES),
            commit_message="Upload a model of charloom",
        )
    # The library raises errors of several packages, such as those of its HTTP client.
    except Exception as error:
        raise HubError(_refusal(error, repository)) from error
    return Uploaded(created.repo_id, str(created), commit.oid)


def require_intact(directory: Path) -> None:
    """Raise an error if a directory is not a model directory, or if its model cannot be opened."""
    with reading(directory):
        found = is_model_directory(directory)
    if not found:
        raise NotAModelError(
            f"{shortened(directory)} is not a model directory. Export a model with {argument('to', 'hub')}, and give "
            f"the directory that this writes."
        )
    load_model(model_file_of(directory))


def _library() -> Any:
    """Return the package huggingface_hub; raise MissingPartError if it is not installed."""
    try:
        import huggingface_hub
    except ModuleNotFoundError as error:
        raise MissingPartError(
            f"pushing needs the package {error.name}, which is not installed. Install it "
            f"{pip_command('hub')}."
        ) from None
    return huggingface_hub


def _refusal(error: Exception, repository: str) -> str:
    """Return a message that says why the hub has not taken the files, and what to do."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    reason = excerpt(str(error) or type(error).__name__, 200).removesuffix(".")
    return f"{shortened(repository)} was not pushed: {reason}. {FIXES.get(status, OTHERWISE)}"
