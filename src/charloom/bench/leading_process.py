"""Leads several processes for a benchmark: for each number that it reads, it does so many training steps and prints a line.

Its arguments are the fields of a workload as JSON, and the number of processes. It ends with its standard input.
"""

import json
import sys

from charloom.bench.charloom_engines import engine_updates
from charloom.bench.contestant_text import bench_text, bench_vocabulary
from charloom.bench.workloads import Workload
from charloom.engines import open_engine
from charloom.engines.torch.training_processes import leading_new
from charloom.model import new_learner


def lead(workload: Workload, size: int) -> None:
    """Do as many steps as each line of the standard input says, and print a line after them."""
    K = workload.vocabulary_size
    with leading_new(size, str):
        learner = new_learner(workload.config, bench_vocabulary(K))
        work = engine_updates(open_engine("torch", 1, "cpu"), learner, bench_text(K))
        for line in sys.stdin:
            work(int(line))
            print("done", flush=True)


if __name__ == "__main__":
    lead(Workload(**json.loads(sys.argv[1])), int(sys.argv[2]))
