"""Checks that any bytes can be trained on or are refused with the offset of the wrong byte.

It runs the commands on many kinds of wrong files, as characters and as bytes. Python's own decoder also finds
the first wrong byte of each file, and both must agree.
"""

import contextlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from charloom.text import Vocabulary
from reliability import LONG, SHORT, Figures
from reliability.fuzz import first_bad

NUMBER = 10
PROMISE = (
    "Any bytes can be given as a text. They are trained on, or one clear sentence says what "
    "is wrong and at which byte. For every text x, decode(encode(x)) is x."
)

EXAMPLES = {SHORT: 1_000, LONG: 100_000}
LINE = {SHORT: 4 << 20, LONG: 200 << 20}  # bytes of a text that is one line
MEMORY = 600 << 20  # bytes of memory that training may take on a line of any length
MISTAKE = 2  # the exit code for a mistake of the user
SETTINGS = [
    "--recipe",
    "classic",
    "--hidden-size",
    "4",
    "--seq-length",
    "3",
    "--updates",
    "3",
    "--report-every",
    "1",
    "--sample-length",
    "3",
    "--sample-until",
    "0",
    "--passage-length",
    "5",
    "--engine",
    "reference",
    "--json",
]

# Texts that programs often read wrongly.
TEXTS: dict[str, bytes] = {
    "nothing": b"",
    "one symbol": b"a",
    "one symbol, again and again": b"a" * 50,
    "two symbols": b"ab" * 10,
    "a mark": b"\xef\xbb\xbf",
    "a mark and a text": b"\xef\xbb\xbfabcabcabc",
    "two marks and a text": b"\xef\xbb\xbf\xef\xbb\xbfabcabcabc",
    "a mark within": b"abc\xef\xbb\xbfabcabc",
    "a NUL": b"abcabc\0abc",
    "NULs alone": b"\0" * 20,
    "CR": b"abc\rabc\rabc",
    "CRLF": b"abc\r\nabc\r\nabc",
    "all kinds of line ends": "a\nb\rc\r\nd\x0be\x0cf\x85g\u2028h\u2029i".encode(),
    "line ends alone": b"\r\n" * 20,
    "UTF-16, little-endian": "abc abc abc".encode("utf-16"),
    "UTF-16, big-endian, with a mark": b"\xfe\xff" + "abc abc".encode("utf-16-be"),
    "UTF-16 without a mark": "abc abc abc".encode("utf-16-le"),
    "UTF-32": "abc abc abc".encode("utf-32"),
    "Latin-1": b"caf\xe9 caf\xe9 caf\xe9",
    "Windows-1252": b"\x93abc\x94 abcabc",
    "Shift-JIS": "日本語の文章です".encode("shift-jis"),
    "a lone high surrogate": b"abcabc\xed\xa0\x80abc",
    "a lone low surrogate": b"abcabcabc\xed\xbf\xbf",
    "a pair of surrogates": b"\xed\xa0\xbd\xed\xb8\x80abcabc",
    "combining marks": ("e\u0301a\u0308o\u0302" * 5).encode(),
    "a letter under a hundred marks": ("a" + "\u0301\u0323" * 50).encode(),
    "emoji": "👩‍👩‍👧‍👦👍🏽🏳️‍🌈 abc".encode(),
    "right to left": "שלום עולם \u202eabc\u202c".encode(),
    "the last code point": "abc\U0010ffffabc".encode(),
    "what is beyond it": b"abcabc\xf4\x90\x80\x80",
    "an overlong slash": b"abcabc\xc0\xafabc",
    "a character cut at the end": b"abcabc\xf0\x9f\x98",
    "a byte that never is": b"abc\xffabcabc",
    "a continuation alone": b"\x80abcabcabc",
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4,
    "a program": b"\x7fELF\x02\x01\x01" + bytes(500),
    "an archive": b"PK\x03\x04" + bytes(range(255, 0, -1)) * 3,
    "every byte": bytes(range(256)),
    "every byte but NUL": bytes(range(1, 256)),
    "noise": bytes((i * i * 31 + i // 3) % 256 for i in range(2_000)),
    "control characters": bytes(range(1, 32)) * 3,
    "escape sequences": b"\x1b[2J\x1b]0;title\x07 abc" * 3,
}


def check(scale: str) -> Figures:
    """Train on every text, on a text of one long line, and encode and decode random texts."""
    trained = refused = 0
    with tempfile.TemporaryDirectory() as name, inside(Path(name)):
        for what, data in TEXTS.items():
            for tokens in ("characters", "bytes"):
                if through_the_command(what, data, tokens):
                    trained += 1
                else:
                    refused += 1
        megabytes = one_line(LINE[scale])
    return {
        "texts_trained_on": trained,
        "texts_refused_with_a_sentence": refused,
        "line_of_MB": LINE[scale] >> 20,
        "trained_within_MB": megabytes,
        "examples_equal_after_encoding_and_decoding": round_trips(EXAMPLES[scale]),
    }


@contextlib.contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Work in a folder, which also contains the cache of large texts, inside the `with` block."""
    before, cache = Path.cwd(), os.environ.get("CHARLOOM_CACHE")
    os.chdir(folder)
    os.environ["CHARLOOM_CACHE"] = str(folder / "cache")
    try:
        yield
    finally:
        os.chdir(before)
        if cache is None:
            del os.environ["CHARLOOM_CACHE"]
        else:
            os.environ["CHARLOOM_CACHE"] = cache


# Training with the command


def through_the_command(what: str, data: bytes, tokens: str) -> bool:
    """Train on a file with these bytes; return True if that succeeded.

    Raises:
        AssertionError: training neither gave a model nor one sentence with the right reason.
    """
    import shutil

    from typer.testing import CliRunner

    from charloom.cli import app

    Path("text.txt").write_bytes(data)
    words = ["train", "text.txt", "--run", "run", "--tokens", tokens, *SETTINGS]
    done = CliRunner().invoke(app, words, prog_name="charloom")
    case = f"{what}, as {tokens}"
    assert done.exception is None or isinstance(done.exception, SystemExit), (
        f"{case}: {done.exception!r}"
    )
    wanted = problem(data, tokens)
    if done.exit_code == 0:
        assert wanted is None, f"{case}: trained, and {wanted} was wrong"
        sampled = CliRunner().invoke(app, ["sample", "run", "--length", "9"], prog_name="charloom")
        assert sampled.exit_code == 0, f"{case}: trained, and cannot write: {sampled.stderr}"
        shutil.rmtree("run")
        return True
    assert done.exit_code == MISTAKE, f"{case}: exit code {done.exit_code}"
    sentence = done.stderr
    assert wanted is not None, f"{case}: refused for no reason: {sentence}"
    assert re.fullmatch(r"charloom: [^\n]+[.?]\n", sentence), (
        f"{case}: no one sentence: {sentence!r}"
    )
    assert wanted in sentence, f"{case}: does not say {wanted!r}: {sentence}"
    assert not Path("run").exists(), f"{case}: refused, and left a run"
    return False


def problem(data: bytes, tokens: str) -> str | None:
    """Return what the error must say about these bytes; None if they can be trained on."""
    if tokens == "characters":
        place = first_bad(data, raw=False)
        if place is not None:
            return f"offset {place}"
        symbols: str | bytes = data.decode().removeprefix("\ufeff")
    else:
        symbols = data
    if not symbols:
        return "is empty"
    if len(set(symbols)) < 2:
        return "at least two distinct"
    return None if len(symbols) > 3 else "characters"  # shorter than a window


# One line


# VmHWM is the peak of this process only; wait4 would include the parent's memory at the fork.
TRAIN_AND_TELL = """
import sys
from charloom.cli import main
try:
    main()
finally:
    with open("/proc/self/status") as file:
        most = next(line.split()[1] for line in file if line.startswith("VmHWM"))
    print("\\n" + most, file=sys.stderr)
"""


def one_line(size: int) -> int:
    """Train on a line of `size` bytes in a separate process, and return its peak memory in megabytes."""
    piece = b"the cat sat on the mat, and the dog ran round the log; "
    with Path("line.txt").open("wb") as file:
        for _ in range(size // (len(piece) << 10)):
            file.write(piece * 1024)
    program = [sys.executable, "-c", TRAIN_AND_TELL, "train", "line.txt", "--run", "line"]
    done = subprocess.run([*program, *SETTINGS], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-500:]
    most = int(done.stderr.rsplit(maxsplit=1)[-1]) * 1024
    assert most < MEMORY, f"a line of {size >> 20} MB took {most >> 20} MB of memory"
    return most >> 20


# Random texts


def round_trips(examples: int) -> int:
    """Encode and decode random texts of any code points, including surrogates; return how many."""
    tried = 0

    @settings(
        max_examples=examples,
        database=None,
        derandomize=True,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.text(st.characters(codec=None), max_size=60), st.booleans())
    def round_trip(text: str, as_bytes: bool) -> None:
        nonlocal tried
        tried += 1
        encoded = text.encode("utf-8", "surrogatepass")
        symbols = encoded.decode("latin-1") if as_bytes else text
        vocabulary = Vocabulary([*symbols, "a", "b"], "bytes" if as_bytes else "characters")
        ids = vocabulary.encode(text)
        assert vocabulary.to_bytes(ids) == encoded, f"{text!r} came back as other bytes"
        wanted = encoded.decode("utf-8", "replace") if as_bytes else text
        assert vocabulary.decode(ids) == wanted, f"{text!r} came back as another text"

    round_trip()
    return tried
