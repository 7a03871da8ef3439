"""Begin with recurrent weights of your own: the identity, its half, and random ones.

python examples/own_initial_weights.py
"""

import numpy as np

from charloom.research import Corpus, TrainingLoop, configure

corpus = Corpus.open(["python-docs"])
config = configure("quick", cell="rnn", hidden_size=100, ngram_order=0, validation=0.1, updates=300)
H = config.hidden_size
starts = {"the identity": np.eye(H), "its half": np.eye(H) / 2, "random": None}

for name, start in starts.items():
    loop = TrainingLoop(corpus, config)
    if start is not None:
        loop.learner.parameters["layers.0.W"][...] = start
    loop.step(updates=loop.updates)
    print(f"{loop.evaluate() / np.log(2):.3f} bits per character, recurrent weights: {name}")
