/**
 * The reader's page: joins the feed, the article, the trending column and the dialogs.
 * @module page
 */

import { Account, rememberedToken, siteKey } from "./account.js";
import { ArticleView, slotOf } from "./article.js";
import { keyForm, rememberedKey } from "./api-key.js";
import { ImpressionTracker } from "./client/attention.js";
import { announce, el, icon, refreshTimes } from "./dom.js";
import { factsOf, noticeOf } from "./facts.js";
import { FeedClient } from "./client/feed-client.js";
import { FeedList } from "./feed-list.js";
import { Keyboard } from "./keyboard.js";
import { Catalogue, PreferencesPanel, sorted } from "./preferences.js";
import { Reactions } from "./reactions.js";
import { newReaderId, ReaderPicker } from "./readers.js";
import { TopicStep } from "./topics.js";
import { TrendingColumn } from "./trending.js";
import { ask } from "./wishes.js";

const $ = (selector) => document.querySelector(selector);

/** How long a feed fetched in the background may wait for the reader to look at it. */
const PEEK_KEEPS_MS = 60_000;

/** With a site key the page reads with readers' tokens, as a news site's own front end would. */
const givesTokens = siteKey() !== "";

const client = new FeedClient({
  ...(givesTokens
    ? { siteKey: siteKey(), token: rememberedToken() }
    : { userId: "", headers: rememberedKey() }),
  onReader: changeReader,
  context: {
    platform: "web",
    device: matchMedia("(max-width: 44rem)").matches ? "mobile" : "desktop",
  },
  onRejected: (event, detail) => {
    reactions.takeBack(event);
    announce(`The service refused that: ${detail}`);
  },
});
const known = { reader: null };
const catalogue = new Catalogue();
const reactions = new Reactions(client);
const tracker = new ImpressionTracker(client);

const feed = new FeedList({
  list: $("#feed"),
  state: $("#feed-state"),
  client,
  tracker,
  reactions,
  actions: {
    open: openEntry,
    hide: hideEntry,
    wish: wishFor,
    chooseSection,
    getStory: (storyId) => client.getStory(storyId),
  },
  onServed: describeFeed,
  onTrouble: ({ offline, message }) =>
    offerInPill(offline ? "The feed cannot be reached." : message, "Try again", refresh),
  onUnauthorized,
});
const reader = new ArticleView({
  dialog: $("#article"),
  client,
  reactions,
  onOpen: () => tracker.setPaused(true),
  onClose: afterReading,
});
const trending = new TrendingColumn({
  list: $("#trending-list"),
  note: $("#trending-note"),
  client,
  learn,
  open: (reading) => reader.open(reading),
});
const picker = givesTokens
  ? null
  : new ReaderPicker({ dialog: $("#readers"), button: $("#reader-button"), onChoose: seat });
const account = givesTokens
  ? new Account({
      dialog: $("#account"),
      button: $("#reader-button"),
      note: $("#account-note"),
      client,
      onReturned: startOver,
    })
  : null;
const preferences = new PreferencesPanel({
  dialog: $("#preferences"),
  button: $("#preferences-button"),
  client,
  catalogue,
  onChanged: () => startOver(),
  onErased: () => (account ? account.signOut() : seat(newReaderId())),
});

const topics = new TopicStep({
  place: $("#topics"),
  client,
  catalogue,
  who: () => (account ? "" : client.userId),
  onDone: afterTopics,
});

/** A reader sits down. @param {string} userId */
function seat(userId) {
  client.userId = userId;
  picker.remember(userId);
  forgetReader();
  startOver();
}

/** The client knows who reads: at first, after a sign-in, after a sign-out. */
function changeReader() {
  account.name();
  if (known.reader !== null) {
    forgetReader();
    startOver();
  }
  known.reader = client.userId;
}

/** Forget what the page knows of the reader who goes. */
function forgetReader() {
  $("#account-note").hidden = true;
  reactions.clear();
  feed.forgetReader();
  topics.close();
}

