"""Train a small network on a text that Python carries, measure it, and let it write.

python examples/train_and_write.py
"""

import charloom

# Without run="runs/docs" nothing is kept on disk. Any text file can stand in place of "python-docs".
model = charloom.train("python-docs", cell="gru", hidden_size=96, updates=1500)

print(model.evaluate())
prompt = "The "  # `sample` returns what comes after it
print(prompt + model.sample(prompt, length=300, temperature=0.8, seed=3))
