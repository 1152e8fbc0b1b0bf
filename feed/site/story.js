/**
 * The other articles about the event of which the feed shows one.
 * @module story
 */

import { articleHash, byline } from "./cards.js";
import { el, languageOf } from "./dom.js";

/**
 * A button with their number, which lists them; nothing where there are none.
 * @param {import("./client/api.js").FeedItem} item
 * @param {(storyId: string) => Promise<import("./client/api.js").Story>} getStory
 * @returns {HTMLElement|null}
 */
export function moreOnThis({ article, more_on_this: more }, getStory) {
  if (!more) return null;
  const list = el("ul.versions", {});
  list.hidden = true;
  const button = el(
    "button.text",
    { type: "button", "aria-expanded": "false", onclick: toggle },
    `${more.count} more on this`,
  );

  async function toggle() {
    if (list.hidden && !list.children.length) {
      try {
        const { items } = await getStory(more.story_id);
        const others = items.filter((one) => one.article.article_id !== article.article_id);
        list.replaceChildren(...others.map((one) => version(one.article)));
      } catch {
        list.replaceChildren(el("li", {}, "They can’t be listed just now."));
      }
    }
    list.hidden = !list.hidden;
    button.setAttribute("aria-expanded", String(!list.hidden));
  }

  return el("div.more-on-this", {}, button, list);
}

function version(article) {
  const link = { href: articleHash(article.article_id), ...languageOf(article) };
  return el("li", {}, el("a", link, article.title), byline(article));
}
