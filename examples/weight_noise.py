"""Train with noise on the weights: each gradient is that of weights which are a little wrong.

python examples/weight_noise.py
"""

import numpy as np

from charloom.research import Corpus, TrainingLoop, configure

corpus = Corpus.open(["python-docs"])
config = configure("quick", cell="rnn", hidden_size=64, ngram_order=0, validation=0.1, updates=200)
random = np.random.default_rng(0)

for size in (0.0, 0.01, 0.05):
    loop = TrainingLoop(corpus, config)
    while not loop.finished:
        weights = loop.learner.parameters
        before = {name: array.copy() for name, array in weights.items()}
        for array in weights.values():
            array += size * random.standard_normal(array.shape)
        window = loop.gradients()
        for name, array in before.items():
            weights[name][...] = array
        loop.apply(window)
    print(f"noise {size}: {loop.evaluate() / np.log(2):.3f} bits per character")
