"""A search draws settings, prunes trials, and each trial is the same run as the one that is trained alone."""

import csv
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

pytest.importorskip("optuna", reason="the extra search is not installed")

import optuna

import charloom
from charloom.cli.slurm_script import array_job, part_of
from charloom.cli.study_output import study_lines
from charloom.errors import ConfigError, MissingPartError, StudyError
from charloom.formatting import bits_per_character
from charloom.store.journal import Journal
from charloom.studies import begin_study, open_study, study, summarize
from charloom.studies.best_runs import best_of
from charloom.studies.optuna_trials import OptunaTrials, sampler_of
from charloom.studies.results import FAILED, FINISHED, PRUNED, RunResult
from charloom.studies.search_pool import SearchAnswer, SearchPool
from charloom.studies.search_process import work
from charloom.studies.search_training import add_missing, repeated_runs
from charloom.studies.study_page import render_study
from charloom.studies.table_files import write_table
from charloom.studies.trial_owners import SILENT_SECONDS, is_given_up, owner_of
from charloom.studies.trial_storage import ANSWERS_AGAIN, PASSING, Patience, SearchInterrupted
from small_studies import small_spec
from test_study_runs import records_of

SETTINGS = {"hidden_size": 4, "updates": 40, "validation": 0.2, "judge_every": 10}
SEARCH = {
    "trials": 12,
    "sampler": "random",
    "cell": ["rnn", "gru"],
    "learning_rate": {"low": 0.001, "high": 1.0, "scale": "log"},
}

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


def search_spec(folder, seeds=1, settings=SETTINGS, **search):
    """Return the specification of a small search."""
    values = small_spec(folder, seeds=seeds, settings=settings, search={**SEARCH, **search})
    del values["grid"]
    return values


def begun(folder, **changes):
    """Return a search in `folder` without trials."""
    return begin_study(search_spec(folder, **changes), folder / "study")


class Answers(list):
    """Receives the lines of a worker."""

    def write(self, line):
        self.append(json.loads(line))

    def flush(self):
        pass


def search_here(made, worker=0, halt=lambda: None, owner=None):
    """Run trials in this process, as a worker does, and return its answers."""
    answers = Answers()
    owner = owner or owner_of(os.getpid(), str(worker))
    work(made.files, made.files.new_journal(worker), owner, answers, halt)
    return answers


def trials_of(made, patience=None):
    """Return the trials of a search in Optuna's storage."""
    search = made.header.search
    steps = (search.interval, search.updates)
    return OptunaTrials(search.spec, search.name, made.path, steps, patience or Patience())


def reopened(made):
    return open_study(made.path)


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """Return a search that one worker has run, in which trials were pruned."""
    made = begun(tmp_path_factory.mktemp("search"))
    search_here(made)
    return reopened(made)


def test_every_trial_has_a_row_and_some_are_pruned(searched):
    states = [result.state for result in searched.results().values()]
    assert len(states) == 12
    assert states.count(FINISHED) + states.count(PRUNED) == 12
    assert states.count(PRUNED) > 0
    assert searched.trials_left == 0


def test_a_trial_has_the_curve_of_the_same_run_alone_up_to_its_end(searched):
    for run in searched.plan:
        curve, _ = records_of(searched.header.texts[0].paths[0], run.settings)
        result = searched.results()[run.key]
        length = len(result.curve["update"])
        assert result.curve == {name: values[:length] for name, values in curve.items()}
        if result.state == FINISHED:
            assert length == len(curve["update"])
        else:
            assert result.updates == result.curve["update"][-1] < 40


def test_the_storage_has_the_lowest_validation_bits_and_every_validation_loss(searched):
    search = searched.header.search
    trials = trials_of(searched)._study.get_trials()
    results = {one.trial: one for one in searched.results().values()}
    for trial in trials:
        result = results[trial.number]
        pairs = zip(result.curve["update"], result.curve["validation_nats"], strict=True)
        assert trial.intermediate_values == {
            update: bits_per_character(nats) for update, nats in pairs if nats is not None
        }
        if result.state == FINISHED:
            assert trial.value == min(trial.intermediate_values.values()) == result.bits
        assert {name: result.settings[name] for name in trial.params} == trial.params
    assert search.name == trials_of(searched)._study.study_name


