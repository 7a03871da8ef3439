// Copies links to a view with its settings. A link that is too long has no text, because some programs cut it off.
import { copy } from "./dom.js";

const LONGEST = 2000; // characters of a link

/** Return the link to a view with settings. */
function linkTo(view, settings) {
  return `${location.origin}/#/${view}?${new URLSearchParams(settings)}`;
}

/**
 * Copy a link to a view. If the link would be too long, leave out the setting `name`, which is a text, and say so.
 * `words` is what the page calls this text.
 */
export function copyLink(view, settings, name, words) {
  const { [name]: text, ...others } = settings;
  const whole = linkTo(view, settings);
  if (whole.length <= LONGEST || !text) return copy(whole, "Link");
  return copy(linkTo(view, others), "Link", `It does not contain the ${words}, which is too long for a link.`);
}