/** A new reader has chosen topics, or none. */
async function afterTopics(followed) {
  if (followed) await refresh();
  $("#feed").focus({ preventScroll: true });
  if (followed) announce("Saved. This is your feed.");
}

/** What stands in the place of a feed that was refused; null if nothing can be done about it. */
function onUnauthorized() {
  if (!account) return keyForm(client, startOver);
  return client.isGuest ? null : account.ended();
}

/** Another feed: another reader, order or section. */
function startOver() {
  dismissPill();
  trending.load();
  scrollTo({ top: 0 });
  return feed.reload();
}

/** The same feed, anew. */
async function refresh() {
  dismissPill();
  trending.load();
  scrollTo({ top: 0 });
  await feed.refresh();
}

function openEntry({ item, requestId }) {
  reader.open({ item, requestId, position: item.position });
}

function hideEntry(entry) {
  const { item, requestId } = entry;
  const { article } = item;
  const slot = { requestId, position: item.position };
  const record = (kind) => {
    client.record(kind, article.article_id, slot);
    client.flush();
    markStale();
  };
  record("hide");
  announce("Hidden. Undo is available.");
  feed.hide(entry, {
    undo: () => {
      record("unhide");
      announce("Back again");
    },
    muteSection: async () => {
      try {
        await preferences.muteSection(article.section);
        refresh();
      } catch (problem) {
        announce(`That did not work: ${problem.message}`);
      }
    },
  });
}

async function wishFor(kind, { item }) {
  try {
    await ask(client, kind, item.article.article_id);
    await refresh();
  } catch (problem) {
    announce(`That did not work: ${problem.message}`);
  }
}

/** Reading changes the feed: look whether it did, and offer the new one without pushing it. */
async function afterReading({ item }) {
  tracker.setPaused(false);
  feed.markRead(item.article.article_id);
  if (feed.query.mode !== "personalized") return;
  const userId = client.userId;
  let next;
  try {
    next = await feed.peek();
  } catch {
    markStale(); // the feed on the page stays; the button still refreshes
    return;
  }
  const standing = new Set(feed.articleIds.slice(0, next.items.length));
  const fresh = next.items.filter(({ article }) => !standing.has(article.article_id)).length;
  const moved = next.items.some(({ article }, i) => article.article_id !== feed.articleIds[i]);
  if (userId === client.userId && (fresh || moved)) offerUpdate(next, fresh);
}

function offerUpdate(next, fresh) {
  const fetchedAt = Date.now();
  const words =
    fresh === 0 ? "a new order" : fresh === 1 ? "1 other article" : `${fresh} other articles`;
  const show = () => {
    if (Date.now() - fetchedAt > PEEK_KEEPS_MS) {
      refresh();
      return;
    }
    dismissPill();
    scrollTo({ top: 0 });
    feed.show(next);
    $("#feed").firstElementChild?.focus({ preventScroll: true });
  };
  offerInPill(`Your feed has changed: ${words}.`, "Show", show);
}

/** A line over the feed with something to press. */
function offerInPill(text, action, onclick) {
  const button = el(
    "button.solid",
    { type: "button", onclick },
    `${text} `,
    el("span.go", {}, action),
  );
  $("#update").replaceChildren(button);
  announce(text);
}

function dismissPill() {
  $("#update").replaceChildren();
}

function markStale() {
  $("#refresh-button").classList.add("stale");
}

/** Say at the head what kind of feed this is, and in the margin how it was made. */
function describeFeed(served) {
  if (served.items[0]?.position === 0) $("#refresh-button").classList.remove("stale");
  $("#notice").textContent = noticeOf(served, feed.query.mode);
  $("#facts").replaceChildren(...factsOf(served, feed.query.mode));
  const grown = served.items.map(({ article }) => catalogue.learn(article)).some(Boolean);
  if (grown || !$("#sections").children.length) drawSections();
  const isFrontPage = served.items[0]?.position === 0 && !feed.query.section;
  if (isFrontPage && feed.query.mode === "personalized") topics.consider(served);
}

