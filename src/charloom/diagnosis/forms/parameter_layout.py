"""Finds out which parameters a network has from their names, for one, three or four gates.

`Wxh` is U of the plain cell, `Wf` the rows of an LSTM's forget gate over `[h, x]`, `Whz` the rows of a
GRU's update gate in W. This module sees only names, no arrays.
"""

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from charloom.diagnosis.loss_and_gradients import ALIASES, PREFIXES

MATRICES: Final = ("U", "W", "V", "WU")
# Our gate for each usual name of a gate, by cell; a later name counts only if no earlier one is there.
GATES: Final = {
    "lstm": {
        "i": ("i", "u", "input", "in", "inp", "update", "it", "add", "write", "upd"),
        "f": ("f", "forget", "ft", "fg", "forg", "fgt", "frg", "keep", "remember"),
        "g": ("g", "c", "a", "cc", "ctilde", "chat", "cand", "n", "z", "s", "ct", "candidate", "cell", "cbar", "gt", "memory", "new", "tilde", "ccand", "cdash", "ctil", "candi", "content", "j", "modulation", "cellstate", "state", "hidden", "h", "block", "cellupdate", "cellcandidate", "update", "candidatecell", "cellcand", "cellinput", "newmemory"),
        "o": ("o", "output", "out", "ot", "outp", "read", "expose"),
    },
    "gru": {
        "r": ("r", "reset", "rt", "rst", "rel"),
        "z": ("z", "u", "update", "zt", "upd", "ut"),
        "n": ("h", "n", "c", "g", "hh", "htilde", "hhat", "cand", "a", "s", "candidate", "hidden", "new", "state", "nt", "ht", "hbar", "hcand", "hc", "memory", "cell", "tilde", "htil", "hnew", "newstate", "candidatestate", "content", "proposal", "activation", "ctilde", "chat", "newgate", "m", "t", "x", "htild", "hprime", ""),
    },
}  # fmt: skip
OUTPUT: Final = {
    "V": ("why", "wy", "wya", "wout", "who", "wyh", "woh", "wv", "wd", "whq", "whv", "woutput", "wvocab", "wsoftmax", "wfc", "wlinear", "wdense", "ws", "wys", "wo", "wh2o", "h2o", "whidout", "whiddenoutput", "hy", "ho", "htoy", "htoo", "dense", "readout", "v"),
    "c": ("by", "bout", "bv", "bd", "biasy", "byh", "vb", "bq", "boutput", "bvocab", "bsoftmax", "bfc", "blinear", "bdense", "bs", "bhy", "byy", "boutputs", "bo", "b2", "bys", "bwhy", "outputbias", "yb", "densebias", "offset", "outbias", "biasoutput", "biasout", "outputb", "c"),
}  # fmt: skip
# Further names of the parameters of a plain cell, and of a cell whose gates share one matrix.
PLAIN: Final = {
    "U": ("winput", "wxs", "wsx", "wi2h", "i2h", "wxhidden", "winputhidden", "win2h", "wembed", "win", "wihh", "xh", "ih", "xtoh", "kernel", "embed"),
    "W": ("wrecurrent", "wss", "wh2h", "h2h", "whiddenhidden", "whidden", "whid", "wstate", "wsh", "hh", "htoh", "recurrentkernel", "recur"),
    "WU": ("wa", "wxa", "whxh", "wcat"),
    "b": ("bias", "brec", "bhid", "bhiddenlayer", "bxh", "bih", "b1", "bsh", "bwxh", "hiddenbias", "bstate", "bin", "bi2h", "hb", "hiddenb", "shift"),
}  # fmt: skip

# Names of the weights with which a gate of an LSTM reads the cell.
PEEPHOLES: Final = {f"{start}{gate}": gate for start in ("wc", "wp", "peep", "v") for gate in "ifo"}

# Parts of the names of settings, which are not arrays of a network.
SETTINGS: Final = ("decay", "size", "scale", "std", "sd", "dim", "init", "count")

