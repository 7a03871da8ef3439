"""Makes functions that run charloom's engines, so that benchmarks can time them."""

import numpy as np
from numpy.typing import NDArray

from charloom.bench.interleaved import Work
from charloom.engines import Engine, Plan, Sampler
from charloom.errors import DivergedError
from charloom.model import Learner, zero_state
from charloom.text.windows import Windows


def engine_updates(engine: Engine, learner: Learner, tokens: NDArray[np.uint8]) -> Work:
    """Return a function that does as many updates of `learner` as its argument says.

    The text is repeated, epoch after epoch. One call of the engine does at most the updates that
    are left in the epoch.
    """
    config = learner.config
    windows = Windows.of(config, len(tokens))

    def work(count: int) -> None:
        while count:
            if windows.ends_epoch(learner.position):
                learner.position = 0
            part = min(count, windows.left_in_epoch(learner.position))
            plan = Plan(np.full(part, config.learning_rate), windows.starts(0))
            if engine.train(learner, tokens, plan).stopped:
                raise DivergedError(
                    f"{engine.describe()}: the loss is not finite at update {learner.update + 1}, so "
                    f"its time would be meaningless."
                )
            count -= part

    return work


def engine_sampling(engine: Engine, learner: Learner) -> Work:
    """Return a function that samples as many characters from the learner's model as its argument says.

    It samples a single stream.
    """

    def work(count: int) -> None:
        uniforms = np.random.default_rng(0).random(count)
        read = np.zeros(1, dtype=learner.vocabulary.id_dtype)
        engine.generate(learner, read, Sampler(), uniforms, zero_state(learner.config))

    return work
