"""Threads that have no processor delay no work of the native engine that they have not begun."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from charloom.cpu_limits import ONE_THREAD
from charloom.engines import native_problem

if native_problem() is not None:
    pytest.skip(f"{native_problem()}", allow_module_level=True)

# A new thread runs only when somebody waits for its end, as if it had no processor until then.
LATE_THREADS = r"""
#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <atomic>
#include <cstdio>
static sem_t begin;
static std::atomic<int> held{0};
__attribute__((destructor)) static void tell() { fprintf(stderr, "%d threads began late", held.load()); }
struct start { void* (*run)(void*); void* with; };
static void* late(void* given) {
  struct start own = *(struct start*)given;
  delete (struct start*)given;
  ++held;
  while (sem_wait(&begin)) {}
  return own.run(own.with);
}
extern "C" int pthread_create(pthread_t* thread, const pthread_attr_t* attributes,
                              void* (*run)(void*), void* with) {
  auto create = (decltype(&pthread_create))dlsym(RTLD_NEXT, "pthread_create");
  return create(thread, attributes, late, new start{run, with});
}
extern "C" int pthread_join(pthread_t thread, void** result) {
  auto join = (decltype(&pthread_join))dlsym(RTLD_NEXT, "pthread_join");
  sem_post(&begin);
  return join(thread, result);
}
"""

# Prints what two threads compute: the losses of updates, the nats of a text and drawn ids.
RESULTS = """
import numpy as np
from charloom.config import Config
from charloom.engines import Plan, Sampler
from charloom.engines import native
from charloom.model import new_learner, zero_state
from charloom.text import Vocabulary
config = Config(cell="gru", layers=2, hidden_size=20, seq_length=6, batch_size=4, optimizer="adam")
learner, engine = new_learner(config, Vocabulary("abcdefg")), native.NativeEngine(2)
native.SHARED_SAMPLING = 0  # threads share the sampling of a small network too
tokens = np.random.default_rng(1).integers(0, 7, 400).astype(np.uint8)
plan = Plan(np.full(9, 0.01), np.arange(4, dtype=np.int64) * 100)
print(engine.train(learner, tokens, plan).losses.tolist())
print(engine.score(learner, tokens.reshape(-1, 4), zero_state(config, 4))[0].tolist())
uniforms = np.random.default_rng(2).random(30)
print(engine.generate(learner, tokens[:1], Sampler(), uniforms, zero_state(config))[0].tolist())
"""


def results(preloaded: str = "") -> tuple[str, str]:
    """Return what two threads compute in a process with this library loaded first, and its messages."""
    before = os.environ.get("LD_PRELOAD", "")
    done = subprocess.run(
        [sys.executable, "-c", RESULTS],
        env={**os.environ, **ONE_THREAD, "LD_PRELOAD": f"{before} {preloaded}".strip()},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout, done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="LD_PRELOAD replaces functions on Linux only")
@pytest.mark.skipif(shutil.which("c++") is None, reason="no compiler here")
def test_training_scoring_and_sampling_need_no_thread_that_never_runs(tmp_path: Path):
    source, library = tmp_path / "late.cpp", tmp_path / "late.so"
    source.write_text(LATE_THREADS, encoding="ascii")
    subprocess.run(["c++", "-shared", "-fPIC", str(source), "-o", str(library)], check=True)
    late, messages = results(str(library))
    assert messages == "3 threads began late"  # one each for training, scoring and sampling
    assert late == results()[0]