# How a gate and a source follow one another in a name: not at all, or the order and the words for
# the input and for the state, such as the x of Wfx and the h of Wfh.
SPLITS: Final = (
    ("", (), ()),
    ("gate first", ("x",), ("h",)),
    ("source first", ("x",), ("h",)),
    ("source first", ("i",), ("h",)),
    ("gate first", ("input", "inp", "in"), ("hidden", "hid", "h", "recurrent", "rec")),
    ("source first", ("input", "inp", "in", "x"), ("hidden", "hid", "h", "recurrent", "rec")),
    ("gate first", ("x",), ("a",)),
    ("gate first", ("x",), ("s",)),
)
# Words for the letters with which the names of arrays begin or end.
LETTERS: Final = {
    "w": "w", "u": "u", "b": "b", "weight": "w", "weights": "w", "bias": "b", "biases": "b", "theta": "w",
    "kernel": "w", "mat": "w", "matrix": "w", "recurrent": "u",
}  # fmt: skip


class Part(NamedTuple):
    """What one array of the user holds.

    Attributes:
        block: "U", "W", "b", "d", "V" or "c"; "WU" for W and U side by side; "zero" for a bias that
            is a second bias of the same gate; "peephole" for the weights of a peephole.
        gate: our letter of the gate whose rows it holds; "" for all rows.
    """

    block: str
    gate: str = ""


@dataclass(frozen=True)
class Layout:
    """The arrays of a network.

    Attributes:
        cell: "rnn", "lstm" or "gru".
        parts: what each array holds, by the user's name.
    """

    cell: str
    parts: dict[str, Part]

    @property
    def blocks(self) -> frozenset[str]:
        """The blocks that the arrays hold; "U" and "W" if they stand side by side."""
        found = {part.block for part in self.parts.values()}
        return frozenset(found | ({"U", "W"} if "WU" in found else set()))

    @property
    def has_gates(self) -> bool:
        """Whether each gate has arrays of its own."""
        return any(part.gate for part in self.parts.values())

    @property
    def is_joined(self) -> bool:
        """Whether U and W stand side by side in one array."""
        return any(part.block == "WU" for part in self.parts.values())

    @property
    def has_output(self) -> bool:
        """Whether the network has the output layer V."""
        return "V" in self.blocks

    def name_of(self, block: str, gate: str = "") -> str:
        """Return the user's name of the array with these rows; "" if there is none."""
        return next((name for name, part in self.parts.items() if part == (block, gate)), "")


def plain(name: str) -> str:
    """Return a name in lower case, without underscores and without a mark of the layer, such as _l0."""
    return re.sub(r"(?<=[a-z])_?(l0|1)$", "", name.lower()).replace("_", "")


def layouts_of(names: Iterable[str], cell: str = "") -> list[Layout]:
    """Return the networks that arrays with these names can be, the likeliest first; [] if none.

    `cell` is the cell that the names of the functions show: "lstm", "gru" or "".
    """
    names = list(dict.fromkeys(names))
    found = [*gate_layouts(names, "lstm"), *gate_layouts(names, "gru")]
    found = found or numbered_layouts(names, cell)
    if not found and (one := plain_layout(names, cell)) is not None:
        found = [one]
    return found


def numbered_layouts(names: Sequence[str], cell: str) -> list[Layout]:
    """Return the networks that W1, W2 and W3 with b1 and b2 can be; the matrices may be in any of two orders."""
    by_name = {plain(name): name for name in names}
    # `plain` takes the mark of a layer from a name, so that W1 is w.
    first = next((n for n in names if n.lower().replace("_", "") == "w1"), "")
    if not first or not {"w2", "w3"} <= set(by_name):
        return []
    biases = {
        "b": next((n for n in names if n.lower() in ("b1", "b_1")), ""),
        "c": by_name.get("b2", ""),
    }
    vectors = {name: Part(block) for block, name in biases.items() if name}
    return [
        Layout(
            cell or "rnn",
            {first: Part(one), by_name["w2"]: Part(two), by_name["w3"]: Part("V"), **vectors},
        )
        for one, two in (("U", "W"), ("W", "U"))
    ]


