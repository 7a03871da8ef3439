"""Write a text with a model in an ONNX file. This program needs only onnxruntime, and not charloom.

python examples/write_with_onnx.py book.onnx "The " 300
"""

import json
import sys

import numpy as np
import onnxruntime

if len(sys.argv) != 4 or not sys.argv[3].isdecimal():
    sys.exit(f"Usage: {__doc__.splitlines()[2]}")
file, prompt, length = sys.argv[1], sys.argv[2], int(sys.argv[3])
session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
about = json.loads(session.get_modelmeta().custom_metadata_map["charloom.onnx"])
is_bytes = about["config"]["tokens"] == "bytes"
vocabulary = about["vocabulary"]  # the code point, or the byte, of each id

state = {}  # before the first character: zeros, and -1 for the id before it, which some models read
for value in session.get_inputs()[1:]:
    shape = [n if isinstance(n, int) else 1 for n in value.shape]  # one text: B is 1
    state[value.name] = (
        np.zeros(shape, np.float32) if value.type == "tensor(float)" else np.full(shape, -1)
    )

written = list(prompt.encode() if is_bytes else map(ord, prompt))
if unknown := set(written) - set(vocabulary):
    sys.exit(f"The model does not know these characters or bytes of the prompt: {unknown}.")
ids = [vocabulary.index(point) for point in written or vocabulary[:1]]  # often a line feed
random = np.random.default_rng(seed=1)
for _ in range(length):
    logits, *after = session.run(None, {"ids": np.array([ids]).T, **state})
    state = dict(zip(state, after, strict=True))
    scores = logits[-1, 0].astype(float) / 0.8  # the temperature is 0.8
    scores = np.exp(scores - scores.max())
    ids = [random.choice(len(vocabulary), p=scores / scores.sum())]
    written.append(vocabulary[ids[0]])
print(bytes(written).decode(errors="replace") if is_bytes else "".join(map(chr, written)))
