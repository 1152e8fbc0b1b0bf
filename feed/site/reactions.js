/**
 * Likes and dislikes: one state for an article wherever it stands on the page.
 * @module reactions
 */

import { announce, el, icon, spoken } from "./dom.js";

const COUNTS = { like: "likes", dislike: "dislikes" };
const WORDS = { like: "Like", dislike: "Dislike" };

/** What is known of every article's reactions, and the buttons that show it. */
export class Reactions {
  #byArticle = new Map();

  /** @param {import("./client/feed-client.js").FeedClient} client */
  constructor(client) {
    this.client = client;
  }

  /**
   * Take over what the service says about an item. Only a personalised feed reads what the reader
   * did; in the others what this page saw of it stands.
   * @param {import("./client/api.js").FeedItem} item
   * @param {{readsHistory: boolean}} feed
   */
  learn({ article, reactions, my_reaction: mine }, { readsHistory }) {
    const known = readsHistory ? null : this.#byArticle.get(article.article_id)?.mine;
    this.#byArticle.set(article.article_id, {
      likes: reactions.likes,
      dislikes: reactions.dislikes,
      mine: mine ?? known ?? null,
    });
    this.#paint(article.article_id);
  }

  /** Forget everything, as when another reader sits down. */
  clear() {
    this.#byArticle.clear();
  }

  /**
   * Press one of the two: the first press reacts, the second takes it back, pressing the other
   * changes sides.
   * @param {"like"|"dislike"} kind
   * @param {string} articleId
   * @param {{requestId: ?string, position: ?number}} slot
   */
  toggle(kind, articleId, slot) {
    const { mine } = this.#state(articleId);
    const kinds = mine === kind ? [`un${kind}`] : mine ? [`un${mine}`, kind] : [kind];
    for (const step of kinds) {
      this.client.record(step, articleId, slot);
      this.#apply(step, articleId);
    }
    announce(mine === kind ? `${WORDS[kind]} taken back` : `${WORDS[kind]}d`);
    this.client.flush();
  }

  /** Put the page right after the service refused an event. @param {object} event */
  takeBack({ kind, article_id: articleId }) {
    const inverse = kind.startsWith("un") ? kind.slice(2) : `un${kind}`;
    if (COUNTS[kind] || COUNTS[inverse]) this.#apply(inverse, articleId);
  }

  /**
   * The two buttons with their counts.
   * @param {string} articleId
   * @param {string} describedBy  id of the headline, so that a screen reader tells them apart
   * @param {() => {requestId: ?string, position: ?number}} slotOf
   */
  buttons(articleId, describedBy, slotOf) {
    const button = (kind) =>
      el(
        "button.reaction",
        {
          type: "button",
          "data-kind": kind,
          "data-article": articleId,
          "aria-describedby": describedBy,
          onclick: () => this.toggle(kind, articleId, slotOf()),
        },
        icon(kind),
        spoken(WORDS[kind]),
        el("span.count"),
      );
    const group = el("span.reactions", {}, button("like"), button("dislike"));
    for (const each of group.children) this.#paintButton(each);
    return group;
  }

  #state(articleId) {
    const known = this.#byArticle.get(articleId);
    if (known) return known;
    const unknown = { likes: null, dislikes: null, mine: null }; // the page never saw its counts
    this.#byArticle.set(articleId, unknown);
    return unknown;
  }

  #apply(step, articleId) {
    const state = this.#state(articleId);
    const undoes = step.startsWith("un");
    const kind = undoes ? step.slice(2) : step;
    const count = state[COUNTS[kind]];
    if (count !== null) state[COUNTS[kind]] = Math.max(0, count + (undoes ? -1 : 1));
    state.mine = undoes ? null : kind;
    this.#paint(articleId);
  }

  #paint(articleId) {
    for (const button of document.querySelectorAll("button.reaction")) {
      if (button.dataset.article === articleId) this.#paintButton(button);
    }
  }

  #paintButton(button) {
    const { kind, article } = button.dataset;
    const state = this.#state(article);
    button.setAttribute("aria-pressed", String(state.mine === kind));
    button.querySelector(".count").textContent = state[COUNTS[kind]]?.toLocaleString("en") ?? "";
  }
}
