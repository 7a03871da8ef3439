"""Lists what the vectors of a program can hold beside its matrices: biases, and what our network does not have."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from charloom.diagnosis.watching.array_names import distinct, name_of
from charloom.diagnosis.watching.held_arrays import Place
from charloom.diagnosis.watching.parameter_roles import Role, Shapes, Sizes


def vector_roles(
    vectors: Sequence[Place],
    shapes: Shapes,
    sizes: Sizes,
    blocks: str,
    matrices: Mapping[Place, Role],
) -> Iterator[dict[Place, Role]]:
    """Yield what the vectors of parameters can hold: biases, and what our network does not have."""
    size = {p: int(np.prod(shapes[p])) for p in vectors}
    outputs = [p for p in vectors if size[p] == sizes.K]
    inner = [p for p in vectors if p not in outputs]
    if any(size[p] % sizes.H or size[p] // sizes.H > len(blocks) for p in inner):
        return
    fixed = {p: Role("output" if n == 0 else "zero", "", "1") for n, p in enumerate(outputs)}
    for biases in bias_roles(inner, size, sizes.H, blocks, matrices):
        left = [p for p in inner if p not in biases]
        labels = ["zero", "extra"] if left else ["zero"]
        if blocks == "rzn" and len(left) == 1 and size[left[0]] == sizes.H:
            labels.insert(0, "d")
        for label in labels:
            yield {**fixed, **biases, **{p: Role(label) for p in left}}


def bias_roles(
    vectors: Sequence[Place],
    size: Mapping[Place, int],
    H: int,
    blocks: str,
    matrices: Mapping[Place, Role],
) -> Iterator[dict[Place, Role]]:
    """Yield the biases of the gates: none, one of all gates, one for each gate, or one for each matrix."""
    order = next((role.gate for role in matrices.values() if len(role.gate) == len(blocks)), blocks)
    whole = [p for p in vectors if size[p] == len(blocks) * H]
    by_matrix = {
        role.gate: p
        for p, role in matrices.items()
        if role.block == "gates" and len(role.gate) < len(blocks)
    }
    if whole:
        for first in whole if len(blocks) > 1 or len(whole) < 4 else whole[:3]:
            second = [p for p in whole if p != first] if len(blocks) > 1 else []
            kept = Role("d", order) if "n" in blocks else Role("zero")
            yield {first: Role("gates", order, "1"), **dict.fromkeys(second, kept)}
    if by_matrix and len(blocks) > 1:
        fitting = {gate: [p for p in vectors if size[p] == len(gate) * H] for gate in by_matrix}
        if pairs := paired(by_matrix, fitting):
            yield {p: Role("gates", gate, "1") for gate, p in pairs.items()}
        taken: dict[Place, str] = {}
        for gate, usual in fitting.items():
            free = [p for p in usual if p not in taken]
            if free:
                taken[free[0]] = gate
        if len(taken) == len(by_matrix):
            yield {p: Role("gates", gate, "1") for p, gate in taken.items()}
    yield {}


def paired(
    by_gate: Mapping[str, Place], fitting: Mapping[str, Sequence[Place]]
) -> dict[str, Place]:
    """Return the bias of each gate whose name is like that of its matrix; {} if it is not clear."""
    found: dict[str, Place] = {}
    words = dict(zip(by_gate, distinct([name_of(p) for p in by_gate.values()]), strict=True))
    for gate, word in words.items():
        likely = [p for p in fitting[gate] if name_of(p).lower().replace("_", "").endswith(word)]
        likely = likely or [p for p in fitting[gate] if word in name_of(p).lower()]
        if len(likely) != 1 or likely[0] in found.values():
            return {}
        found[gate] = likely[0]
    return found
