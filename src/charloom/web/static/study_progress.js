// Says how far a study is, for the list of studies and the view of one study.
import { counted, duration, integer, put } from "./dom.js";

/** Return how many runs have a result. */
export const doneOf = (study) => study.finished + study.failed + study.pruned;

/** Return how far a study is as text, such as "12 of 27 runs · 1 failed · 2 running · 3 min 05 s left". */
export function progressText(study) {
  const parts = [`${integer(study.finished)} of ${counted(study.runs, "run")} finished`];
  if (study.pruned) parts.push(`${integer(study.pruned)} pruned`);
  if (study.failed) parts.push(`${integer(study.failed)} failed`);
  if (study.running) parts.push(`${integer(study.running)} running`);
  if (study.seconds_left !== null) parts.push(`about ${duration(study.seconds_left)} left`);
  return parts.join(" · ");
}

/** Show how far a study is in a progress bar, a text beside it, and a badge with the state. */
export function showProgress(study, bar, text, badge) {
  bar.max = study.runs || 1;
  bar.value = doneOf(study);
  put(text, study.runs ? progressText(study) : "");
  badge.dataset.state = study.state;
  badge.hidden = false;
  put(badge, study.state);
}

/** Return a function that calls `load` now and then again after a pause, while `start` was called and `stop` was not. */
export function repeating(load) {
  let timer = null;
  let round = 0;
  const turn = async (mine) => {
    const soon = document.hidden ? false : await load(() => mine === round);
    if (mine === round) timer = setTimeout(() => turn(mine), soon ? 100 : 2000);
  };
  return {
    start() {
      clearTimeout(timer);
      round += 1;
      turn(round);
    },
    stop() {
      clearTimeout(timer);
      round += 1;
    },
  };
}
