"""Measure during training how alike the gradients of neighbouring windows are, and how large the states.

python examples/gradients_as_arrays.py
"""

import numpy as np

from charloom.research import Corpus, TrainingLoop, configure

loop = TrainingLoop(Corpus.open(["python-docs"]), configure("classic", updates=1000))

print("update   loss   cosine of two gradients of W   mean |h|")
while not loop.finished:
    window = loop.gradients()
    size = np.abs(loop.states()["h"]).mean()
    loop.step()
    a, b = (one.gradients["layers.0.W"].ravel() for one in (window, loop.gradients()))
    cosine = a @ b / (np.linalg.norm(a) * np.linalg.norm(b))
    print(f"{window.update:6} {window.loss:6.1f} {cosine:30.3f} {size:10.3f}")
    loop.step(updates=99)
