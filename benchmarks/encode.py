"""How fast a text becomes ids: megabytes a second of each reading, and of the whole.

python benchmarks/encode.py [--megabytes 200] [--rounds 3] [FILE ...]

Without files it makes texts that differ in what is slow: ASCII, mostly ASCII, two and three bytes a
character; and one in a single line. They are made of words drawn by a fixed seed.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from charloom.text import Corpus, Vocabulary
from charloom.text.reading import encode, fingerprint, scan
from charloom.text.sources import file_source

MEGABYTE = 1_000_000
ALPHABETS = {
    "ASCII": ("abcdefghijklmnopqrstuvwxyz", " ", "\n"),
    "one line": ("abcdefghijklmnopqrstuvwxyz", " ", " "),
    "German": ("abcdefghijklmnopqrstuvwxyzäöüß", " ", "\n"),
    "Russian": ("абвгдежзийклмнопрстуфхцчшщъыьэюя", " ", "\n"),
    "Chinese": ("".join(map(chr, range(0x4E00, 0x5600))), "，", "。\n"),
}


def make_text(path: Path, alphabet: tuple[str, str, str], size: int) -> None:
    """A file of about this many bytes."""
    letters, space, line_end = alphabet
    random = np.random.default_rng(0)
    words = [
        "".join(random.choice(list(letters), length)) for length in random.integers(2, 9, 5000)
    ]
    written = 0
    with path.open("wb") as file:
        while written < size:
            lines = (space.join(random.choice(words, 12)) + line_end for _ in range(2_000))
            written += file.write("".join(lines).encode() * 10)


def best(rounds: int, work: Callable[[], object]) -> float:
    """Seconds of the fastest round."""
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def measure(name: str, path: Path, rounds: int) -> None:
    """Print what one file costs."""
    sources = [file_source(path)]
    found = scan(sources, "characters")
    vocabulary = Vocabulary(map(chr, found.values))
    table = vocabulary.treatment(found.values, found.counts, "refuse", "").table

    def encode_all() -> None:
        for ids in encode(sources, "characters", table, False, found.fingerprint):
            ids.astype(vocabulary.id_dtype)

    parts = {
        "first reading": lambda: scan(sources, "characters"),
        "second reading": encode_all,
        "fingerprint": lambda: fingerprint(sources, "characters"),
        "file to ids": lambda: cold(path),
    }
    size = path.stat().st_size / MEGABYTE
    speeds = [f"{part} {size / best(rounds, work):6.0f}" for part, work in parts.items()]
    print(f"{name:<10} {size:5.0f} MB, K={len(vocabulary):<5} MB/s: {', '.join(speeds)}")


def cold(path: Path) -> None:
    """From a file to its ids, where nothing is known of it."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["CHARLOOM_CACHE"] = folder
        Corpus.open([path])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--megabytes", type=float, default=200.0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    for file in options.files:
        measure(file.name, file, options.rounds)
    if options.files:
        return
    with tempfile.TemporaryDirectory() as folder:
        for name, alphabet in ALPHABETS.items():
            path = Path(folder) / "text"
            make_text(path, alphabet, int(options.megabytes * MEGABYTE))
            measure(name, path, options.rounds)


if __name__ == "__main__":
    main()
