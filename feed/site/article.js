/**
 * Reading one article: a dialog over the feed, with an address of its own (`#article=<id>`).
 * @module article
 */

import { DwellTimer } from "./client/attention.js";
import { articleHash, byline, disclosureLines, labelList, picture, reasonList } from "./cards.js";
import { el, icon, languageOf, safeLink, timeAgo } from "./dom.js";

const RELATED_SHOWN = 4;

/**
 * What is being read.
 * @typedef {object} Reading
 * @property {import("./client/api.js").FeedItem} item
 * @property {?string} requestId  null if it did not come from a feed
 * @property {?number} position
 * @property {string} [from]  id of the article whose page led here
 */

/** The dialog in which an article is read. Records the click, and the dwell when it closes. */
export class ArticleView {
  #reading = null;
  #timer = new DwellTimer();

  /**
   * @param {object} parts
   * @param {HTMLDialogElement} parts.dialog
   * @param {import("./client/feed-client.js").FeedClient} parts.client
   * @param {import("./reactions.js").Reactions} parts.reactions
   * @param {() => void} parts.onOpen
   * @param {(reading: Reading) => void} parts.onClose
   */
  constructor({ dialog, client, reactions, onOpen, onClose }) {
    this.dialog = dialog;
    this.client = client;
    this.reactions = reactions;
    this.onOpen = onOpen;
    this.onClose = onClose;
    dialog.addEventListener("cancel", (event) => {
      event.preventDefault();
      this.close();
    });
    dialog.addEventListener("click", (event) => {
      if (event.target === dialog) this.close();
    });
    addEventListener("popstate", () => this.followAddress());
    addEventListener("pagehide", () => this.#recordDwell());
  }

  get isOpen() {
    return this.#reading !== null;
  }

  /** @returns {?Reading} */
  get reading() {
    return this.#reading;
  }

  /** Open an article. @param {Reading} reading */
  open(reading) {
    const { article } = reading.item;
    if (this.#reading) this.#finish();
    if (history.state?.article)
      history.replaceState({ article: true }, "", articleHash(article.article_id));
    else history.pushState({ article: true }, "", articleHash(article.article_id));
    this.#show(reading);
  }

  /** Close it, as the browser's own way back does. */
  close() {
    if (history.state?.article) {
      history.back();
    } else {
      history.replaceState(null, "", location.pathname + location.search);
      this.#leave();
    }
  }

  /** Show what the page's address says: the article in it, or the feed. */
  async followAddress() {
    const wanted = new URLSearchParams(location.hash.slice(1)).get("article");
    if (this.#reading && this.#reading.item.article.article_id !== wanted) this.#leave();
    if (!wanted || this.#reading) return;
    try {
      const article = await this.client.getArticle(wanted);
      this.#show({ item: itemOf(article), requestId: null, position: null });
    } catch {
      history.replaceState(null, "", location.pathname + location.search);
    }
  }

  #show(reading) {
    const { article } = reading.item;
    this.#reading = reading;
    this.client.record("click", article.article_id, slotOf(reading));
    this.client.flush();
    this.dialog.replaceChildren(...this.#contents(reading));
    if (!this.dialog.open) this.dialog.showModal();
    this.dialog.scrollTop = 0;
    this.#timer.start();
    this.onOpen();
    this.#complete(article);
    this.#showRelated(article);
  }

  #leave() {
    const reading = this.#reading;
    this.#finish();
    this.dialog.close();
    this.dialog.replaceChildren();
    this.onClose(reading);
  }

  #finish() {
    this.#recordDwell();
    this.#reading = null;
  }

  #recordDwell() {
    if (!this.#reading || !this.#timer.running) return;
    const dwellS = this.#timer.stop();
    const { article } = this.#reading.item;
    this.client.record("read", article.article_id, { ...slotOf(this.#reading), dwellS });
    this.client.flush();
  }

  #contents(reading) {
    const { item } = reading;
    const { article } = item;
    const words = languageOf(article);
    return [
      el(
        "button.close",
        { type: "button", "aria-label": "Back to the feed", onclick: () => this.close() },
        icon("close"),
      ),
      el(
        "article.reading",
        {},
        el(
          "div.kicker",
          {},
          article.section && el("span.section", {}, article.section),
          labelList(item.labels),
        ),
        el("h2.headline", { id: "article-title", ...words }, article.title),
        article.standfirst && el("p.standfirst", words, article.standfirst),
        article.author && el("p.author", { dir: "auto" }, `By ${article.author}`),
        byline(article),
        article.updated_at &&
          article.updated_at !== article.published_at &&
          el("p.byline", {}, "Updated ", timeAgo(article.updated_at)),
        picture(article, { eager: true }),
        el("div.body", { ...words }, ...paragraphs(article.body)),
        sourceLink(article),
        this.#about(reading),
        el("section.related", { "aria-labelledby": "related-title", hidden: true }),
      ),
    ];
  }

  #about(reading) {
    const { item } = reading;
    const buttons = this.reactions.buttons(item.article.article_id, "article-title", () =>
      slotOf(reading),
    );
    return el(
      "footer.about",
      { "aria-label": "About this article" },
      ...disclosureLines(item.disclosure),
      item.article.human_reviewed && el("p.disclosure", {}, "An editor has reviewed this article."),
      buttons,
      reasonList(item.reasons),
    );
  }

  /** Lists may carry articles without their text; then it is fetched now. */
  async #complete(article) {
    if (article.body) return;
    try {
      const whole = await this.client.getArticle(article.article_id);
      if (this.#reading?.item.article !== article || !whole.body) return;
      this.dialog.querySelector(".body").replaceChildren(...paragraphs(whole.body));
    } catch {
      // the standfirst and the link to the source are what there is
    }
  }

  async #showRelated(article) {
    let answer;
    try {
      answer = await this.client.getRelated(article.article_id);
    } catch {
      return; // reading on is an offer, nothing depends on it
    }
    if (this.#reading?.item.article !== article || !answer?.items?.length) return;
    const section = this.dialog.querySelector(".related");
    const items = answer.items.slice(0, RELATED_SHOWN).map((entry) => entry.article);
    section.append(
      el("h3", { id: "related-title" }, "Read next"),
      el("ul", {}, ...items.map((next) => el("li", {}, this.#relatedLink(next, article)))),
    );
    section.hidden = false;
  }

  #relatedLink(next, from) {
    const reading = { item: itemOf(next), requestId: null, position: null, from: from.article_id };
    return el(
      "a",
      {
        href: articleHash(next.article_id),
        ...languageOf(next),
        onclick: (event) => {
          event.preventDefault();
          this.open(reading);
        },
      },
      next.title,
    );
  }
}

/** Where the article stood, as events carry it. @param {Reading} reading */
export function slotOf({ requestId, position, from }) {
  return { requestId, position, context: from ? { page_article_id: from } : {} };
}

const MADE_WITH = {
  generated: "has been generated with AI",
  assisted: "has been written with the help of AI",
};

/**
 * An article outside a feed, in the shape of a feed item: labels and disclosure say what it says
 * of itself, and that it, or its story, is trending where that is known.
 * @param {import("./client/api.js").Article} article
 * @param {{trending?: boolean, byStory?: boolean}} [known]
 */
export function itemOf(article, { trending = false, byStory = false } = {}) {
  const made = MADE_WITH[article.ai_generated];
  const labels = [
    trending && "trending",
    made && `ai_${article.ai_generated}`,
    article.sponsored && "sponsored",
    article.retracted && "retracted",
  ].filter(Boolean);
  const trends = trending && "has been trending online recently";
  const parts = [!byStory && trends, made].filter(Boolean);
  const sentences = [
    byStory && trends && `This story ${trends}.`,
    parts.length && `This article ${parts.join(" and ")}.`,
    made && "Generative AI is experimental.",
  ].filter(Boolean);
  return { article, labels, disclosure: sentences.join(" "), reasons: [] };
}

function paragraphs(body) {
  return (body ?? "")
    .split(/\n\s*\n/)
    .map((words) => words.trim())
    .filter(Boolean)
    .map((words) => el("p", {}, words));
}

function sourceLink(article) {
  const address = safeLink(article.url);
  if (!address) return null;
  const where = article.source ? `Read it at ${article.source}` : "Read it at its source";
  return el(
    "p.source-link",
    {},
    el("a", { href: address, rel: "noopener noreferrer", target: "_blank" }, where),
  );
}