def test_a_median_pruner_prunes_what_optuna_would_prune(searched):
    # Replay the trials in Optuna's own loop.
    replay = optuna.create_study(pruner=optuna.pruners.MedianPruner())
    for trial in trials_of(searched)._study.get_trials():
        asked = replay.ask()
        state = optuna.trial.TrialState.COMPLETE
        for update, bits in sorted(trial.intermediate_values.items()):
            assert state == optuna.trial.TrialState.COMPLETE  # nothing follows a pruned one
            asked.report(bits, update)
            if asked.should_prune():
                state = optuna.trial.TrialState.PRUNED
        assert state == trial.state
        replay.tell(asked, trial.value if state.name == "COMPLETE" else None, state=state)


def test_random_trials_depend_only_on_the_seed_and_their_number(searched, tmp_path):
    made = begun(tmp_path, pruner="none", trials=4)
    search_here(made)
    again = {one.trial: one.settings for one in made.files.each_result()}
    before = {run.number: run.settings for run in searched.plan}
    assert again == {number: before[number] for number in range(4)}
    spec = made.header.search.spec
    assert sampler_of(spec, 1)._rng.rng.random() != sampler_of(spec, 2)._rng.rng.random()


def test_tpe_repeats_exactly_with_one_process(tmp_path):
    found = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        made = begun(tmp_path / name, sampler="tpe", trials=20)
        search_here(made)
        found.append([(one.settings, one.curve) for one in made.files.each_result()])
    assert found[0] == found[1]


def test_trials_with_equal_settings_are_trained_once(tmp_path):
    values = search_spec(tmp_path, pruner="none", trials=6)
    del values["search"]["learning_rate"]
    made = begin_study(values, tmp_path / "study")
    answers = search_here(made)
    assert answers[-1]["finished"] == 6
    lines = list(made.files.each_result())
    assert [one.trial for one in lines] == list(range(6))
    assert len({one.key for one in lines}) == len(reopened(made).plan) == 2
    assert len({(one.key, one.seconds) for one in lines}) == 2  # a trained one takes its own time


def test_a_search_that_was_interrupted_keeps_the_number_of_trials(tmp_path):
    made = begun(tmp_path, pruner="none")
    calls = iter(range(10**6))
    search_here(made, halt=lambda: "SIGTERM" if next(calls) > 40 else None)
    found = len(reopened(made).results())
    assert 0 < found < 12
    assert reopened(made).trials_left == 12 - found
    assert summarize(reopened(made)).varied == ("cell", "learning_rate")
    search_here(made, 1)
    assert len(reopened(made).results()) == 12
    assert trials_of(made).counts().ended == 12


def test_the_trial_of_a_process_that_ended_is_given_up(tmp_path):
    made = begun(tmp_path, trials=3)
    gone = {**owner_of(2**31 - 2, "gone"), "birth": 1}
    assert trials_of(made).begin(gone, lambda: None).number == 0
    search_here(made)
    assert [one.trial for one in made.files.each_result()] == [1, 2, 3]
    assert trials_of(made).counts().ended == 3


def test_a_trial_on_another_machine_is_given_up_after_a_long_silence():
    other = {"host": "another machine", "pid": 1, "birth": 1, "worker": 0}
    assert not is_given_up(other, 1000.0, now=1000.0 + SILENT_SECONDS)
    assert is_given_up(other, 1000.0, now=1001.0 + SILENT_SECONDS)


def test_a_result_that_only_the_storage_has_is_added_to_the_journals(tmp_path):
    made = begun(tmp_path, trials=3)
    search_here(made)
    before = {one.trial: one for one in made.files.each_result()}
    (journal,) = [path for path in made.files.journals() if path.stat().st_size]
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:1]))
    assert len(reopened(made).results()) == 1
    add_missing(made.files, made.header.search, trials_of(made))
    assert {one.trial: one for one in made.files.each_result()} == before
    add_missing(made.files, made.header.search, trials_of(made))
    assert len(list(made.files.each_result())) == 3


