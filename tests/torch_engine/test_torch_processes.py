"""Several processes that train one network together compute the updates of one process.

The tests start processes, each of which imports PyTorch, so they take some seconds.
"""

import numpy as np
import pytest

from compared_engines import TORCH as INSTALLED

if not INSTALLED:
    pytest.skip("PyTorch is not installed", allow_module_level=True)

from charloom.config import Config
from charloom.engines import Plan, open_engine
from charloom.engines.torch.training_processes import leading_new
from charloom.errors import EngineError
from charloom.model import copy_learner
from divided_networks import CLOSEST, COMMON, IDS, KINDS, apart, learner_of, starts

ALONE = open_engine("torch", 1, "cpu")


@pytest.fixture(params=[1, 2, 4], scope="module")
def engine(request):
    """An engine whose work is divided among processes."""
    with leading_new(request.param, lambda message: None):
        yield open_engine("torch", 1, "cpu")


@pytest.mark.parametrize("kind", KINDS)
def test_two_hundred_updates_are_those_of_one_process(engine, kind):
    assert apart(kind, engine) < CLOSEST


def test_an_update_that_is_not_finite_is_applied_by_no_process(engine):
    learner = learner_of("plain")
    alone = copy_learner(learner)
    plan = Plan(np.array([0.01, 1e308, 0.01, 0.01]), starts(learner))
    ours = engine.train(learner, IDS, plan)
    theirs = ALONE.train(alone, IDS, plan)
    assert (ours.stopped, len(ours.losses)) == (theirs.stopped, len(theirs.losses))


def test_an_id_outside_the_vocabulary_stops_all_processes_before_its_update(engine):
    learner, wrong = learner_of("plain"), IDS.copy()
    wrong[starts(learner)[-1] + 10] = 7  # the last process reads it in its third window
    with pytest.raises(EngineError, match="too large for the model"):
        engine.train(learner, wrong, Plan(np.full(5, 0.01), starts(learner)))
    assert learner.update == 2
    engine.train(learner, IDS, Plan(np.full(2, 0.01), starts(learner)))
    assert learner.update == 4


def test_more_processes_than_streams_are_refused(engine):
    size = engine._group.rank.size
    engine.require(Config(**COMMON | {"batch_size": size}))
    if size > 1:
        with pytest.raises(EngineError, match=f"at least batch_size={size}"):
            engine.require(Config(**COMMON | {"batch_size": size - 1}))
