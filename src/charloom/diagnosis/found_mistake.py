"""Holds a mistake that was found in a user's code, with its texts: title, variant, fix."""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from charloom.cell_table import in_table_order
from charloom.diagnosis.known_mistakes.mistake import Mistake
from charloom.diagnosis.limited_variants import joined, without_limit
from charloom.diagnosis.mistakes import BY_ID
from charloom.diagnosis.related_texts import Texts, texts_in, variant_in
from charloom.diagnosis.variant_equations import texts_of_variant
from charloom.diagnosis.variant_texts import variant_text
from charloom.formatting import listing
from charloom.messages import argument, for_python

# Mistakes that code may have in several gates or sums, each time with another variant.
SEVERAL: Final = (
    *("sigmoid-derivative", "tanh-derivative", "carry-without-derivative"),
    *("sum-before-derivative", "sum-of-other-gate", "gate-gradient-not-summed"),
)
ALL_GRADIENTS: Final = 5  # the number of gradients of a network, without a GRU's second bias
# How to fix gradients that are zero; {} stands for the names of the parameters.
ZERO_FIX: Final = (
    "find the line that cuts off {}: in PyTorch .detach(), .data or torch.no_grad() before the loss; in NumPy, an "
    "array of zeros to which no line adds anything, or a sum that is zero."
)
# Differences of which a user who names no variant means any variant.
ANY_VARIANT: Final = ("initial-state-ignored", "peepholes")
TINY: Final = 1e-5  # largest ε in a logarithm that leaves the gradient right
# What the reset gate does in each variant of the mistake reset-before-product.
RESET: Final = {"product": "before the product", "bias": "only on W_n h_{t-1}, not on d"}


