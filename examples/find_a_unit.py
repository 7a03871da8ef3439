"""Find the hidden unit that knows best whether the text is inside quotation marks, and watch it.

python examples/find_a_unit.py
"""

import charloom

# Without n-grams, the units have to follow the text alone. Without weight decay, they do so more clearly.
model = charloom.train(
    "python-docs", cell="gru", hidden_size=96, ngram_order=0, weight_decay=0.0, updates=1500
)

(finding,) = charloom.neurons(model, properties=["in-quotes"], what="h", top=1).findings
best = finding.units[0]
print(best)

text = 'Use "with open" here, or "try" there.\n'
values = model.activity(text, layer=best.layer, unit=best.unit).values[:, 0, 0]
for character, value in zip(text, values, strict=True):
    print(f"{character!r:5} {value:+.2f} {'#' * round(20 * abs(value))}")