def test_a_result_whose_process_was_killed_before_the_trial_ended_counts(tmp_path):
    made = begun(tmp_path, trials=2)
    trials = trials_of(made)
    gone = {**owner_of(2**31 - 2, "gone"), "birth": 1}
    trial = trials.begin(gone, lambda: None)
    (tmp_path / "b").mkdir()
    elsewhere = begun(tmp_path / "b", trials=1)
    search_here(elsewhere)
    result = next(elsewhere.files.each_result())
    trials._set_unless_ended(trial.trial_id, "result", result.to_dict())
    search_here(made)
    assert trials.counts().ended == 2
    assert trials.results()[0].curve == result.curve


def test_the_result_of_a_trial_that_another_process_gave_up_does_not_count(tmp_path):
    made = begun(tmp_path, trials=2)
    trials = trials_of(made)
    trial = trials.begin(owner_of(os.getpid(), "slow"), lambda: None)
    trials.give_up(lambda _: True)
    assert trials.report(trial, 10, 2.0)
    search_here(made)
    result = next(made.files.each_result())
    assert not trials.end(trial, result)
    assert [one.trial for one in trials.results()] == [1, 2]


def test_of_trials_that_began_at_the_same_moment_the_first_ones_count(tmp_path):
    made = begun(tmp_path, trials=2)
    trials = trials_of(made)
    owners = [owner_of(1, name) for name in "abc"]
    created = [trials._new(owner) for owner in owners]
    assert [number for _, number in created] == [0, 1, 2]
    # A process whose answer was lost finds its trial again.
    assert trials._new(owners[1]) == created[1]
    assert len(trials.all()) == 3


def test_a_trial_that_fails_has_a_reason(tmp_path):
    values = search_spec(tmp_path, trials=2)
    values["search"] |= {"learning_rate": [1e38, 2e38], "cell": ["rnn"]}
    made = begin_study(values, tmp_path / "study")
    search_here(made)
    results = list(made.files.each_result())
    assert {one.state for one in results} == {FAILED}
    assert all("diverges" in one.reason for one in results)
    assert trials_of(made).counts().failed == 2


def test_the_best_settings_are_repeated_with_the_other_seeds(tmp_path):
    # The worker processes load charloom and Optuna, which takes seconds.
    spec = search_spec(tmp_path, seeds=[5, 7, 9], trials=8, repeat=2)
    steps = []
    summary = study(spec, tmp_path / "study", workers=2, progress=steps.append)
    assert steps[-1].left == 0
    assert steps[-1].runs == 8 + 2 * 2
    made = open_study(tmp_path / "study")
    trials = [one for one in made.results().values() if one.trial is not None]
    assert {one.settings["seed"] for one in trials} == {5}
    finished = sorted((one for one in trials if one.state == FINISHED), key=lambda one: one.bits)
    assert {run.settings["seed"] for run in made.files.plan()} == {7, 9}
    for group, count in zip(summary.groups, [3, 3, 1], strict=False):
        assert len(group.bits) == count
    best = {group.settings["learning_rate"] for group in summary.groups[:2]}
    assert best == {one.settings["learning_rate"] for one in finished[:2]}
    assert best_of(made)[0].group.settings == summary.groups[0].settings
    again = study(spec, tmp_path / "study", workers=2, progress=steps.append)
    assert steps[-1].done_now == 0
    assert again.groups == summary.groups
    assert made.files.plan() == repeated_runs(made.files, made.header.search)


def test_the_report_and_the_files_show_pruned_trials(searched, tmp_path):
    pruned = [run for run in searched.plan if searched.results()[run.key].state == PRUNED]
    write_table(searched, tmp_path / "runs.csv")
    rows = list(csv.DictReader((tmp_path / "runs.csv").read_text().splitlines()))
    assert [row["state"] for row in rows].count("pruned") == len(pruned)
    assert f"{len(pruned)} pruned" in render_study(searched)
    assert summarize(searched).best.settings == best_of(searched)[0].group.settings


def test_a_changed_search_is_refused_until_the_change_is_accepted(tmp_path):
    made = begun(tmp_path, trials=2)
    search_here(made)
    more = search_spec(tmp_path, trials=4)
    with pytest.raises(StudyError, match="keeps its trials"):
        begin_study(more, made.path)
    changed = begin_study(more, made.path, change=True)
    assert (len(changed.plan), changed.trials_left) == (2, 2)
    search_here(changed)
    assert [one.trial for one in changed.files.each_result()] == [0, 1, 2, 3]
    other = search_spec(tmp_path, trials=4, cell=["rnn", "lstm"])
    with pytest.raises(StudyError, match="would begin without trials"):
        begin_study(other, made.path)
    assert begin_study(other, made.path, change=True).trials_left == 4


