"""Train with a learning rate of your own: it rises and falls in every cycle of 200 updates.

python examples/own_schedule.py
"""

import math

from charloom.research import Corpus, TrainingLoop, configure

corpus = Corpus.open(["python-docs"])
config = configure("quick", cell="gru", hidden_size=64, ngram_order=0, updates=600)
loop = TrainingLoop(corpus, config)

while not loop.finished:
    place = loop.learner.update % 200 / 200  # in the cycle, from 0 to 1
    trace = loop.step(0.004 * (1 - math.cos(2 * math.pi * place)) / 2)
    if loop.learner.update % 200 == 0:
        nats = trace.losses[-1] / config.seq_length
        print(f"update {loop.learner.update}: {nats / math.log(2):.2f} bits per character")

print(loop.sample(200))
