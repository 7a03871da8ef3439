// The list of runs, as it changes.
const list = document.getElementById("runs");
const hint = document.getElementById("hint");

function line(run) {
  const item = document.createElement("li");
  const bits = run.bits === null ? "" : `, ${run.bits.toFixed(3)} bits per character`;
  item.textContent = `${run.name}: ${run.state}, update ${run.update ?? 0} of ${run.updates ?? "?"}${bits}`;
  return item;
}

new EventSource("/api/stream").addEventListener("runs", (event) => {
  const { runs } = JSON.parse(event.data);
  list.replaceChildren(...runs.map(line));
  hint.textContent = runs.length ? "" : "No runs yet: charloom train book.txt makes one.";
});