def plain_layout(names: Sequence[str], cell: str) -> Layout | None:
    """Return the network whose gates share one array per block, such as Wx, Wh and b; None if it is none."""
    parts: dict[str, Part] = {}
    taken: set[str] = set()
    known = {
        block: (*ALIASES.get(block, ()), *OUTPUT.get(block, ()), *PLAIN.get(block, ()))
        for block in ("U", "W", "b", "V", "c", "WU", *("d" if cell == "gru" else ""))
    }
    for exact in (True, False):
        for name in names:
            block = name if exact and name in known else None
            if not exact and name not in parts:
                block = next((b for b, usual in known.items() if plain(name) in usual), None)
            if block and block not in taken:
                parts[name] = Part(block)
                taken.add(block)
    if "U" not in taken and "WU" not in taken and {"V", "b"} & taken:
        # The only matrix of the recurrence has W and U side by side.
        parts = {n: Part("WU") if part.block == "W" else part for n, part in parts.items()}
        taken = {part.block for part in parts.values()}
    if not ({"U", "W"} <= taken or "WU" in taken):
        return None
    return Layout(cell or "rnn", {name: parts[name] for name in names if name in parts})


class Word(NamedTuple):
    """The name of one array of a gate: W, U or b, the name of the gate, and "x", "h" or ""."""

    name: str
    letter: str
    gate: str
    source: str


def gate_layouts(names: Sequence[str], cell: str) -> list[Layout]:
    """Return the networks in which each gate has arrays of its own; [] if the names show none."""
    for gates_of, split in itertools.product((gates_by_word, gates_with_prefix), SPLITS):
        words = [w for name in names if (w := word_of(name, split)) is not None]
        gates = gates_of(words, cell)
        if gates is None:
            continue
        parts = {w.name: part for w in words if (part := part_of(w, gates, words)) is not None}
        parts |= output_parts(names, parts)
        parts |= {
            n: Part("peephole", PEEPHOLES[plain(n)])
            for n in names
            if cell == "lstm" and n not in parts and plain(n) in PEEPHOLES
        }
        layout = Layout(cell, {name: parts[name] for name in names if name in parts})
        if layout.blocks >= {"U", "W"}:
            return [layout, *swapped(layout, words)]
    return []


def word_of(name: str, split: tuple[str, Sequence[str], Sequence[str]]) -> Word | None:
    """Return the parts of the name of an array of one gate; None if it has another form.

    `split` is one of `SPLITS`.
    """
    match = re.fullmatch(r"(weight|bias|theta|[wubrp])(.*)", letter_first(name))
    if match is None:
        return None
    letter, rest = match.group(1)[0].replace("r", "u"), match.group(2)
    rest = rest.replace("gate", "") or rest
    order, *sources = split
    if not order:
        return Word(name, letter, rest, "")
    for source, usual in zip("xh", sources, strict=True):
        for word in usual:
            gate = rest[: -len(word)] if order == "gate first" else rest[len(word) :]
            found = rest.endswith(word) if order == "gate first" else rest.startswith(word)
            if found and (gate or letter != "b"):
                return Word(name, letter, gate, source)
    return Word(name, letter, rest, "") if letter == "b" else None


def letter_first(name: str) -> str:
    """Return a name as `plain` does, with a letter at its end in front: forget_W and W_forget are the same."""
    parts = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+", name)
    words = [part.lower() for part in parts]
    if len(words) > 1 and words[-1] in LETTERS and words[0] not in LETTERS:
        return LETTERS[words[-1]] + "".join(words[:-1])
    if words and words[0] in LETTERS:
        return LETTERS[words[0]] + plain(name)[len(words[0]) :]
    return plain(name)


