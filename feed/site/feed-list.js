/**
 * The feed itself: pages by cursor, drawn as cards, with a word for every state it can be in.
 * @module feed-list
 */

import { markRead, renderCard, renderHidden, renderSkeletons } from "./cards.js";
import { announce, el } from "./dom.js";

const PAGE_SIZE = 20;
const AHEAD = "900px";

/**
 * What is asked for.
 * @typedef {object} FeedQuery
 * @property {"personalized"|"trending"|"latest"} mode
 * @property {string} section  "" for all
 */

/** The list of cards. One at a time loads; what a newer request overtakes is dropped. */
export class FeedList {
  #entries = [];
  #cursor = null;
  #request = null;
  #countdown = 0;
  #notice = "";
  #readIds = new Set();

  /**
   * @param {object} parts
   * @param {HTMLElement} parts.list  role "feed"
   * @param {HTMLElement} parts.state  below the list: loading, the end, what went wrong
   * @param {import("./client/feed-client.js").FeedClient} parts.client
   * @param {import("./client/attention.js").ImpressionTracker} parts.tracker
   * @param {import("./reactions.js").Reactions} parts.reactions
   * @param {import("./cards.js").CardActions} parts.actions
   * @param {(feed: import("./client/api.js").Feed) => void} parts.onServed
   * @param {(problem: Error) => void} parts.onTrouble  a refresh failed, the cards still stand
   * @param {() => ?HTMLElement} parts.onUnauthorized  what to show when the service wants to know
   *   who asks
   */
  constructor({
    list,
    state,
    client,
    tracker,
    reactions,
    actions,
    onServed,
    onTrouble,
    onUnauthorized,
  }) {
    Object.assign(this, {
      list,
      state,
      client,
      tracker,
      reactions,
      actions,
      onServed,
      onTrouble,
      onUnauthorized,
    });
    /** @type {FeedQuery} */
    this.query = { mode: "personalized", section: "" };
    this.ahead = new IntersectionObserver((changes) => this.#lookAhead(changes), {
      rootMargin: AHEAD,
    });
  }

  /** Articles standing on the page, in order. */
  get articleIds() {
    return this.#entries.map(({ item }) => item.article.article_id);
  }

  /** @param {HTMLElement} card @returns {import("./cards.js").CardEntry|undefined} */
  entryOf(card) {
    return this.#entries.find((entry) => entry.card === card);
  }

  /** Forget who read what, as when another reader sits down. */
  forgetReader() {
    this.#readIds.clear();
  }

  /** Load another feed from its beginning. */
  async reload() {
    this.#clear();
    this.list.append(...renderSkeletons(7));
    await this.#load({ ...this.query }, (feed) => this.show(feed));
  }

  /** Load the same feed anew; what stands on the page stays until the new one is there. */
  async refresh() {
    if (!this.#entries.length) {
      await this.reload();
      return;
    }
    this.#request?.abort();
    await this.#load({ ...this.query }, (feed) => this.show(feed), this.onTrouble);
  }

  /** Load the next page, if there is one and nothing else is under way. */
  async more() {
    if (!this.#cursor || this.#request || this.#countdown) return;
    this.state.replaceChildren(el("p.loading", {}, "More is coming …"));
    await this.#load({ cursor: this.#cursor, ...this.query }, (feed) => this.#append(feed));
  }

  /** What the feed would be now, without drawing it. */
  async peek() {
    return this.client.getFeed({ limit: PAGE_SIZE, ...this.query });
  }

  /** Draw a feed from its beginning. @param {import("./client/api.js").Feed} feed */
  show(feed) {
    this.#clear();
    this.#notice = feed.notice ?? "";
    this.#append(feed);
    if (!feed.items.length) this.#sayEmpty();
  }

  /** Show an article as read. @param {string} articleId */
  markRead(articleId) {
    this.#readIds.add(articleId);
    for (const { item, card } of this.#entries) {
      if (item.article.article_id === articleId) markRead(card);
    }
  }

  /**
   * Put a note in the place of an article.
   * @param {import("./cards.js").CardEntry} entry
   * @param {{undo: () => void, muteSection: () => void}} actions
   */
  hide(entry, { undo, muteSection }) {
    const { card } = entry;
    this.tracker.unobserve(card);
    const contents = [...card.children];
    const restore = () => {
      card.classList.remove("is-hidden");
      card.replaceChildren(...contents);
      card.focus();
      undo();
    };
    card.classList.add("is-hidden");
    card.replaceChildren(renderHidden(entry, { undo: restore, muteSection }));
    card.querySelector("button").focus();
  }

  /** Move the focus by cards. @param {1|-1} step */
  moveFocus(step) {
    const cards = this.#entries.map(({ card }) => card);
    const current = document.activeElement?.closest(".card");
    const from = cards.indexOf(current);
    const next = from < 0 ? firstInView(cards) : from + step;
    const card = cards[Math.min(Math.max(next, 0), cards.length - 1)];
    card?.focus();
    card?.scrollIntoView({ block: "nearest" });
    if (next >= cards.length - 3) this.more();
  }

  #clear() {
    this.#request?.abort();
    this.#request = null;
    this.list.setAttribute("aria-busy", "false");
    clearInterval(this.#countdown);
    this.#countdown = 0;
    this.#cursor = null;
    this.#entries = [];
    this.tracker.clear();
    this.list.replaceChildren();
    this.state.replaceChildren();
  }

  async #load(query, use, fail = (problem) => this.#fail(problem)) {
    const request = new AbortController();
    this.#request = request;
    this.list.setAttribute("aria-busy", "true");
    const proceed = await this.client
      .getFeed({ limit: PAGE_SIZE, ...query, signal: request.signal })
      .then((feed) => () => use(feed))
      .catch((problem) => () => fail(problem));
    if (this.#request !== request) return; // a newer one overtook it
    this.#request = null;
    this.list.setAttribute("aria-busy", "false");
    proceed();
  }

  #append(feed) {
    const known = new Set(this.articleIds);
    const fresh = feed.items.filter(({ article }) => !known.has(article.article_id));
    for (const item of fresh) this.#draw(item, feed.request_id);
    this.#cursor = feed.next_cursor ?? null;
    this.state.replaceChildren();
    if (this.#cursor) this.state.append(this.#moreButton());
    else if (this.#entries.length) this.state.append(el("p.end", {}, "— That is all for now —"));
    this.ahead.unobserve(this.state); // anew: a short page leaves the end where it was, in sight
    this.ahead.observe(this.state);
    this.onServed(feed);
    announce(`${fresh.length} articles`);
  }

  #draw(item, requestId) {
    this.reactions.learn(item, { readsHistory: this.query.mode === "personalized" });
    const entry = { item, requestId, place: this.#entries.length };
    const { reactions, actions } = this;
    entry.card = renderCard(entry, { reactions, actions, notice: this.#notice });
    this.#entries.push(entry);
    this.list.append(entry.card);
    const articleId = item.article.article_id;
    if (this.#readIds.has(articleId)) markRead(entry.card);
    this.tracker.observe(entry.card, { articleId, requestId, position: item.position });
  }

  #lookAhead(changes) {
    if (changes.at(-1).isIntersecting) this.more();
  }

  #moreButton() {
    return el("button.text", { type: "button", onclick: () => this.more() }, "More articles");
  }

  #sayEmpty() {
    const { section, mode } = this.query;
    const where = section ? `in ${section}` : "here";
    const what =
      mode === "personalized"
        ? `You have seen everything ${where}, or it is muted. New articles appear as they come in.`
        : `There is nothing ${where} yet. New articles appear as they come in.`;
    this.#say("Nothing new", what, "Look again");
  }

  #fail(problem) {
    for (const skeleton of this.list.querySelectorAll(".skeleton")) skeleton.remove();
    const wanted = problem.status === 401 ? this.onUnauthorized() : null;
    if (problem.status === 410 || (problem.status === 400 && this.#cursor)) {
      this.#continueAfresh(); // the list behind the cursor is gone
    } else if (wanted) {
      this.state.replaceChildren(wanted);
    } else if (problem.retryAfterS !== null && problem.temporary) {
      this.#waitAndRetry(problem);
    } else if (problem.offline && !navigator.onLine) {
      this.#say(
        "You are offline",
        "What you see stays. The rest comes when you are online again.",
        "Try again",
      );
      addEventListener("online", () => this.#retry(), { once: true });
    } else if (problem.offline) {
      this.#say("The feed cannot be reached", "The service does not answer.", "Try again");
    } else {
      this.#say("The feed could not be loaded", problem.message, "Try again");
    }
  }

  /** A new list, of which the articles that stand here already are left out. */
  #continueAfresh() {
    this.#cursor = null;
    this.#load({ ...this.query }, (feed) => this.#append(feed));
  }

  #waitAndRetry(problem) {
    let left = Math.max(1, Math.ceil(problem.retryAfterS));
    const text = () => `The service asks for a short pause. Trying again in ${left} s.`;
    const message = this.#say("One moment", text(), "Try now");
    this.#countdown = setInterval(() => {
      left -= 1;
      if (left <= 0) this.#retry();
      else message.textContent = text();
    }, 1000);
  }

  #retry() {
    clearInterval(this.#countdown);
    this.#countdown = 0;
    if (this.#entries.length) this.more();
    else this.reload();
  }

  #say(title, text, action) {
    const message = el("p", {}, text);
    this.state.replaceChildren(
      el(
        "div.state-message",
        { role: "status" },
        el("h2", {}, title),
        message,
        el("button.solid", { type: "button", onclick: () => this.#retry() }, action),
      ),
    );
    return message;
  }
}

function firstInView(cards) {
  const top = document.querySelector(".bar-nav").getBoundingClientRect().bottom;
  return Math.max(
    cards.findIndex((card) => card.getBoundingClientRect().top >= top - 1),
    0,
  );
}
