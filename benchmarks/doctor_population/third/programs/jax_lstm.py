import jax
import jax.numpy as jnp
from jax import lax


def cell(params, carry, x):
    h, c = carry
    z = jnp.concatenate([h, x])
    f = jax.nn.sigmoid(params["Wf"] @ z + params["bf"])
    i = jax.nn.sigmoid(params["Wi"] @ z + params["bi"])
    g = jnp.tanh(params["Wg"] @ z + params["bg"])
    o = jax.nn.sigmoid(params["Wo"] @ z + params["bo"])
    c = f * c + i * g
    h = o * jnp.tanh(c)
    return (h, c), h


def loss_fn(params, x, y, h0, c0):
    xs = jax.nn.one_hot(x, params["by"].shape[0], dtype=h0.dtype)
    _, hs = lax.scan(lambda carry, xt: cell(params, carry, xt), (h0, c0), xs)
    logits = hs @ params["Wy"].T + params["by"]
    logp = jax.nn.log_softmax(logits, axis=-1)
    return -jnp.sum(jnp.take_along_axis(logp, y[:, None], axis=1))


value_and_grad = jax.jit(jax.value_and_grad(loss_fn))
