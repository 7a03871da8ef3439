// Creates elements of the page, and formats numbers. Text is always inserted as text, never as markup. This module does
// not depend on the rest of the page.

/**
 * Create an element. Each entry of `properties` becomes a property of the element. It becomes an attribute if its
 * name has a dash, or if the element has no such property.
 */
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

/** Return the element with an id. */
export const byId = (id) => document.getElementById(id);

/** Set the text of an element if it differs, so that the browser does not draw it again needlessly. */
export function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Return a path in quotes, so that a shell reads it as one word and not as an option. Control characters become octal
 * codes in $'…'.
 */
export function shellWord(path) {
  const text = path.startsWith("-") && path !== "-" ? `./${path}` : path;
  if (/^[\w@%+=:,./-]+$/.test(text)) return text;
  if (!/\p{C}/u.test(text)) return `'${text.replaceAll("'", `'"'"'`)}'`;
  const octal = (character) =>
    [...new TextEncoder().encode(character)].map((byte) => `\\${byte.toString(8).padStart(3, "0")}`).join("");
  const escaped = (character) => (/['\\]/.test(character) ? `\\${character}` : /\p{C}/u.test(character) ? octal(character) : character);
  return `$'${[...text].map(escaped).join("")}'`;
}

/** Return true if a state means an error, so that the reason of the run is shown as a problem. */
export const isErrorState = (state) => ["failed", "damaged", "newer", "unreadable"].includes(state);

/** Return true if a process trains a run in this state, or is starting to train it. */
export const isGoing = (state) => ["starting", "training", "paused"].includes(state);

/** Format an integer with thousands separators. */
export const integer = (value) =>
  Number.isFinite(value) ? Math.round(value).toLocaleString("en") : "–";

/** Format a count with its noun: 1 run, 2,000 runs. */
export const counted = (count, noun) => `${integer(count)} ${noun}${count === 1 ? "" : "s"}`;

/** Format a number with `digits` decimals and thousands separators. */
export function fixed(value, digits = 3) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const shape = { minimumFractionDigits: digits, maximumFractionDigits: digits };
  return value.toLocaleString("en", shape).replace("-", "−");
}

/** Format a number of any size with few digits. */
export function short(value, digits = 3) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e6)) {
    return value.toExponential(digits - 1);
  }
  return String(Number(value.toPrecision(digits)));
}

/** Format seconds with the two largest units, such as 2 h 05 min. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "–";
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${String(s % 60).padStart(2, "0")} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${String(Math.floor((s % 3600) / 60)).padStart(2, "0")} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

/** Format a size in bytes. */
export function bytes(value) {
  if (!Number.isFinite(value)) return "";
  if (value < 1e3) return `${value} B`;
  if (value < 1e6) return `${Math.round(value / 1e3)} KB`;
  return `${fixed(value / 1e6, 1)} MB`;
}

/** Return a visible symbol for a character: ␣ for a space, ⏎ for a line end. */
export function visible(character) {
  const names = { " ": "␣", "\n": "⏎", "\t": "⇥", "\r": "␍", "\u00a0": "⍽" };
  if (character in names) return names[character];
  return character < " " || character === "\u007f"
    ? `U+${character.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}`
    : character;
}

/** Scroll an element into view if it is not in view: smoothly, unless the user prefers less motion. */
export function reveal(element) {
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  element.scrollIntoView({ block: "nearest", behavior: still ? "instant" : "smooth" });
}

/**
 * Enable a button. If it had the keyboard focus when it was disabled, the browser has removed the focus from it and from
 * every other element. Then give it the focus again.
 */
export function enable(button) {
  button.disabled = false;
  if (document.activeElement === document.body || !document.activeElement) button.focus();
}

/** Announce a text to screen readers. */
export function say(text) {
  put(byId("spoken"), text);
}

/** Show a message for a moment, and announce it. */
export function toast(text) {
  const shown = byId("toast");
  put(shown, text);
  shown.classList.add("shown");
  say(text);
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => shown.classList.remove("shown"), 2600);
}

/**
 * Copy a text to the clipboard. If the browser does not allow it, show the text selected, so that the user can copy it.
 * `name` is "Text" or "Link". `note` is a sentence that is shown too; it may be empty.
 */
export async function copy(text, name, note = "") {
  try {
    await navigator.clipboard.writeText(text);
    toast(note ? `${name} copied. ${note}` : `${name} copied`);
  } catch {
    const sentence = `This browser does not allow a page to copy. The ${name.toLowerCase()} is selected: copy it with Ctrl + C or ⌘ + C.`;
    put(byId("copy-hint"), note ? `${sentence} ${note}` : sentence);
    const field = byId("copy-text");
    field.value = text;
    byId("copy-dialog").showModal();
    field.select();
    field.scrollTop = 0;
  }
}

/** Return a name for a file with the text of a model. The browser may ask the user to confirm it. */
export function textFileName(model) {
  const plain = model.replace(/[^\p{L}\p{M}\p{N}._]+/gu, "-").replace(/^[-.]+|[-.]+$/g, "");
  return `${plain.replace(/\.safetensors$/, "").slice(0, 80) || "charloom"}.txt`;
}

/** Let the browser save `content` as a file. */
export function save(content, name, type = "text/plain;charset=utf-8") {
  const url = URL.createObjectURL(new Blob([content], { type }));
  el("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

/**
 * Return a function that runs `action` soon after each call, but at most once in `milliseconds`. Several calls in that
 * time run `action` once.
 */
export function throttled(milliseconds, action) {
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
