"""Writes and reads a checkpoint: a directory of four files with a learner (spec/formats.md: Checkpoints).

    model.safetensors     parameters, with config and vocabulary as metadata; also a valid model file
    training.safetensors  optimizer slots and hidden state
    state.json            counters, the lengths of the run's journals, the text's fingerprint
    MANIFEST              SHA-256, length and name of each other file

The directory appears complete or not at all. This module does not know training runs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from charloom.model import Learner
from charloom.run_file_names import MODEL
from charloom.store.atomic_files import Data, create_directory, reading
from charloom.store.checkpoint_directory import (
    MANIFEST,
    STATE,
    TRAINING,
    CheckpointHeader,
    manifest_of,
    read_header,
    read_verified,
)
from charloom.store.model_file import model_blocks, parse_model
from charloom.store.training_state import (
    read_state,
    read_training,
    require_finite,
    state_bytes,
    training_blocks,
)


@dataclass(frozen=True)
class Checkpoint:
    """The contents of a checkpoint directory.

    Attributes:
        learner: the learner, with exactly the bits that were saved.
        lengths: the length in bytes of each of the run's journals when the checkpoint was saved, by file
            name.
        fingerprint: the fingerprint of the run's text, as in `Corpus.fingerprint`.
    """

    learner: Learner
    lengths: dict[str, int]
    fingerprint: str


def save_checkpoint(
    directory: Path, learner: Learner, lengths: Mapping[str, int], fingerprint: str
) -> None:
    """Write a checkpoint directory. It appears complete or not at all, and survives a power cut.

    Args:
        directory: the checkpoint directory to create.
        learner: the learner to save.
        lengths: the length in bytes of each of the run's journals, by file name.
        fingerprint: the fingerprint of the run's text, as in `Corpus.fingerprint`.

    Raises:
        DivergedError: a number in the learner is not finite; nothing was written.
        WriteError: the disk failed, or the directory exists already. A checkpoint is never overwritten.
    """
    create_directory(directory, checkpoint_files(learner, lengths, fingerprint))


def checkpoint_files(
    learner: Learner, lengths: Mapping[str, int], fingerprint: str
) -> dict[str, Data]:
    """Return the contents of the four files of a checkpoint, by file name.

    The contents share the learner's memory, so write them before the learner changes.

    Args:
        learner: the learner to save.
        lengths: the length in bytes of each of the run's journals, by file name.
        fingerprint: the fingerprint of the run's text, as in `Corpus.fingerprint`.

    Raises:
        DivergedError: a number in the learner is not finite.
    """
    require_finite(learner)
    files: dict[str, Data] = {
        MODEL: model_blocks(learner),
        STATE: state_bytes(learner, lengths, fingerprint),
        TRAINING: training_blocks(learner),
    }
    return {**files, MANIFEST: manifest_of(files)}


def load_checkpoint(directory: Path) -> Checkpoint:
    """Return the checkpoint in a directory, after verifying every byte of its files.

    Raises:
        NotAModelError: the directory does not exist or is not a checkpoint.
        NewerFormatError: a later version of charloom wrote the checkpoint.
        ReadError: the disk failed while reading.
        DamagedError: its bytes were changed, or its files contradict each other.
    """
    with reading(directory):
        header = read_header(directory)
        return parse_checkpoint(header, read_verified(header))


def parse_checkpoint(header: CheckpointHeader, files: Mapping[str, bytes]) -> Checkpoint:
    """Make a checkpoint from the bytes of its files, and return it.

    Args:
        header: the checkpoint's directory, with the bytes of MANIFEST and state.json.
        files: the bytes of each file by name, as `read_verified` returns them.

    Raises:
        NewerFormatError: a later version of charloom wrote the checkpoint.
        DamagedError: the files contradict each other.
    """
    directory = header.directory
    # Check the version before the fields, because fields of a later version can look like damage.
    header.refuse_newer()
    learner = parse_model(files[MODEL], str(directory / MODEL))
    read_training(files[TRAINING], learner, str(directory / TRAINING))
    lengths, fingerprint = read_state(files[STATE], learner, str(directory / STATE))
    return Checkpoint(learner, lengths, fingerprint)
