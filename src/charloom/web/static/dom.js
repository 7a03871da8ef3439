// Makes elements from plain data, and writes numbers for people. Text goes in as text, never as markup. It
// knows nothing of charloom.

/** An element: its tag, properties (or attributes where a name has a dash, or none fits), children. */
export function el(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "class") made.className = value;
    else if (name === "data") Object.assign(made.dataset, value);
    else if (name.includes("-") || !(name in made) || name === "list" || name === "form") {
      made.setAttribute(name, value);
    } else made[name] = value;
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

/** The element of an id. */
export const byId = (id) => document.getElementById(id);

/** Put text into an element where it differs, so that nothing is drawn anew without need. */
export function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** A path as one word for a shell: never an option, and control characters as octal codes in $'…'. */
export function shellWord(path) {
  const text = path.startsWith("-") && path !== "-" ? `./${path}` : path;
  if (/^[\w@%+=:,./-]+$/.test(text)) return text;
  if (!/\p{C}/u.test(text)) return `'${text.replaceAll("'", `'"'"'`)}'`;
  const octal = (character) =>
    [...new TextEncoder().encode(character)].map((byte) => `\\${byte.toString(8).padStart(3, "0")}`).join("");
  const escaped = (character) => (/['\\]/.test(character) ? `\\${character}` : /\p{C}/u.test(character) ? octal(character) : character);
  return `$'${[...text].map(escaped).join("")}'`;
}

/** Whether a run in some state has gone wrong, so that its reason is a problem. */
export const wrong = (state) => ["failed", "damaged", "newer"].includes(state);

/** A whole number with its thousands set apart. */
export const whole = (value) =>
  Number.isFinite(value) ? Math.round(value).toLocaleString("en") : "–";

/** A number with so many digits after the point. */
export const fixed = (value, digits = 3) =>
  value === null || value === undefined || !Number.isFinite(value) ? "–" : value.toFixed(digits).replace("-", "−");

/** A number of any size, in few digits. */
export function short(value, digits = 3) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e6)) {
    return value.toExponential(digits - 1);
  }
  return String(Number(value.toPrecision(digits)));
}

/** A time in seconds as two of its largest units. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "–";
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${String(s % 60).padStart(2, "0")} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${String(Math.floor((s % 3600) / 60)).padStart(2, "0")} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

/** A size in bytes. */
export function bytes(value) {
  if (!Number.isFinite(value)) return "";
  if (value < 1e3) return `${value} B`;
  if (value < 1e6) return `${Math.round(value / 1e3)} KB`;
  return `${(value / 1e6).toFixed(1)} MB`;
}

/** A character so that it can be seen. */
export function visible(character) {
  const names = { " ": "␣", "\n": "⏎", "\t": "⇥", "\r": "␍", "\u00a0": "⍽" };
  if (character in names) return names[character];
  return character < " " || character === "\u007f"
    ? `U+${character.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}`
    : character;
}

/** Say something to those who listen instead of look. */
export function say(text) {
  put(byId("spoken"), text);
}

/** Show for a moment that something was done, and say it. */
export function toast(text) {
  const shown = byId("toast");
  put(shown, text);
  shown.classList.add("shown");
  say(text);
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => shown.classList.remove("shown"), 2600);
}

/** Copy a text, and say so; where the browser refuses, say that. */
export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    toast(`${what} copied`);
  } catch {
    toast(`This browser does not allow a page to copy. Select the ${what.toLowerCase()} and copy it yourself.`);
  }
}

/** Save something as a file. */
export function save(content, name, type = "text/plain;charset=utf-8") {
  const url = URL.createObjectURL(new Blob([content], { type }));
  el("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

/** What does something at most once in so many milliseconds, and the last time it was asked to. */
export function seldom(milliseconds, action) {
  let timer = null;
  let last = -Infinity;
  return () => {
    if (timer !== null) return;
    timer = setTimeout(() => {
      timer = null;
      last = performance.now();
      action();
    }, Math.max(0, last + milliseconds - performance.now()));
  };
}
