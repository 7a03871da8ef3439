# # Character RNN — notebook exported to a script

# In[1]:
import numpy as np
np.random.seed(42)

# In[2]:
txt = "to be or not to be that is the question"
letters = sorted(set(txt))
ch2i = {l: i for i, l in enumerate(letters)}
n_letters = len(letters)
n_hidden = 12

# In[3]: weights
W_xh = 0.1 * np.random.randn(n_hidden, n_letters)
W_hh = 0.1 * np.random.randn(n_hidden, n_hidden)
b_h = np.zeros(n_hidden)
W_hy = 0.1 * np.random.randn(n_letters, n_hidden)
b_y = np.zeros(n_letters)

# In[4]: forward pass
def fwd(seq_in, h):
    H = [h]
    Y = []
    for s in seq_in:
        h = np.tanh(W_xh[:, s] + W_hh.dot(h) + b_h)
        H.append(h)
        z = W_hy.dot(h) + b_y
        z = np.exp(z - z.max())
        Y.append(z / z.sum())
    return H, Y

# In[5]: backward pass
def fwd_bwd(seq_in, seq_out, h):
    H, Y = fwd(seq_in, h)
    cost = 0
    for y, s in zip(Y, seq_out):
        cost += -np.log(y[s])
    gW_xh, gW_hh, gb_h = np.zeros_like(W_xh), np.zeros_like(W_hh), np.zeros_like(b_h)
    gW_hy, gb_y = np.zeros_like(W_hy), np.zeros_like(b_y)
    carry = np.zeros_like(h)
    for t in range(len(seq_in) - 1, -1, -1):
        err = Y[t]
        err[seq_out[t]] -= 1
        gW_hy += np.outer(err, H[t + 1])
        gb_y += err
        back = W_hy.T.dot(err) + carry
        delta = (1 - H[t + 1] ** 2) * back
        gW_xh[:, seq_in[t]] += delta
        gW_hh += np.outer(delta, H[t])
        gb_h += delta
        carry = W_hh.T.dot(delta)
    return cost, gW_xh, gW_hh, gb_h, gW_hy, gb_y, H[-1]

# In[6]: a few steps of training
ids = [ch2i[l] for l in txt]
h_state = np.zeros(n_hidden)
for epoch in range(3):
    cost, a, b, c, d, e, h_state = fwd_bwd(ids[:-1], ids[1:], h_state)
    for w, g in zip([W_xh, W_hh, b_h, W_hy, b_y], [a, b, c, d, e]):
        w -= 0.01 * g
print("cost after training:", cost)
