/**
 * Building elements from data, safely: text only ever becomes text, addresses only ever http(s).
 * @module dom
 */

const SVG = "http://www.w3.org/2000/svg";

const ICONS = {
  like: "M7 21H4V10h3m0 11V10l4.5-7c1.5 0 2.5 1 2.5 2.6L13 9h5.6c1.3 0 2.2 1.2 1.9 2.5l-1.6 7.5a2.4 2.4 0 0 1-2.4 2H7",
  dislike:
    "M17 3h3v11h-3m0-11v11l-4.5 7c-1.5 0-2.5-1-2.5-2.6L11 15H5.4c-1.3 0-2.2-1.2-1.9-2.5L5.1 5a2.4 2.4 0 0 1 2.4-2H17",
  hide: "M5 5l14 14M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18",
  refresh: "M20 11a8 8 0 1 0-2.3 5.7M20 4v7h-7",
  close: "M5 5l14 14M19 5L5 19",
  settings: "M4 7h10m4 0h2M4 17h2m4 0h10M16 4.5v5M8 14.5v5",
  reader: "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8M4.5 21c.6-4 3.6-6 7.5-6s6.9 2 7.5 6",
  keyboard: "M3 6h18v12H3zM7 10h.01M11 10h.01M15 10h.01M8 14h8",
};

/**
 * Make an element.
 * @param {string} tag  name with optional classes: "p.byline.muted"
 * @param {Object<string, any>} [attributes]  `onclick` and the like are listeners; null and false
 *   leave an attribute out
 * @param {...(Node|string|null|false)} children  strings become text nodes
 * @returns {HTMLElement}
 */
export function el(tag, attributes = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const element = document.createElement(name);
  if (classes.length) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(attributes)) {
    if (value == null || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child != null && child !== false));
  return element;
}

/** A drawn icon, hidden from screen readers. @param {keyof typeof ICONS} name */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/** Words for screen readers only. @param {string} words */
export function spoken(words) {
  return el("span.spoken", {}, words);
}

/**
 * The address if a link may go there, else null: `javascript:` and its kind never become links.
 * @param {?string} address
 */
export function safeLink(address) {
  return withProtocol(address, ["http:", "https:"]);
}

/** The address if a picture may come from there, else null. @param {?string} address */
export function safeImage(address) {
  return withProtocol(address, ["http:", "https:", "data:"]);
}

function withProtocol(address, protocols) {
  if (!address) return null;
  try {
    const url = new URL(address, document.baseURI);
    return protocols.includes(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}

const STEPS = [
  ["year", 31_536_000],
  ["month", 2_592_000],
  ["week", 604_800],
  ["day", 86_400],
  ["hour", 3600],
  ["minute", 60],
];
const RELATIVE = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const ABSOLUTE = new Intl.DateTimeFormat("en-GB", { dateStyle: "full", timeStyle: "short" });

function relativeTime(iso) {
  const seconds = (Date.parse(iso) - Date.now()) / 1000;
  const [unit, size] = STEPS.find(([, length]) => Math.abs(seconds) >= length) ?? [];
  return unit ? RELATIVE.format(Math.round(seconds / size), unit) : "just now";
}

/** A `<time>` that says how long ago, with the exact moment behind it. @param {string} iso */
export function timeAgo(iso) {
  const moment = new Date(iso);
  if (Number.isNaN(moment.getTime())) return el("time", {});
  return el("time", { datetime: iso, title: ABSOLUTE.format(moment) }, relativeTime(iso));
}

/** Bring every relative time on the page up to date. */
export function refreshTimes() {
  for (const time of document.querySelectorAll("time[datetime]")) {
    time.textContent = relativeTime(time.dateTime);
  }
}

/**
 * Attributes that say in which language an article's words are; direction follows the words.
 * @param {{language: string}} article
 */
export function languageOf(article) {
  return { lang: article.language || null, dir: "auto" };
}

const announcer = document.getElementById("announcer");

/** Tell screen readers what happened. @param {string} words */
export function announce(words) {
  announcer.textContent = words;
}
