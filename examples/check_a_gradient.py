"""Check the gradients of a recurrent network that you wrote in NumPy.

python examples/check_a_gradient.py
"""

import numpy as np

import charloom


def loss_and_gradients(params, x, y, h0):
    """The summed loss of one window, and its gradient by backpropagation through time."""
    U, W, b, V, c = (params[name] for name in "UWbVc")
    h = [h0]
    for k in x:
        h.append(np.tanh(W @ h[-1] + U[:, k] + b))
    logits = np.array(h[1:]) @ V.T + c
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    loss = -np.log(p[range(len(y)), y]).sum()
    p[range(len(y)), y] -= 1  # the gradient of the logits
    dU, dW, db, dh_next = np.zeros_like(U), np.zeros_like(W), np.zeros_like(b), 0
    for t in reversed(range(len(x))):
        da = (V.T @ p[t] + dh_next) * (1 - h[t + 1] ** 2)
        dU[:, x[t]] += da
        dW += np.outer(da, h[t])
        db += da
        dh_next = W.T @ da
    return loss, {"U": dU, "W": dW, "b": db, "V": p.T @ np.array(h[1:]), "c": p.sum(axis=0)}


diagnosis = charloom.doctor(loss_and_gradients)
print(diagnosis.verdict)  # remove "+ dh_next" above and run again: the doctor says what is missing
print(diagnosis.headline())
