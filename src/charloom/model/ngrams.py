"""The n-grams of a text: how often each character follows each context, as smoothed probabilities.

This module holds the arrays; the engines count and read them (spec/mathematics.md: N-grams).
"""

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

# A training text is divided into this many parts; a character is predicted without the counts of its part.
PARTS: Final = 8
# Contexts of at least FREE_LENGTH characters count only if they occur at least LEAST_OCCURRENCES times.
LEAST_OCCURRENCES: Final = 2
FREE_LENGTH: Final = 3
# The characters of the training part from this index on are not counted.
MOST_COUNTED: Final = 2**23
# If the n-grams have more bytes in a model file, contexts must occur more often to count.
MOST_BYTES: Final = 24_000_000
# More bytes of memory than any machine has: counting has no limit.
ANY_MEMORY: Final = 2**62
# Probabilities below this one count as this one, so that their logarithms are finite in float32.
LEAST_PROBABILITY: Final = 1e-30
INITIAL_BIAS: Final = 0.5  # of the weight with which the n-grams are mixed into the logits


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """Make an array read-only, and return it."""
    array.flags.writeable = False
    return array


def can_change(array: NDArray[Any]) -> bool:
    """Return True if the array, or an array whose memory it uses, is not read-only."""
    memory: Any = array
    while isinstance(memory, np.ndarray):
        if memory.flags.writeable:
            return True
        memory = memory.base
    return False


@dataclass(frozen=True, eq=False)
class NGrams:
    """The n-grams of a text up to a length of `order` characters, as a tree of contexts.

    Context 0 is the empty context. Context c has the children children[c] to children[c + 1] - 1: these
    contexts have one more character, before the others, and ascending ids of it. Context c has the entries
    followers[c] to followers[c + 1] - 1, one for each character that follows it, also with ascending ids.

    Column 0 of the shares and factors counts the whole text; column 1 + p counts all of it except part p.
    With C contexts, E entries and P parts, the shapes are:

    Attributes:
        order: the length N of the n-grams; the longest contexts have N - 1 characters.
        characters: the number of characters in the vocabulary, K.
        children: shape (C + 1,).
        child_ids: the id of the first character of each context, shape (C,); 0 for the empty context.
        followers: shape (C + 1,).
        follower_ids: the id of the character of each entry, shape (E,).
        shares: the part of the probability of each entry that its own context gives, shape (1 + P, E).
        factors: the weight of the next shorter context, shape (1 + P, C).
        counted: the parts divide the first `counted` characters of the training text; 0 without parts.
    """

    order: int
    characters: int
    children: NDArray[np.uint32]
    child_ids: NDArray[np.uint32]
    followers: NDArray[np.uint32]
    follower_ids: NDArray[np.uint32]
    shares: NDArray[np.float32]
    factors: NDArray[np.float32]
    counted: int = 0

    def __post_init__(self) -> None:
        """Make the arrays constant, because engines check them only once.

        An array whose memory can be changed elsewhere is copied. To avoid this, give `read_only` arrays.
        """
        for name, array in list(vars(self).items()):
            if isinstance(array, np.ndarray):
                constant = np.ascontiguousarray(array)
                if can_change(constant):
                    constant = read_only(constant.copy())
                object.__setattr__(self, name, constant)

    def __reduce__(self) -> tuple[type["NGrams"], tuple[Any, ...]]:
        """Make pickling and copying call the constructor, so that the arrays of the copy are read-only too."""
        return NGrams, tuple(vars(self).values())

    @property
    def parts(self) -> int:
        """The number of parts of the text, one less than there are columns; 0 without parts."""
        return len(self.factors) - 1

    @property
    def nbytes(self) -> int:
        """The size of all arrays in bytes."""
        arrays = (self.children, self.child_ids, self.followers, self.follower_ids)
        return sum(array.nbytes for array in (*arrays, self.shares, self.factors))

    @property
    def file_size(self) -> int:
        """The number of bytes in a model file."""
        context, entry = bytes_in_file(self.characters)
        return context * len(self.child_ids) + entry * len(self.follower_ids)

    def whole(self) -> "NGrams":
        """Return the n-grams with column 0 only, as everything except training uses them.

        The column is a copy, so the memory of the other columns can be freed.
        """
        shares, factors = read_only(self.shares[:1].copy()), read_only(self.factors[:1].copy())
        return replace(self, shares=shares, factors=factors, counted=0)

    def equal_model(self, other: "NGrams") -> bool:
        """Return True if a model has the same bits with the `other` n-grams: only the columns 0 are compared."""
        names = ("children", "child_ids", "followers", "follower_ids")
        return (
            (self.order, self.characters) == (other.order, other.characters)
            and all(np.array_equal(getattr(self, name), getattr(other, name)) for name in names)
            and np.array_equal(self.shares[0], other.shares[0])
            and np.array_equal(self.factors[0], other.factors[0])
        )

    def columns(self, places: NDArray[Any]) -> NDArray[np.int32]:
        """Return the column that predicts the character at each index of the training text.

        It is the column without the part of that character, or column 0 where nothing was counted.
        """
        if not self.counted:
            return np.zeros(places.shape, np.int32)
        columns = 1 + places * self.parts // self.counted
        return np.where(places < self.counted, columns, 0).astype(np.int32)


def id_types(characters: int) -> tuple[np.dtype[Any], np.dtype[Any]]:
    """Return the smallest unsigned types for ids of `characters` characters, and for counts up to their number."""
    return np.min_scalar_type(characters - 1), np.min_scalar_type(characters)


def bytes_in_file(characters: int) -> tuple[int, int]:
    """Return how many bytes a context has in a model file, and how many an entry has.

    A context has an id, two counts and a factor; an entry has an id and a share.
    """
    ids, counts = id_types(characters)
    return ids.itemsize + 2 * counts.itemsize + 4, ids.itemsize + 4


def no_ngrams(order: int, characters: int) -> NGrams:
    """Return the n-grams of an empty text, which give each of `characters` the same probability."""
    return NGrams(
        order,
        characters,
        children=np.array([1, 1], np.uint32),
        child_ids=np.zeros(1, np.uint32),
        followers=np.zeros(2, np.uint32),
        follower_ids=np.zeros(0, np.uint32),
        shares=np.zeros((1, 0), np.float32),
        factors=np.ones((1, 1), np.float32),
    )
