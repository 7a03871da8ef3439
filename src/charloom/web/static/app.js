// Starts the page: shows the view that the address names, switches between light and dark colours, and shows whether
// the server answers.
import { get } from "./api.js";
import { byId, put } from "./dom.js";
import { Inside } from "./inside.js";
import { Journals } from "./journal.js";
import { Learning } from "./learning.js";
import { Live } from "./live.js";
import { Models } from "./models.js";
import { Playground } from "./playground.js";
import { Runs } from "./runs.js";
import { Studies } from "./studies.js";
import { Study } from "./study.js";

const live = new Live();
const journals = new Journals(live);
const models = new Models(live);

/** Open a view with settings, in the same way as a link to it. */
function go(view, settings = {}) {
  const query = new URLSearchParams(settings).toString();
  location.hash = `#/${view}${query ? `?${query}` : ""}`;
}

const FOLLOWED = "followed"; // the state of a history entry whose link has been applied
const views = {
  runs: new Runs(live, journals, models, go),
  learning: new Learning(live, journals, go),
  playground: new Playground(models, go),
  inside: new Inside(models),
  studies: new Studies(),
  study: new Study(),
};
const ABOVE = { study: "studies" }; // the view whose link is marked while another view without a link is shown

const followed = {}; // the last applied link of each view

function route() {
  const [name, query = ""] = location.hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  const view = Object.hasOwn(views, name) ? name : "runs";
  for (const other of Object.keys(views)) {
    const shown = other === view;
    const section = byId(`view-${other}`);
    if (!shown && !section.hidden) views[other].hide();
    section.hidden = !shown;
  }
  for (const link of document.querySelectorAll(".views [data-view]")) {
    if (link.dataset.view === (ABOVE[view] ?? view)) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${byId(`title-${view}`).textContent} – charloom`;
  // When the user goes back to a view, the view's link must not overwrite later changes of the user. A click on the
  // link applies its settings again.
  const again = followed[view] === query && history.state === FOLLOWED;
  if (query) {
    followed[view] = query;
    history.replaceState(FOLLOWED, "");
  }
  views[view].show(Object.fromEntries(new URLSearchParams(query)), again);
}

function themes() {
  const names = ["system", "light", "dark"];
  const labels = { system: "same as the system", light: "light", dark: "dark" };
  const button = byId("theme");
  const set = (name) => {
    if (name === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = name;
    button.setAttribute("aria-label", `Colours: ${labels[name]}`);
    button.title = `Colours: ${labels[name]}`;
    put(button.firstElementChild, { system: "◐", light: "☀", dark: "☾" }[name]);
    document.dispatchEvent(new Event("themechange"));
  };
  let now = names.includes(localStorage.getItem("theme")) ? localStorage.getItem("theme") : "system";
  button.addEventListener("click", () => {
    now = names[(names.indexOf(now) + 1) % names.length];
    localStorage.setItem("theme", now);
    set(now);
  });
  set(now);
}

async function about() {
  try {
    const server = await get`/api/about`;
    put(byId("about"), `charloom ${server.version} · ${server.engine}`);
    put(byId("runs-folder"), `in the folder ${server.folder}`);
    for (const view of Object.values(views)) view.about?.(server);
    live.open(server.limits.followed);
  } catch (error) {
    byId(error.status ? "crowded" : "gone").hidden = false;
    setTimeout(about, 2000);
  }
}

themes();
byId("copy-close").addEventListener("click", () => byId("copy-dialog").close());
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the part after # names a view
  byId("main").focus();
});
live.on("answering", (answers) => (byId("gone").hidden = answers));
live.on("crowded", (crowded) => (byId("crowded").hidden = !crowded));
addEventListener("hashchange", route);
route();
live.follow("page", []);
about();
