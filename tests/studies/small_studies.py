"""A small study for tests: a text, a specification, and the study run in this process."""

from book_text import TEXT
from charloom.studies import begin_study
from charloom.studies.one_study import Study
from charloom.studies.worker_process import work

SPEC = {
    "seeds": 2,
    "settings": {"hidden_size": 4, "updates": 30, "validation": 0.2, "report_every": 10},
    "grid": {"cell": ["rnn", "gru"]},
}


def small_spec(folder, **sections):
    """Return a specification with a text in `folder`, and the sections of `SPEC` replaced by `sections`."""
    path = folder / "book.txt"
    path.write_text(TEXT, encoding="utf-8")
    return {"text": str(path), **SPEC, **sections}


def planned_study(folder, **sections):
    """Return a study in `folder` without results."""
    return begin_study(small_spec(folder, **sections), folder / "study")


def train_here(study: Study, numbers=None, halt=lambda: None):
    """Train the runs with these numbers, or all, in this process, as a worker does."""
    chosen = range(len(study.plan)) if numbers is None else numbers

    class Answers(list):
        def write(self, line):
            self.append(line)

        def flush(self):
            pass

    answers = Answers()
    work(
        study.files,
        study.files.new_journal(0),
        [" ".join(f"{n} {study.plan[n].key}" for n in chosen)],
        answers,
        halt,
    )
    return answers
