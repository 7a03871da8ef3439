"""Training for the curve alone leaves out samples and the measurement of the starts, and changes nothing else."""

import pytest

from book_text import TEXT
from charloom.config import Config
from charloom.engines.reference import ReferenceEngine
from charloom.model import new_learner
from charloom.text import Corpus
from charloom.training import Best, Record, Sample, train_in_memory

CONFIG = Config(
    hidden_size=4,
    seq_length=5,
    updates=40,
    report_every=10,
    sample_first=3,
    sample_every=7,
    judge_every=10,
    validation=0.2,
)


def trained(config, curve_only):
    """Return the learner, its best copy and the events of a run."""
    corpus = Corpus.from_text(TEXT)
    learner, best = new_learner(config, corpus.vocabulary), Best()
    items = train_in_memory(
        learner, corpus.ids, ReferenceEngine(), best=best, curve_only=curve_only
    )
    return learner, best.learner or learner, list(items)


def curve(items):
    """Return the figures of the records that do not depend on the clock."""
    return [
        (one.update, one.loss, one.train_nats, one.validation_nats, one.gradient_norm)
        for one in items
        if isinstance(one, Record)
    ]


@pytest.mark.parametrize("config", [CONFIG, CONFIG.replace(validation=0.0, averaging=0.1)])
def test_the_records_and_the_weights_are_the_same(config):
    learner, best, items = trained(config, curve_only=True)
    usual, usual_best, usual_items = trained(config, curve_only=False)
    assert curve(items) == curve(usual_items)
    assert len(curve(items)) > 3
    for one, other in ((learner, usual), (best, usual_best)):
        assert one.update == other.update
        for name, array in other.parameters.items():
            assert (one.parameters[name] == array).all()


def test_there_are_no_samples_and_no_starts():
    _, best, items = trained(CONFIG, curve_only=True)
    assert not any(isinstance(one, Sample) for one in items)
    assert best.start_losses is None
    _, best, items = trained(CONFIG, curve_only=False)
    assert any(isinstance(one, Sample) for one in items)
    assert best.start_losses is not None