function learn(article) {
  if (catalogue.learn(article)) drawSections();
}

function drawSections() {
  const button = (section, words) =>
    el(
      "button.section-choice",
      {
        type: "button",
        "aria-pressed": String(feed.query.section === section),
        onclick: () => chooseSection(section),
      },
      words,
    );
  const names = new Set(catalogue.section);
  if (feed.query.section) names.add(feed.query.section);
  $("#sections").replaceChildren(
    button("", "All sections"),
    ...sorted(names).map((section) => button(section, section)),
  );
}

function chooseSection(section) {
  feed.query = { ...feed.query, section };
  trending.section = section;
  drawSections();
  $("#sections [aria-pressed=true]")?.scrollIntoView({ block: "nearest", inline: "center" });
  startOver();
}

function chooseMode(mode) {
  feed.query = { ...feed.query, mode };
  for (const button of document.querySelectorAll("#modes button")) {
    button.setAttribute("aria-pressed", String(button.dataset.mode === mode));
  }
  startOver();
}

/** What a key acts on: the article being read, else the card that has the focus. */
function underTheKeys() {
  if (reader.isOpen) {
    const { item } = reader.reading;
    return { articleId: item.article.article_id, slot: slotOf(reader.reading) };
  }
  const entry = feed.entryOf(document.activeElement?.closest(".card"));
  if (!entry) return null;
  const { item, requestId } = entry;
  return {
    entry,
    articleId: item.article.article_id,
    slot: { requestId, position: item.position },
  };
}

function react(kind) {
  const target = underTheKeys();
  if (target) reactions.toggle(kind, target.articleId, target.slot);
}

const keyboard = new Keyboard({
  j: () => !reader.isOpen && feed.moveFocus(1),
  k: () => !reader.isOpen && feed.moveFocus(-1),
  l: () => react("like"),
  d: () => react("dislike"),
  x: () => {
    const entry = underTheKeys()?.entry;
    if (entry && !entry.card.classList.contains("is-hidden")) hideEntry(entry);
  },
  r: () => !reader.isOpen && refresh(),
  "?": () => !document.querySelector("dialog[open]") && $("#keys").showModal(),
});

function wire() {
  for (const button of document.querySelectorAll("#modes button")) {
    button.addEventListener("click", () => chooseMode(button.dataset.mode));
  }
  for (const button of document.querySelectorAll("dialog .dismiss")) {
    button.addEventListener("click", () => button.closest("dialog").close());
  }
  for (const dialog of document.querySelectorAll("dialog.panel")) {
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  }
  $("#refresh-button").prepend(icon("refresh"));
  $("#preferences-button").prepend(icon("settings"));
  $("#keys-button").prepend(icon("keyboard"));
  $("#reader-button").prepend(icon("reader"));
  $("#refresh-button").addEventListener("click", refresh);
  $("#keys-button").addEventListener("click", () => $("#keys").showModal());
  $("#feed").addEventListener("keydown", (event) => {
    const entry = event.key === "Enter" && feed.entryOf(event.target);
    if (!entry || event.target.classList.contains("is-hidden")) return;
    event.preventDefault(); // or the same key press would act on what has the focus next
    openEntry(entry);
  });
  $("#feed").addEventListener("click", (event) => {
    if (event.target.closest(".reaction")) markStale();
  });
  keyboard.bindSwitch($("#keys-on"));
  const offline = () => ($("#offline").hidden = navigator.onLine);
  addEventListener("online", offline);
  addEventListener("offline", offline);
  offline();
  setInterval(refreshTimes, 60_000);
}

async function start() {
  const today = new Intl.DateTimeFormat("en-GB", { dateStyle: "full" }).format(new Date());
  $("#today").textContent = today;
  wire();
  if (picker) seat(await picker.first());
  else startOver();
  reader.followAddress();
}

start();