def gates_by_word(words: Sequence[Word], cell: str) -> dict[str, str] | None:
    """Return our gate for each of the user's names of gates; None if a gate of `cell` has no name."""
    matrices = {w.gate for w in words if w.letter in "wu"}
    found = {}
    for gate, usual in GATES[cell].items():
        name = next((u for u in usual if u in matrices and u not in found), None)
        if name is None and (cell, gate) == ("lstm", "i") and {"f", "o"} <= matrices:
            continue  # coupled gates: i is 1 - f
        if name is None:
            return None
        found[name] = gate
    if cell == "gru" and {"f", "i", "o"} <= matrices:
        return None
    return found


def gates_with_prefix(words: Sequence[Word], cell: str) -> dict[str, str] | None:
    """Return our gate for each name of a gate if these names begin alike, such as gi, gf, go and gg; or None."""
    starts = sorted({w.gate[:1] for w in words if len(w.gate) > 1})
    for start in starts:
        longer = [w for w in words if w.gate.startswith(start) and len(w.gate) > 1]
        found = gates_by_word([w._replace(gate=w.gate[1:]) for w in longer], cell)
        if found is not None and "" not in found:
            return {start + name: gate for name, gate in found.items()}
    return None


def part_of(word: Word, gates: dict[str, str], words: Sequence[Word]) -> Part | None:
    """Return what an array of one gate holds; None if it belongs to no gate."""
    gate = gates.get(word.gate)
    if gate is None:
        return None
    if word.letter == "p":
        return Part("peephole", gate)
    if word.letter == "b" and word.source == "h":
        return Part("d") if gate == "n" else Part("zero", gate)
    if word.letter == "b":
        return Part("b", gate)
    if word.source:
        return Part({"x": "U", "h": "W"}[word.source], gate)
    both = {"w", "u"} <= {w.letter for w in words if w.gate == word.gate}
    if not both:
        return Part("WU", gate)
    return Part({"w": "U", "u": "W"}[word.letter], gate)


def output_parts(names: Sequence[str], taken: dict[str, Part]) -> dict[str, Part]:
    """Return the arrays of the output layer among `names`, without those in `taken`.

    If no name is usual, the only matrix that belongs to no gate is V, and the only such bias is c.
    """
    found: dict[str, Part] = {}
    for block, usual in OUTPUT.items():
        name = next((n for u in usual for n in names if plain(n) == u and n not in taken), None)
        if name is not None:
            found[name] = Part(block)
    left = [n for n in names if n not in taken and n not in found]
    for block, letters in (("V", "wv"), ("c", "b")):
        fitting = [n for n in left if is_array_name(n, letters)]
        if Part(block) not in found.values() and len(fitting) == 1:
            found[fitting[0]] = Part(block)
    return found


def is_array_name(name: str, letters: str) -> bool:
    """Return True if a name is one of these letters, or a letter with something before or behind it.

    `Wq`, `w_q`, `q_W` and `weight_q` are such names of a matrix, `window` and `batch_size` are not.
    """
    word = letter_first(name)
    if word[:1] not in letters or len(word) > 12 or any(part in word for part in SETTINGS):
        return False
    if name[:1] in "WV" or name[1:2] == "_" or word == word[:1]:
        return True
    return word != plain(name) or (word[:1] == "b" and len(word) <= 3)


def swapped(layout: Layout, words: Sequence[Word]) -> Iterator[Layout]:
    """Yield the layout with W and U exchanged, if their names alone do not say which reads the input."""
    if layout.is_joined or any(w.source for w in words if w.letter in "wu"):
        return
    other = {"U": "W", "W": "U"}
    yield replace(
        layout,
        parts={
            name: part._replace(block=other.get(part.block, part.block))
            for name, part in layout.parts.items()
        },
    )


def is_gradient_name(gradient: str, name: str) -> bool:
    """Return True if `gradient` is a usual name of the gradient of `name`."""
    short = {plain(gradient), gradient.lower().replace("_", "")}
    return any(
        f"{prefix}{ending}" in short
        for ending in {plain(name), name.lower().replace("_", "")}
        for prefix in PREFIXES[1:]
    ) or any(f"{plain(name)}{suffix}" in short for suffix in ("grad", "gradient"))
