"""Train only the output of a network whose recurrent weights stay random, and compare (an echo state network).

python examples/frozen_recurrence.py
"""

import numpy as np

from charloom.research import Corpus, TrainingLoop, configure

corpus = Corpus.open(["python-docs"])
config = configure("quick", cell="rnn", hidden_size=100, ngram_order=0, validation=0.1, updates=300)

for frozen in ((), ("layers.0.W",), ("layers.0.U", "layers.0.W", "layers.0.b")):
    loop = TrainingLoop(corpus, config, frozen=frozen)
    weights = loop.learner.parameters["layers.0.W"]
    weights *= 0.9 / np.abs(np.linalg.eigvals(weights)).max()  # the state forgets slowly
    loop.step(updates=loop.updates)
    bits = loop.evaluate() / np.log(2)
    print(f"{bits:.3f} bits per character, frozen: {', '.join(frozen) or 'nothing'}")
