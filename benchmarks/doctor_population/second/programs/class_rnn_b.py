import numpy as np


class RNN(object):
    '''Simple recurrent network. U: input to hidden, W: hidden to hidden, V: hidden to output.'''

    def __init__(self, word_dim, hidden_dim=50):
        self.word_dim = word_dim
        self.hidden_dim = hidden_dim
        self.U = np.random.uniform(-np.sqrt(1./word_dim), np.sqrt(1./word_dim), (hidden_dim, word_dim))
        self.V = np.random.uniform(-np.sqrt(1./hidden_dim), np.sqrt(1./hidden_dim), (word_dim, hidden_dim))
        self.W = np.random.uniform(-np.sqrt(1./hidden_dim), np.sqrt(1./hidden_dim), (hidden_dim, hidden_dim))
        self.b = np.zeros(hidden_dim)
        self.c = np.zeros(word_dim)
        self.s0 = np.zeros(hidden_dim)

    def forward_propagation(self, x):
        T = len(x)
        # the additional last row is the state before the first step, so that s[-1] finds it
        s = np.zeros((T + 1, self.hidden_dim))
        s[-1] = self.s0
        o = np.zeros((T, self.word_dim))
        for t in np.arange(T):
            s[t] = np.tanh(self.U[:, x[t]] + self.W.dot(s[t-1]) + self.b)
            z = self.V.dot(s[t]) + self.c
            o[t] = np.exp(z - z.max()) / np.sum(np.exp(z - z.max()))
        return o, s

    def calculate_loss(self, x, y):
        o, s = self.forward_propagation(x)
        correct = o[np.arange(len(y)), y]
        return -np.sum(np.log(correct))

    def bptt(self, x, y):
        T = len(y)
        o, s = self.forward_propagation(x)
        dLdU = np.zeros(self.U.shape)
        dLdV = np.zeros(self.V.shape)
        dLdW = np.zeros(self.W.shape)
        dLdb = np.zeros(self.b.shape)
        dLdc = np.zeros(self.c.shape)
        delta_o = o
        delta_o[np.arange(len(y)), y] -= 1.
        # for each output, go back to the beginning
        for t in np.arange(T)[::-1]:
            dLdV += np.outer(delta_o[t], s[t])
            dLdc += delta_o[t]
            delta_t = self.V.T.dot(delta_o[t]) * (1 - (s[t] ** 2))
            for step in np.arange(0, t + 1)[::-1]:
                dLdW += np.outer(delta_t, s[step-1])
                dLdU[:, x[step]] += delta_t
                dLdb += delta_t
                delta_t = self.W.T.dot(delta_t) * (1 - s[step-1] ** 2)
        return dLdU, dLdV, dLdW, dLdb, dLdc
