import jax
import jax.numpy as jnp


def loss(params, inputs, targets, h0):
    """Sum of the cross-entropies of a vanilla RNN; inputs and targets are integer arrays (T,)."""
    h = h0
    total = 0.0
    for t in range(inputs.shape[0]):
        h = jnp.tanh(params["Wxh"][:, inputs[t]] + params["Whh"] @ h + params["bh"])
        logits = params["Why"] @ h + params["by"]
        total = total - jax.nn.log_softmax(logits)[targets[t]]
    return total


loss_and_grad = jax.value_and_grad(loss)
