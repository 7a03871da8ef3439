"""Models for tests of exported HTML files, and the steps of a user on their pages."""

import re

import numpy as np
from playwright.sync_api import expect

from charloom.api.model import Model
from charloom.config import Config
from charloom.engines import open_engine
from charloom.model import new_learner, start_id
from charloom.random import normals
from charloom.text import Corpus
from charloom.training.ngram_counting import choose_missing_pairs, count_missing_ngrams
from small_runs import TEXT

SETTINGS = {"length": 300, "temperature": 1, "seed": 0, "top_p": 1, "top_k": 0, "min_p": 0}


def html_model(tokens="characters", text=TEXT, **settings):
    """Return a model with random weights, which has read a text up to its last line feed or space, so that it has a start."""
    corpus = Corpus.from_text(text, "text", tokens=tokens)
    # With larger weights, a network is chaotic: the last digits of its sums would change the text.
    defaults = {"hidden_size": 10, "sigma": 0.25, "dtype": "float32", "tokens": tokens}
    learner = new_learner(Config(**{**defaults, **settings}), corpus.vocabulary)
    count_missing_ngrams(learner, corpus.ids, open_engine("reference"))
    choose_missing_pairs(learner, corpus.ids)
    # New networks have biases and inputs of pairs of 0, with which no error in their use would be seen.
    names = [name for name in learner.parameters if not name.endswith((".U", ".W"))]
    for n, name in enumerate(names):
        parameter = learner.parameters[name]
        parameter[...] = normals(n, "init", parameter.size).reshape(parameter.shape) / 2
    engine = open_engine("reference")
    state = {name: array[:, :1].copy() for name, array in learner.state.items()}
    read = np.flatnonzero(corpus.ids == start_id(learner))[-1]
    _, learner.state = engine.score(learner, corpus.ids[: read + 1, np.newaxis], state)
    return Model(learner, engine, corpus=corpus)


def open_page(page, path):
    """Open an exported file from the disk, and wait until its model can write."""
    page.goto(path.resolve().as_uri())
    expect(page.locator("#play-go")).to_be_enabled()


def write(page, prompt="", stop=(), start="text", **settings):
    """Write a text with these settings, and return it without the prompt."""
    page.locator("#more").evaluate("(element) => (element.open = true)")
    page.fill("#play-prompt", prompt)
    page.fill("#play-stop-strings", "\n".join(stop))
    page.select_option("#play-start", start)
    for name, value in {**SETTINGS, **settings}.items():
        page.fill(f"#play-{name.replace('_', '-')}", str(value))
    page.click("#play-go")
    expect(page.locator("#note")).to_have_text(re.compile("characters? in"))
    return page.locator("#output .letters").text_content().removeprefix(prompt)


def embedded(path):
    """Return the JSON of the model in an exported file, and the list of its base64 texts."""
    page = path.read_text(encoding="utf-8")
    parts = re.findall(r'class="model-data">([^<]*)<', page)
    return re.search(r'id="model-json">([^<]*)<', page)[1], parts
