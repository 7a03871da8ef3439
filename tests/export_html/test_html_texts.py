"""An exported page computes what the engines compute: the same random numbers, probabilities and texts."""

import numpy as np
import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from browser import NONE, chromium_path
from charloom.api.model import Model
from charloom.engines import open_engine
from charloom.export_html import browser_model
from charloom.export_html.html_file import PAGE
from charloom.export_html.joined_modules import one_script
from charloom.model import beginning, zero_state
from charloom.random import uniforms
from export_html.html_models import SETTINGS, embedded, html_model, open_page, write
from small_runs import TEXT

if chromium_path() is None:
    pytest.skip(NONE, allow_module_level=True)

BYTES = 3 * "Größe, naïve café — 日本 🙂 the end.\n" + TEXT[:300]
CELLS = ("rnn", "lstm", "gru")
MODELS = {
    **{f"{cell}-{layers}": {"cell": cell, "layers": layers} for cell in CELLS for layers in (1, 2)},
    "ngrams": {"cell": "gru", "ngram_order": 5},
    "pairs": {"cell": "lstm", "input_pairs": 40},
    "ngrams-pairs": {"cell": "gru", "layers": 2, "ngram_order": 3, "input_pairs": 40},
    "unigrams": {"cell": "rnn", "ngram_order": 1},
    "bytes": {"cell": "gru", "tokens": "bytes", "text": BYTES, "ngram_order": 4},
    "float64": {"cell": "lstm", "dtype": "float64", "ngram_order": 4},
}
CHOICES = [
    {},
    {"prompt": "the red ", "seed": 2**53 - 1},
    {"prompt": "the ", "start": "zero", "temperature": 0.7, "seed": 4},
    {"start": "zero", "top_p": 0.8, "seed": 5},
    {"top_k": 4, "min_p": 0.1, "seed": 6},
    {"temperature": 0},
    {"stop": ["at", "the", "t t"], "seed": 7},
]
PLACES = [0, 1, 2, 3, 4, 9, 18, 17, 19_999]
# The modules of the page without the page, as one module that exports what the tests use.
NAMES = "readModel, Network, Vocabulary, Writing, Uniforms, firstStop, possibleStop"
IMPORT = f"""
const url = URL.createObjectURL(new Blob([source], {{ type: "text/javascript" }}));
const {{ {NAMES} }} = await import(url);
"""


@pytest.fixture(scope="module")
def source():
    """Return the source of the modules that the page uses."""
    parts = [one_script(PAGE / f"{name}.js") for name in ("writing", "model_data", "vocabulary")]
    return "\n".join([*parts, f"export {{ {NAMES} }};"])


@pytest.mark.parametrize("name", MODELS)
def test_a_page_writes_the_texts_of_the_model(name, page, tmp_path):
    model = html_model(**MODELS[name])
    open_page(page, model.to_html(tmp_path / "m.html", weights="float32"))
    for choice in CHOICES:
        assert write(page, **choice) == model.sample(**SETTINGS | choice), choice


def test_a_page_without_a_start_begins_in_the_zero_state(page, tmp_path):
    model = html_model(cell="gru")
    model.learner.state = zero_state(model.config)
    open_page(page, model.to_html(tmp_path / "m.html", weights="float32"))
    assert page.locator("#play-start option").all_text_contents() == ["zero state"]
    for choice in ({"prompt": "the "}, {}):
        assert write(page, start="zero", **choice) == model.sample(**SETTINGS | choice)


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1, 2**32, 2**53 - 1])
def test_random_numbers_are_those_of_the_specification(seed, source, page):
    script = f"""async ([source, seed, places]) => {{
        {IMPORT}
        const numbers = new Uniforms(seed);
        return places.map((n) => numbers.at(n));
    }}"""
    found = page.evaluate(script, [source, seed, PLACES])
    assert found == uniforms(seed, "sample", 20_000)[PLACES].tolist()


def predictions(page, source, path, start, ids):
    """Return the logarithms of the probabilities that the page computes after each id of a text that it reads."""
    script = f"""async ([source, json, data, start, ids]) => {{
        {IMPORT}
        const {{ about, tensors }} = await readModel(json, data);
        const network = new Network(about, tensors);
        const vocabulary = new Vocabulary(about.vocabulary, about.tokens);
        const options = {{ start, startId: about.start_id, seed: 0, stops: [], length: 1 }};
        const text = new Writing(network, vocabulary, ids, options);
        while (text.reading) text.step();
        return text.states.map((_, place) => [...text.prediction(place)]);
    }}"""
    return np.array(page.evaluate(script, [source, *embedded(path), start, ids.tolist()]))


def engine_predictions(learner, ids, state):
    """Return the logarithms of the probabilities that the reference engine computes after each id, from a state."""
    engine, found = open_engine("reference"), []
    for n in range(len(ids)):
        logits, state = engine.step(learner, ids[n : n + 1], state)
        o = logits[0].astype(np.float64)
        found.append(o - o.max() - np.log(np.exp(o - o.max()).sum()))
    return np.array(found)


@pytest.mark.parametrize("name", MODELS)
def test_probabilities_agree_with_those_of_the_engine(name, source, page, tmp_path):
    model = html_model(**MODELS[name])
    path, ids = model.to_html(tmp_path / "m.html", weights="float32"), model.corpus.ids[:250]
    found = predictions(page, source, path, "zero", ids)
    expected = engine_predictions(model.learner, ids, zero_state(model.config))
    assert np.abs(found - expected).max() < 1e-5


@pytest.mark.parametrize("name", ["ngrams", "pairs", "ngrams-pairs", "bytes"])
def test_the_start_has_the_ids_that_were_read_last(name, source, page, tmp_path):
    model = html_model(**MODELS[name])
    path = model.to_html(tmp_path / "m.html", weights="float32")
    ids, state = beginning(model.learner, model.corpus.ids[:2], "text")
    found = predictions(page, source, path, "text", model.corpus.ids[:2])
    expected = engine_predictions(model.learner, ids, state)
    assert np.abs(found - expected).max() < 1e-5
    without = {**state, "recent": np.full_like(state["recent"], -1)}
    assert np.abs(expected[0] - engine_predictions(model.learner, ids, without)[0]).max() > 1e-3


def test_a_page_with_weights_in_float16_writes_the_texts_of_the_rounded_model(page, tmp_path):
    model = html_model(cell="lstm", ngram_order=4, input_pairs=40)
    open_page(page, model.to_html(tmp_path / "m.html", weights="float16"))
    rounded = Model(browser_model(model.learner, "float16"), model.engine)
    for seed in (1, 2):
        assert write(page, "the ", seed=seed) == rounded.sample("the ", 300, seed=seed)
