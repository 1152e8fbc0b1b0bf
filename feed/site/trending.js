/**
 * What is being read now, beside the feed, with the numbers behind it.
 * @module trending
 */

import { articleHash, byline } from "./cards.js";
import { el, languageOf } from "./dom.js";
import { itemOf } from "./article.js";

const SHOWN = 8;
const REFRESH_MS = 30_000;

/** The trending column; draws itself anew every half minute while the page is looked at. */
export class TrendingColumn {
  /**
   * @param {object} parts
   * @param {HTMLElement} parts.list
   * @param {HTMLElement} parts.note
   * @param {import("./client/feed-client.js").FeedClient} parts.client
   * @param {(article: object) => void} parts.learn  told of every article seen
   * @param {(reading: object) => void} parts.open
   */
  constructor({ list, note, client, learn, open }) {
    Object.assign(this, { list, note, client, learn, open, section: "" });
    setInterval(() => {
      if (!document.hidden) this.load();
    }, REFRESH_MS);
  }

  /** Fetch and draw. A failure leaves what was there: the feed itself reports the outage. */
  async load() {
    const section = this.section;
    let answer;
    try {
      answer = await this.client.getTrending({ section });
    } catch {
      return;
    }
    if (section === this.section) this.#draw(answer);
  }

  #draw({ items, window_minutes: minutes }) {
    const shown = items.slice(0, SHOWN);
    for (const { article } of items) this.learn(article);
    this.list.replaceChildren(...shown.map((entry, i) => this.#entry(entry, i, minutes)));
    this.note.textContent = shown.length
      ? `Readers in about the last ${minutes} minutes, compared with what is usual.`
      : "Nothing stands out just now.";
  }

  #entry(entry, i, minutes) {
    const { article, articles, labelled } = entry;
    const link = el(
      "a",
      {
        href: articleHash(article.article_id),
        ...languageOf(article),
        onclick: (event) => {
          if (event.metaKey || event.ctrlKey || event.shiftKey) return;
          event.preventDefault();
          const item = itemOf(article, { trending: labelled, byStory: articles > 1 });
          this.open({ item, requestId: null, position: null });
        },
      },
      article.title,
    );
    return el(
      "li.trend",
      {},
      el("span.rank", { "aria-hidden": "true" }, String(i + 1)),
      el(
        "div",
        {},
        labelled && el("span.label.label-trending", {}, "Trending"),
        el("h3", {}, link),
        el("p.numbers", {}, numbers(entry, minutes)),
        byline(article),
      ),
    );
  }
}

function numbers({ readers, lift, articles }, minutes) {
  const people = Math.max(1, Math.round(readers));
  const who = `${people.toLocaleString("en")} ${people === 1 ? "reader" : "readers"}`;
  const usual = lift > 1.05 ? `, ${lift.toFixed(lift < 10 ? 1 : 0)} times the usual` : "";
  const where = articles > 1 ? ` of ${articles} articles` : "";
  return `${who}${where} in ${minutes} min${usual}`;
}
