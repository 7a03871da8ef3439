"""Makes functions that run charloom's engines, so that benchmarks can time them."""

import numpy as np
from numpy.typing import NDArray

from charloom.bench.interleaved import Work
from charloom.engines import Engine, Plan, Sampler
from charloom.errors import DivergedError
from charloom.model import Learner, zero_state
from charloom.text.windows import Windows


def engine_updates(engine: Engine, learner: Learner, tokens: NDArray[np.uint8]) -> Work:
    """Return a function of n that applies the next n updates to `learner`.

    After the end of the text, the updates continue from its beginning. One call of the engine
    cannot pass the end of the text, so the function calls the engine again each time the text
    starts over.
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
    """Return a function of n that samples n characters from the learner's model in one stream."""

    def work(count: int) -> None:
        uniforms = np.random.default_rng(0).random(count)
        read = np.zeros(1, dtype=learner.vocabulary.id_dtype)
        engine.generate(learner, read, Sampler(), uniforms, zero_state(learner.config))

    return work