@dataclass(frozen=True)
class Found:
    """A mistake that was found.

    Attributes:
        id: the mistake's id in `MISTAKES`.
        variant: the variant of the mistake; "" if the mistake has no variants. For the mistake
            gate-order, the order in which the function reads the gates.
        wanted: for the mistake gate-order, the order that the user gave as the argument `gates`; ""
            if the user gave none.
        differences: the differences of the network in which it was found, such as "coupled-gates" and
            "reset-before-product product". They change only the texts.
        cell: the cell of this network: rnn, lstm or gru; "" if it is not known. It changes only the texts.
    """

    id: str
    variant: str = ""
    wanted: str = ""
    differences: tuple[str, ...] = field(default=(), compare=False, repr=False)
    cell: str = field(default="", compare=False, repr=False)

    @property
    def mistake(self) -> Mistake:
        """The known mistake in `MISTAKES` that has the id `id`."""
        return BY_ID[self.id]

    def in_network(self, network: Iterable["Found"], cell: str = "") -> "Found":
        """Return the mistake with the texts for this cell, and for a network with these differences."""
        names = [name for one in network for name in (one.id, f"{one.id} {one.variant}")]
        return replace(self, differences=tuple(names), cell=cell)

    def is_meant_by(self, wanted: "Found") -> bool:
        """Return True if a user who asks for the difference `wanted` means this one."""
        return self == wanted or (
            self.id == wanted.id and not wanted.variant and self.id in ANY_VARIANT
        )

    @property
    def _texts_of_network(self) -> Texts:
        """The texts that differ from those of the known mistake, because the network differs."""
        return texts_in(self.id, self.differences)

    @property
    def _own_texts(self) -> Texts:
        """The texts that differ from those of the known mistake, because of the network or the variant."""
        if not self.variant and not self.cell:
            return self._texts_of_network
        of_variant = texts_of_variant(self.id, self.variant, self.cell, self.differences)
        pairs = zip(self._texts_of_network, of_variant, strict=True)
        return Texts(*(own or usual for own, usual in pairs))

    @property
    def is_consistent(self) -> bool:
        """Whether code with this variant still returns the gradient of its own loss."""
        return self.mistake.is_consistent(self.variant)

    @property
    def is_accounted(self) -> bool:
        """Whether a gradient with this variant is right, except for a usual addition.

        The addition is clipping of the finished gradients, a tiny ε in the logarithm of the loss, or numbers of
        a lower precision.
        """
        clipped = self.id == "clipped" and not self.variant.startswith(("steps", "passed"))
        rounded = self.id == "float32-where-float64"
        return self.is_consistent or clipped or self._is_tiny_epsilon or rounded

    @property
    def _is_rounded_loss(self) -> bool:
        """Whether this is the rounding of the loss alone."""
        return (self.id, self.variant) == ("float32-where-float64", "loss")

    @property
    def _is_tiny_epsilon(self) -> bool:
        """Whether this is an ε in the logarithm of at most `TINY`."""
        epsilon = self.variant.removeprefix("ε = ").partition(",")[0]
        return self.id == "epsilon-in-log" and float(epsilon) <= TINY

    @property
    def title(self) -> str:
        """The mistake in one line. Some titles contain the variant, such as a wrong order of the gates."""
        if self._zeros:
            gradients = listing([f"d{name}" for name in self._zeros])
            verb = "are" if len(self._zeros) > 1 else "is"
            return f"no gradient reaches {listing(self._zeros)}: {gradients} {verb} zero"
        if self.id == "gradient-scaled" and self.variant:
            return scalings_text(self.variant.split(", "))
        if self.id == "forget-bias-twice" and self.variant.endswith(" added"):
            return "a constant is added to the bias of the forget gate"
        if self._is_rounded_loss:
            return "the loss is rounded: it has fewer digits than the sixteen of float64"
        if self.id == "not-a-number" and self.variant:
            if self.variant == "everything":
                return "everything that it returned is not a number (NaN or infinite)"
            verb = "are" if " and " in self.variant else "is"
            return f"{self.variant} {verb} not a number (NaN or infinite)"
        if self.id == "reset-before-product" and self.variant:
            return f"the reset gate acts {RESET[self.variant]}"
        if self.id == "gate-order" and self.variant:
            wanted = ", ".join(self.wanted or self._own_gates)
            return f"the gates are in the order {', '.join(self.variant)}, not {wanted}"
        return self._own_texts.title or self.mistake.title

    @property
    def does(self) -> str:
        """The wrong equation that the code computes."""
        if self._zeros:
            return f"{listing([f'd{name} = 0' for name in self._zeros])}, in every trial"
        return self._own_texts.does or self.mistake.does

    @property
    def _zeros(self) -> list[str]:
        """The names of the parameters whose gradients are zero, if this mistake is that and nothing else."""
        parts = [one.split(" d") for one in self.variant.split(", ")]
        if self.id != "gradient-scaled" or not self.variant or any(float(p[0]) for p in parts):
            return []
        return [part[1] for part in parts]

    @property
    def place(self) -> str:
        """The place in the variant of a mistake in `SEVERAL`, such as a gate; "" if it has none."""
        variant, _ = without_limit(self.variant)
        if " of " in variant:
            return variant.partition(" from ")[0].partition(", ")[0]
        if self.id == "carry-without-derivative":
            return variant
        return variant.rpartition(", ")[2] if ", " in variant else ""

    @property
    def variant_text(self) -> str:
        """The variant in words; "" if the mistake has no variants, or if `title` contains the variant."""
        return variant_in(self.id, variant_text(self.id, self.variant), self.differences)

    @property
    def detail(self) -> str:
        """What `title` and `does` do not say about the variant, in words; "" if they say everything."""
        of_variant = texts_of_variant(self.id, self.variant, self.cell, self.differences)
        return without_limit(self.variant)[1] if of_variant.does else self.variant_text

    @property
    def marked_fix(self) -> str:
        """How to fix the mistake, with placeholders for the names of arguments.

        Each interface inserts its own spelling of the names (`charloom.messages`).
        """
        if self.id == "gate-order" and self.variant:
            return self._gate_order_fix
        if self._zeros:
            return ZERO_FIX.format(listing(self._zeros))
        if self._is_rounded_loss:
            return "compute the loss in float64, and round it only where you print it."
        return self._own_texts.fix or self.mistake.fix

    @property
    def _gate_order_fix(self) -> str:
        """How to fix a wrong gate order, in the code or in the argument `gates`."""
        given = f", which {argument('gates')} gives" if self.wanted else ""
        fix = f"read the blocks in the order {', '.join(self.wanted or self._own_gates)}{given}"
        if self.variant == self._own_gates:
            return f"{fix}; if the order of your code is intended, leave out {argument('gates')}."
        return (
            f"{fix}; if the order of your code is intended, set {argument('gates', self.variant)}."
        )

    @property
    def _own_gates(self) -> str:
        """The letters of all gates of the cell, such as "ifgo", in the specification's order."""
        return in_table_order(self.variant)

    @property
    def fix(self) -> str:
        """How to fix the mistake, with the names of the arguments of the Python function."""
        return for_python(self.marked_fix)

    def to_dict(self, spell: Callable[[str], str]) -> dict[str, str]:
        """Return the mistake as plain data. `spell` replaces the placeholders in the fix."""
        return {
            "id": self.id,
            "variant": self.variant,
            "title": self.title,
            "does": self.does,
            "right": self.right,
            "section": self.mistake.section,
            "fix": spell(self.marked_fix),
        }

    @property
    def right(self) -> str:
        """The equation of spec/mathematics.md that the mistake breaks, in one line.

        In a network that differs from the specification, it is that of this network. If the equation contains the batch size B, the text adds that B is 1.
        """
        if self._texts_of_network.right:
            return f"{self._texts_of_network.right}, in your network"
        line = (self._own_texts.right or self.mistake.right).replace("\n", " ")
        return f"{line}, with B = 1 here" if re.search(r"\bB\b", line) else line


