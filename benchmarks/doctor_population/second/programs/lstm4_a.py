import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    e = np.exp(x - np.max(x))
    return e / np.sum(e)


def lstm_loss(p, inputs, targets, h_prev, C_prev):
    """
    p: dictionary with W_f, W_i, W_c, W_o (H, H + X), b_f, b_i, b_c, b_o (H, 1), W_v (X, H), b_v (X, 1)
    inputs, targets: lists of ids
    """
    H = h_prev.shape[0]
    X = p['b_v'].shape[0]
    z_s, f_s, i_s, c_bar_s, C_s, o_s, h_s, y_s = {}, {}, {}, {}, {}, {}, {}, {}
    h_s[-1] = np.copy(h_prev)
    C_s[-1] = np.copy(C_prev)
    loss = 0
    for t in range(len(inputs)):
        x = np.zeros((X, 1))
        x[inputs[t]] = 1
        z_s[t] = np.vstack((h_s[t - 1], x))
        f_s[t] = sigmoid(np.dot(p['W_f'], z_s[t]) + p['b_f'])
        i_s[t] = sigmoid(np.dot(p['W_i'], z_s[t]) + p['b_i'])
        c_bar_s[t] = np.tanh(np.dot(p['W_c'], z_s[t]) + p['b_c'])
        C_s[t] = f_s[t] * C_s[t - 1] + i_s[t] * c_bar_s[t]
        o_s[t] = sigmoid(np.dot(p['W_o'], z_s[t]) + p['b_o'])
        h_s[t] = o_s[t] * np.tanh(C_s[t])
        y_s[t] = softmax(np.dot(p['W_v'], h_s[t]) + p['b_v'])
        loss += -np.log(y_s[t][targets[t], 0])

    d = {k: np.zeros_like(v) for k, v in p.items()}
    dh_next = np.zeros((H, 1))
    dC_next = np.zeros((H, 1))
    for t in reversed(range(len(inputs))):
        dv = np.copy(y_s[t])
        dv[targets[t]] -= 1
        d['W_v'] += np.dot(dv, h_s[t].T)
        d['b_v'] += dv

        dh = np.dot(p['W_v'].T, dv)
        dh += dh_next

        do = dh * np.tanh(C_s[t])
        do = o_s[t] * (1 - o_s[t]) * do
        d['W_o'] += np.dot(do, z_s[t].T)
        d['b_o'] += do

        dC = np.copy(dC_next)
        dC += dh * o_s[t] * (1 - np.tanh(C_s[t]) ** 2)

        dc_bar = dC * i_s[t]
        dc_bar = (1 - c_bar_s[t] ** 2) * dc_bar
        d['W_c'] += np.dot(dc_bar, z_s[t].T)
        d['b_c'] += dc_bar

        di = dC * c_bar_s[t]
        di = i_s[t] * (1 - i_s[t]) * di
        d['W_i'] += np.dot(di, z_s[t].T)
        d['b_i'] += di

        df = dC * C_s[t - 1]
        df = f_s[t] * (1 - f_s[t]) * df
        d['W_f'] += np.dot(df, z_s[t].T)
        d['b_f'] += df

        dz = (np.dot(p['W_f'].T, df) + np.dot(p['W_i'].T, di)
              + np.dot(p['W_c'].T, dc_bar) + np.dot(p['W_o'].T, do))
        dh_next = dz[:H, :]
        dC_next = f_s[t] * dC
    return loss, d