def test_a_search_whose_settings_are_not_in_alphabetical_order_continues(tmp_path):
    # study.json has the draws in alphabetical order, and the file of the user in any order.
    draws = {name: SEARCH[name] for name in ("learning_rate", "cell")}
    other = dict(reversed(draws.items()))
    for order in (draws, other):
        values = search_spec(tmp_path, trials=2)
        values["search"] = {"trials": 2, "sampler": "random", **order}
        made = begin_study(values, tmp_path / "study")
        search_here(made)
        assert reopened(made).trials_left == 0


def test_runs_that_repeat_trials_have_numbers_of_their_own(tmp_path):
    # The last trials fail, so the last finished trial has not the last number.
    made = begun(tmp_path, seeds=2, trials=6, repeat=2)
    with Journal(made.files.new_journal(0)) as journal:
        for number in range(6):
            drawn = {"cell": "rnn", "learning_rate": 0.01 + number / 100}
            run = made.header.search.run(number, drawn)
            state = FINISHED if number < 3 else FAILED
            name = made.header.search.name
            result = RunResult(run.key, state, validation_nats=1.0 + number, search=name)
            journal.append(replace(result, trial=number, settings=run.settings).to_dict())
        journal.sync()
    made.files.write_plan(repeated_runs(made.files, made.header.search))
    assert [run.number for run in reopened(made).plan] == list(range(8))


def test_a_search_without_trials_says_on_which_part_it_measures(tmp_path):
    lines = study_lines(made := begun(tmp_path), summarize(made), 9)
    assert "the lowest on the validation part; 0 runs finished" in lines[-1]


def test_the_header_of_a_search_is_read_as_it_was_written(searched):
    assert json.loads((searched.path / "study.json").read_bytes())["format"] == 2
    assert reopened(searched).header == begun(searched.path.parent).header


@pytest.mark.parametrize("pruner", ["median", "hyperband", "none"])
@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_samplers_and_pruners_work(tmp_path, sampler, pruner):
    made = begun(tmp_path, sampler=sampler, pruner=pruner)
    answers = search_here(made)
    counts = {name: answers[-1][name] for name in ("finished", "pruned", "failed")}
    assert sum(counts.values()) == 12
    assert (counts["pruned"] > 0) == (pruner != "none")


def test_a_killed_worker_is_replaced_and_its_trial_has_failed(tmp_path, monkeypatch):
    # The processes load charloom and Optuna, which takes seconds. Each ends during its second trial.
    (tmp_path / "sitecustomize.py").write_text(
        "import os\n"
        "from charloom.studies.optuna_trials import OptunaTrials as T\n"
        "end, ended = T.end, []\n"
        "def dies(self, trial, result):\n"
        "    if ended: os._exit(9)\n"
        "    ended.append(1); end(self, trial, result)\n"
        "T.end = dies\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    summary = study(search_spec(tmp_path, trials=3), tmp_path / "study", workers=1)
    assert len(summary.failures) == 1
    assert "ended unexpectedly" in summary.failures[0][1].reason
    assert len(open_study(tmp_path / "study").results()) == 3


def test_parts_and_clusters_are_refused(searched):
    for attempt in (
        lambda: array_job(searched, 4, 1),
        lambda: part_of(searched, 0, 4),
        lambda: next(searched.train(1, on="tcp://127.0.0.1:1")),
    ):
        with pytest.raises(StudyError, match="cannot be divided into parts"):
            attempt()


def test_without_optuna_the_message_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingPartError, match=r"pip install .*search"):
        study(search_spec(tmp_path), tmp_path / "study", workers=1)


def test_an_interrupted_wait_for_the_storage_ends(tmp_path):
    def fails():
        raise PASSING[0]("away")

    with pytest.raises(SearchInterrupted):
        Patience(halt=lambda: "SIGINT")(fails)
    messages = []
    with pytest.raises(StudyError, match="has not answered for"):
        Patience(messages.append, limit=0.0, pause=0.0)(fails)
    assert "does not answer (away)" in messages[0]
    attempts = iter([fails, fails, lambda: 3])
    assert Patience(messages.append, pause=0.0)(lambda: next(attempts)()) == 3
    assert messages[-1] == "the storage of the search answers again."


