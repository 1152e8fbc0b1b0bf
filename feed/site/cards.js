/**
 * One article in the feed, drawn from a feed item.
 * @module cards
 */

import { el, icon, languageOf, safeImage, spoken, timeAgo } from "./dom.js";
import { moreOnThis } from "./story.js";
import { wishButtons } from "./wishes.js";

const LABELS = {
  trending: "Trending",
  ai_generated: "AI-generated",
  ai_assisted: "AI-assisted",
  editors_pick: "Editor’s pick",
  sponsored: "Sponsored",
  retracted: "Withdrawn by its publisher",
};

/** The address of an article on this page. @param {string} articleId */
export function articleHash(articleId) {
  return `#article=${encodeURIComponent(articleId)}`;
}

/** The words for a code: known ones from the list, others spelt out. @param {string} code */
function labelWords(code) {
  if (LABELS[code]) return LABELS[code];
  const words = code.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** What the publisher and the counters say of an article, as small labels. */
export function labelList(labels) {
  if (!labels?.length) return null;
  const known = (code) => (LABELS[code] ? `label-${code}` : "label-other");
  return el(
    "ul.labels",
    { "aria-label": "Labels" },
    ...labels.map((code) => el(`li.label.${known(code)}`, {}, labelWords(code))),
  );
}

/** Why the article is here. */
export function reasonList(reasons) {
  if (!reasons?.length) return null;
  return el(
    "ul.reasons",
    { "aria-label": "Why you see this" },
    ...reasons.map(({ text }) => el("li.reason", { dir: "auto" }, text)),
  );
}

/** Source, author and age in one line. */
export function byline(article) {
  const parts = [
    article.source && el("span.source", { dir: "auto" }, article.source),
    article.published_at && timeAgo(article.published_at),
    article.language && article.language !== "en" && languageName(article.language),
  ].filter(Boolean);
  return el("p.byline", {}, ...parts.flatMap((part, i) => (i ? [" · ", part] : [part])));
}

function languageName(code) {
  try {
    return new Intl.DisplayNames(["en"], { type: "language" }).of(code);
  } catch {
    return code; // not a language tag: show what the publisher sent
  }
}

/** A picture if the article has one; one that does not load goes away. */
export function picture(article, { eager = false } = {}) {
  const source = safeImage(article.image_url);
  if (!source) return null;
  const image = el("img.picture", {
    src: source,
    alt: "",
    loading: eager ? "eager" : "lazy",
    decoding: "async",
    referrerpolicy: "no-referrer",
  });
  image.addEventListener("error", () => image.remove());
  return image;
}

/**
 * The disclosure, with the sentence about AI in a line of its own.
 * @param {string} disclosure
 * @returns {HTMLElement[]}
 */
export function disclosureLines(disclosure) {
  const experimental = "Generative AI is experimental.";
  if (!disclosure) return [];
  if (!disclosure.endsWith(experimental)) return [el("p.disclosure", {}, disclosure)];
  const first = disclosure.slice(0, -experimental.length).trim();
  return [
    first && el("p.disclosure", {}, first),
    el("p.disclosure.experimental", {}, experimental),
  ].filter(Boolean);
}

/** A text without the sentences that another one says already. */
function withoutSentences(text, said) {
  const sentences = (words) => words.split(/(?<=\.)\s+/);
  const known = new Set(sentences(said));
  return sentences(text ?? "")
    .filter((sentence) => !known.has(sentence))
    .join(" ");
}

/**
 * @typedef {object} CardActions
 * @property {(entry: CardEntry) => void} open
 * @property {(entry: CardEntry) => void} hide
 * @property {(kind: "more"|"fewer"|"mute", entry: CardEntry) => void} wish
 * @property {(section: string) => void} chooseSection
 * @property {(storyId: string) => Promise<import("./client/api.js").Story>} getStory
 */

/**
 * @typedef {object} CardEntry
 * @property {import("./client/api.js").FeedItem} item
 * @property {string} requestId
 * @property {number} place  where it stands on the page, from 0
 * @property {HTMLElement} [card]
 */

/**
 * @param {CardEntry} entry
 * @param {object} page
 * @param {import("./reactions.js").Reactions} page.reactions
 * @param {CardActions} page.actions
 * @param {string} page.notice  what the feed already says at its head is not said on each card
 * @returns {HTMLElement}
 */
export function renderCard(entry, { reactions, actions, notice }) {
  const { item, requestId, place } = entry;
  const { article } = item;
  const titleId = `headline-${place}`;
  const open = (event) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    actions.open(entry);
  };
  const headline = el(
    "h2.headline",
    { id: titleId, ...languageOf(article) },
    el("a", { href: articleHash(article.article_id), onclick: open }, article.title),
  );
  const disclosure = withoutSentences(item.disclosure, notice);
  const card = el(
    place === 0 ? "article.card.lead" : "article.card",
    { tabindex: "-1", "aria-labelledby": titleId, "aria-posinset": place + 1, "aria-setsize": -1 },
    picture(article, { eager: place === 0 }),
    kicker(item, actions),
    headline,
    el(
      "div.card-text",
      {},
      article.standfirst && el("p.standfirst", languageOf(article), article.standfirst),
      byline(article),
      reasonList(item.reasons),
      moreOnThis(item, actions.getStory),
      disclosure && el("p.disclosure", {}, disclosure),
    ),
    place === 0 && excerpt(article),
    footer(entry, titleId, reactions, actions),
  );
  card.dataset.article = article.article_id;
  card.dataset.request = requestId;
  return card;
}

