"""Measures how fast a text is encoded as ids, in megabytes per second, by step and in total.

Both readings of a text are measured in one thread and in as many as `Corpus.open` uses.

python benchmarks/encode.py [--megabytes 200] [--rounds 3] [FILE ...]

Without files it generates texts: ASCII, mostly ASCII, characters of two and of three bytes, and one text in
a single line. They consist of words drawn with a fixed seed.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from charloom.text import Corpus, Vocabulary, corpus
from charloom.text.block_reader import Reading, encode, fingerprint, scan
from charloom.text.sources import file_source
from charloom.text.unknown_policy import REFUSE

MEGABYTE = 1_000_000
ALPHABETS = {
    "ASCII": ("abcdefghijklmnopqrstuvwxyz", " ", "\n"),
    "one line": ("abcdefghijklmnopqrstuvwxyz", " ", " "),
    "German": ("abcdefghijklmnopqrstuvwxyzäöüß", " ", "\n"),
    "Russian": ("абвгдежзийклмнопрстуфхцчшщъыьэюя", " ", "\n"),
    "Chinese": ("".join(map(chr, range(0x4E00, 0x5600))), "，", "。\n"),
}


def make_text(path: Path, alphabet: tuple[str, str, str], size: int) -> None:
    """Create a file of about this many bytes."""
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
    """Return the seconds of the fastest round."""
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def measure(name: str, path: Path, rounds: int) -> None:
    """Print the speed for one file."""
    sources = [file_source(path)]
    found = scan(sources, "characters")
    vocabulary = Vocabulary(map(chr, found.values))
    table = vocabulary.encoding_plan(found.values, found.counts, REFUSE).table

    def encode_all(threads: int) -> None:
        reading = Reading(threads)
        for ids in encode(sources, "characters", table, False, found.fingerprint, reading):
            ids.astype(vocabulary.id_dtype)

    most = corpus.threads_for(path.stat().st_size)
    parts: dict[str, Callable[[], object]] = {}
    for threads in sorted({1, most}):
        reading = Reading(threads)
        parts[f"first reading ×{threads}"] = partial(scan, sources, "characters", reading)
        parts[f"second reading ×{threads}"] = partial(encode_all, threads)
    parts["fingerprint"] = lambda: fingerprint(sources, "characters")
    parts[f"file to ids ×{most}"] = lambda: cold(path)
    size = path.stat().st_size / MEGABYTE
    speeds = [f"{part} {size / best(rounds, work):6.0f}" for part, work in parts.items()]
    print(f"{name:<10} {size:5.0f} MB, K={len(vocabulary):<5} MB/s: {', '.join(speeds)}")


def cold(path: Path) -> None:
    """Encode a file with an empty cache, and find its vocabulary too."""
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