def may_join(one: Found, chosen: Iterable[Found]) -> bool:
    """Return True if code may have the mistake `one` besides those in `chosen`.

    It may have the same mistake twice only in two places, such as two gates.
    """
    same = [other for other in chosen if other.id == one.id]
    places = [one.place, *(other.place for other in same)]
    return not same or (one.id in SEVERAL and all(places) and len(set(places)) == len(places))


def switches_of(found: Iterable[Found]) -> dict[str, str]:
    """Return the switches with which `faulty_network.py` makes these mistakes.

    Of two variants of the same mistake, the later one counts, unless the mistake can be in several places.
    """
    variants: dict[str, list[str]] = {}
    for one in found:
        earlier = variants.get(one.id, []) if one.id in SEVERAL else []
        variants[one.id] = [*earlier, one.variant]
    return {name: joined(several) for name, several in variants.items()}


def scalings_text(scalings: Sequence[str]) -> str:
    """Return a sentence that says by which factors some gradients are wrong.

    An example of `scalings` is ["2 db", "-1 dV"]. If all gradients have the same factor, the sentence says
    so once.
    """
    factors = {float(one.partition(" ")[0]) for one in scalings}
    names = [one.partition(" ")[2] for one in scalings]
    same = max(factors) - min(factors) <= 1e-9 * abs(max(factors))
    if same and len(names) > 2 and max(factors) != 0:
        who = "all gradients" if len(names) >= ALL_GRADIENTS else listing(names)
        return f"{who} are {factor_text(next(iter(factors)))} times the right ones"
    return listing([scaling_text(one) for one in scalings])


def reasons_text(found: Sequence[Found]) -> str:
    """Return the titles of mistakes as one text; several are numbered, so that each stands alone."""
    titles = list(dict.fromkeys(one.title for one in found))
    if len(titles) < 2:
        return listing(titles)
    return "; ".join(f"({number}) {title}" for number, title in enumerate(titles, start=1))


def scaling_text(scaling: str) -> str:
    """Return a sentence that says by which factor a gradient is wrong.

    An example of `scaling` is "2 db"; its sentence is "db is 2 times the right one".
    """
    factor, _, name = scaling.partition(" ")
    if float(factor) == 0:
        return f"{name} is zero"
    return f"{name} is {factor_text(float(factor))} times the right one"


def factor_text(factor: float) -> str:
    """Return `factor` with at least six digits, and with enough digits to distinguish it from 1.

    An example is 1.00000003.
    """
    places = -math.floor(math.log10(abs(factor - 1))) if factor != 1 else 0
    return f"{factor:.{max(6, places + 1)}g}"