/** The beginning of the first article's text, where it has no picture and the window is wide. */
function excerpt(article) {
  const beginning = (article.body ?? "").trim().split(/\n\s*\n/)[0];
  if (!beginning || article.image_url) return null;
  return el("p.excerpt", languageOf(article), beginning);
}

function kicker({ article, labels }, { chooseSection }) {
  const section =
    article.section &&
    el(
      "button.section",
      {
        type: "button",
        "aria-label": `Only ${article.section}`,
        onclick: () => chooseSection(article.section),
      },
      article.section,
    );
  return el("div.kicker", {}, section, labelList(labels));
}

function footer(entry, titleId, reactions, { hide, wish }) {
  const { item, requestId } = entry;
  const slotOf = () => ({ requestId, position: item.position });
  const notInterested = el(
    "button.quiet.hide",
    { type: "button", "aria-describedby": titleId, onclick: () => hide(entry) },
    icon("hide"),
    "Not interested",
  );
  return el(
    "div.actions",
    {},
    reactions.buttons(item.article.article_id, titleId, slotOf),
    notInterested,
    wishButtons(titleId, (kind) => wish(kind, entry)),
  );
}

/**
 * What stands in the place of an article the reader does not want.
 * @param {CardEntry} entry  whose card's name it takes over
 * @param {{undo: () => void, muteSection: () => void}} actions
 */
export function renderHidden({ item, card }, { undo, muteSection }) {
  const { section, title } = item.article;
  return el(
    "div.hidden-note",
    {},
    el(
      "p",
      { id: card.getAttribute("aria-labelledby") },
      "Hidden: ",
      el("cite", languageOf(item.article), title),
    ),
    el("button.text", { type: "button", onclick: undo }, "Undo"),
    section &&
      el("button.text", { type: "button", onclick: muteSection }, `Mute everything in ${section}`),
  );
}

/** Grey shapes where articles will be. @param {number} count */
export function renderSkeletons(count) {
  const bar = (kind) => el(`span.bar.${kind}`);
  const one = (i) =>
    el(
      i === 0 ? "div.card.skeleton.lead" : "div.card.skeleton",
      { "aria-hidden": "true" },
      ...["short", "title", "title", "line", "line"].map(bar),
    );
  return Array.from({ length: count }, (_, i) => one(i));
}

/** Words for screen readers when an article was read. */
export function markRead(card) {
  if (card.classList.contains("read")) return;
  card.classList.add("read");
  card.querySelector(".byline")?.append(" · ", el("span.read-mark", {}, spoken("You "), "Read"));
}
