// Copies links to a view with its settings. A link that is too long has no text, because some programs cut it off.
import { copy } from "./dom.js";

const LONGEST = 2000; // characters of a link

/** Return the link to a view with settings. */
function linkTo(view, settings) {
  return `${location.origin}/#/${view}?${new URLSearchParams(settings)}`;
}

/**
 * Copy a link to a view. If the link would be too long, leave out settings that are texts, the longest first, and say so.
 * `texts` has the names of these settings, with what the page calls each.
 */
export function copyLink(view, settings, texts) {
  const kept = { ...settings };
  const left = [];
  for (const name of Object.keys(texts).sort((a, b) => settings[b].length - settings[a].length)) {
    if (linkTo(view, kept).length <= LONGEST) break;
    delete kept[name];
    left.push(texts[name]);
  }
  const are = left.length > 1 || left[0]?.endsWith("s") ? "are" : "is";
  return copy(linkTo(view, kept), "Link", left.length ? `It does not contain the ${left.join(" and the ")}, which ${are} too long for a link.` : "");
}
