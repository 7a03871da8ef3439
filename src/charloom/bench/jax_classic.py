"""Does the update of the classic experiment in JAX, so that a benchmark can time it."""

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charloom.bench.contestant_text import windows_of
from charloom.bench.interleaved import Work
from charloom.config import Config


def updates(config: Config, K: int, tokens: NDArray[np.uint8]) -> Work:
    """Return a function of n that does n classic updates in JAX.

    An update is one jitted function: scan over T steps, gradient, clipping and AdaGrad. `K` is the
    vocabulary size.
    """
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    import jax
    import jax.numpy as jnp

    T, H = config.seq_length, config.hidden_size
    keys = jax.random.split(jax.random.PRNGKey(0), 3)
    weights = {
        "U": config.sigma * jax.random.normal(keys[0], (K, H)),
        "W": config.sigma * jax.random.normal(keys[1], (H, H)),
        "V": config.sigma * jax.random.normal(keys[2], (H, K)),
        "b": jnp.zeros(H),
        "c": jnp.zeros(K),
    }
    accumulators = jax.tree.map(jnp.zeros_like, weights)

    def loss_of(weights: Any, h: Any, x: Any, y: Any) -> Any:
        def step(h: Any, x_t: Any) -> Any:
            h = jnp.tanh(h @ weights["W"] + weights["U"][x_t] + weights["b"])
            return h, h

        h, hs = jax.lax.scan(step, h, x)
        log_p = jax.nn.log_softmax(hs @ weights["V"] + weights["c"])
        return -log_p[jnp.arange(T), y].sum(), h

    def update(weights: Any, accumulators: Any, h: Any, x: Any, y: Any) -> Any:
        (_, h), gradients = jax.value_and_grad(loss_of, has_aux=True)(weights, h, x, y)
        gradients = jax.tree.map(lambda g: jnp.clip(g, -config.clip, config.clip), gradients)
        accumulators = jax.tree.map(lambda m, g: m + g * g, accumulators, gradients)
        weights = jax.tree.map(
            lambda p, g, m: p - config.learning_rate * g / jnp.sqrt(m + config.epsilon),
            weights,
            gradients,
            accumulators,
        )
        return weights, accumulators, h

    jitted = jax.jit(update)
    windows = windows_of(tokens, T)
    h = jnp.zeros(H)

    def work(count: int) -> None:
        nonlocal weights, accumulators, h
        for _ in range(count):
            x, y = next(windows)
            weights, accumulators, h = jitted(weights, accumulators, h, x[:, 0], y[:, 0])
        jax.block_until_ready(h)

    return work
