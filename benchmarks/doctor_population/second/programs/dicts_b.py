import numpy as np


def softmax(z):
    z = z - np.max(z, axis=0, keepdims=True)
    return np.exp(z) / np.sum(np.exp(z), axis=0, keepdims=True)


def one_hot(ids, n_x):
    return np.eye(n_x)[ids].T  # (n_x, m)


def rnn_forward(X, Y, a0, parameters, vocab_size=27):
    """
    X, Y -- arrays of ids, shape (m, T_x)
    a0 -- initial state, shape (n_a, m)
    Returns the cost (summed over time, mean over the m examples) and the caches.
    """
    Wax = parameters["Wax"]
    Waa = parameters["Waa"]
    Wya = parameters["Wya"]
    ba = parameters["ba"]
    by = parameters["by"]
    m, T_x = X.shape
    n_a = a0.shape[0]

    x = np.zeros((vocab_size, m, T_x))
    a = np.zeros((n_a, m, T_x))
    y_pred = np.zeros((vocab_size, m, T_x))
    cost = 0.0
    a_prev = a0
    for t in range(T_x):
        x[:, :, t] = one_hot(X[:, t], vocab_size)
        a_next = np.tanh(np.dot(Wax, x[:, :, t]) + np.dot(Waa, a_prev) + ba)
        a[:, :, t] = a_next
        y_pred[:, :, t] = softmax(np.dot(Wya, a_next) + by)
        cost += -np.sum(np.log(y_pred[Y[:, t], np.arange(m), t])) / m
        a_prev = a_next

    return cost, (x, a, a0, y_pred)


def rnn_cell_backward(da_next, xt, a_next, a_prev, parameters):
    dz = da_next * (1 - a_next ** 2)
    return {
        "dWax": np.dot(dz, xt.T),
        "dWaa": np.dot(dz, a_prev.T),
        "dba": np.sum(dz, axis=1, keepdims=True),
        "da_prev": np.dot(parameters["Waa"].T, dz),
    }


def rnn_backward(X, Y, parameters, cache):
    (x, a, a0, y_pred) = cache
    n_a, m, T_x = a.shape

    gradients = {"d" + name: np.zeros(parameters[name].shape) for name in parameters}
    da_prevt = np.zeros((n_a, m))
    for t in reversed(range(T_x)):
        dy = y_pred[:, :, t].copy()
        dy[Y[:, t], np.arange(m)] -= 1
        dy = dy / m
        gradients["dWya"] += np.dot(dy, a[:, :, t].T)
        gradients["dby"] += np.sum(dy, axis=1, keepdims=True)
        da = np.dot(parameters["Wya"].T, dy)
        a_prev = a[:, :, t - 1] if t > 0 else a0
        cell = rnn_cell_backward(da + da_prevt, x[:, :, t], a[:, :, t], a_prev, parameters)
        da_prevt = cell["da_prev"]
        gradients["dWax"] += cell["dWax"]
        gradients["dWaa"] += cell["dWaa"]
        gradients["dba"] += cell["dba"]
    gradients["da0"] = da_prevt
    return gradients
