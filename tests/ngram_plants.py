"""An error to plant in the reference engine: no gradient reaches h through the weight of the n-grams."""

import numpy as np

from charloom.engines.reference import network

HONEST = network.loss_and_gradients
OUTPUT = ("V", "c", "ngram.weight", "ngram.bias")


def without_the_path_through_the_weight(parameters, *arguments, **options):
    """Return what `network.loss_and_gradients` returns, with the gradients that lack ωᵀ dw in dh."""
    _, gradients, state = HONEST(parameters, *arguments, **options)
    loss, others, _ = HONEST(ForwardWeight(parameters), *arguments, **options)
    return loss, {n: gradients[n] if n in OUTPUT else others[n] for n in gradients}, state


class ForwardWeight(dict):
    """Parameters whose ω is right in the forward pass, which reads it first, and 0 in the backward pass."""

    reads = 0

    def __getitem__(self, name):
        value = super().__getitem__(name)
        if name != "ngram.weight":
            return value
        self.reads += 1
        return value if self.reads == 1 else np.zeros_like(value)