def test_processes_of_two_directories_share_the_trials_of_a_database(tmp_path):
    # As on two machines. The processes load charloom and Optuna, which takes seconds.
    values = search_spec(tmp_path, storage=f"sqlite:///{tmp_path}/trials.db", trials=12)
    studies = [begin_study(values, tmp_path / name) for name in ("one", "two")]
    with ThreadPoolExecutor() as threads:
        list(threads.map(lambda one: list(one.train(2)), studies))
    results = [{one.trial: one for one in made.files.each_result()} for made in studies]
    assert results[0] == results[1]
    assert len(results[0]) == 12
    assert trials_of(studies[0]).counts().ended == 12


def test_only_the_first_message_of_many_workers_is_shown(tmp_path):
    made = begun(tmp_path)
    pool = SearchPool(made.files, made.header.search, None, 2)
    said = [(0, "away"), (1, "away, too"), (0, ANSWERS_AGAIN), (1, ANSWERS_AGAIN), (1, "away")]
    heard = [list(pool._heard(number, SearchAnswer(message))) for number, message in said]
    assert [len(one) for one in heard] == [1, 0, 0, 1, 1]


@pytest.mark.parametrize(
    ("search", "words"),
    [
        ({"trials": 0}, "search.trials"),
        ({"sampler": "grid"}, "must be one of tpe, random"),
        ({"pruner": "best"}, "must be one of median, hyperband, none"),
        ({"storage": "trials.db"}, "must be the URL of a database"),
        ({"repeat": 2}, "but the study has one"),
        ({"clip": 1.0}, "search.clip is 1.0; it must be a list"),
        ({"clip": {"low": 2.0, "high": 1.0}}, "search.clip goes from 2 to 1"),
        ({"clip": [[1.0]]}, "must be a number, a string, true or false"),
        ({"validation": [0.1, 0.2]}, "cannot be compared"),
        ({"split": ["end", "streams"]}, "cannot be compared"),
        ({"hiden_size": [4, 8]}, r"search.hiden_size is unknown; did you mean hidden_size\?"),
        ({"trails": 3}, r"search.trails is unknown; did you mean trials\?"),
        ({"colour": 3}, "the section has trials, sampler,.* and repeat, and the settings are"),
        ({"layers": [1, -1]}, "layers"),
        ({"seed_": 1}, r"search.seed_ is unknown; did you mean seed\?"),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(tmp_path, search, words):
    with pytest.raises(ConfigError, match=words):
        begun(tmp_path, **search)


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"grid": {"clip": [1.0]}}, "sections search and grid"),
        ({"runs": [{"clip": 1.0}]}, "sections search and runs"),
        ({"random": {"draws": 2, "clip": [1.0]}}, "sections search and random"),
        ({"texts": ["a", "b"]}, "give one text"),
        ({"keep": {"directories": "all"}}, "have no run directories"),
        ({"search": {"trials": 3}}, "draws no setting"),
        ({"search": {"clip": [1.0]}}, "how many trials"),
        ({"settings": {"updates": 40}}, "have no validation part"),
        ({"settings": {**SETTINGS, "save_every": 10}}, "keep no checkpoints; leave out save_every"),
        ({"settings": {**SETTINGS, "judge_every": 40}}, "cannot prune runs of 40 updates"),
    ],
)
def test_sections_that_do_not_go_with_a_search_are_refused(tmp_path, sections, words):
    values = {**search_spec(tmp_path), **sections}
    if "texts" in sections:
        del values["text"]
    with pytest.raises(ConfigError, match=words):
        begin_study(values, tmp_path / "study")


def test_a_storage_that_is_missing_is_explained(tmp_path, monkeypatch):
    monkeypatch.setattr("charloom.studies.search_training.OPENING_SECONDS", 0.0)
    spec = search_spec(tmp_path, storage="postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(charloom.CharloomError, match="the storage of the search has not answered"):
        study(spec, tmp_path / "study", workers=1)
    spec = search_spec(tmp_path, storage="nonsense://a")
    with pytest.raises(ConfigError, match="is not the URL of a database"):
        study(spec, tmp_path / "other", workers=1)
