/**
 * Wishes: more or fewer articles like one, or none of its story for a while. Each ends by itself,
 * and the reader can withdraw it.
 * @module wishes
 */

import { announce, el } from "./dom.js";

const DAY_MS = 86_400_000;
const DAYS = { more: 30, fewer: 30, mute: 3 };
const STRONGEST = 2;
const BUTTONS = {
  more: "More like this",
  fewer: "Fewer like this",
  mute: `Mute this story for ${DAYS.mute} days`,
};
const DONE = {
  more: "You asked for more like this.",
  fewer: "You asked for fewer like this.",
  mute: "This story is muted.",
};

/**
 * What a reader can wish about one article.
 * @param {string} describedBy  id of the headline, so that a screen reader tells them apart
 * @param {(kind: "more"|"fewer"|"mute") => void} ask
 */
export function wishButtons(describedBy, ask) {
  const buttons = Object.entries(BUTTONS).map(([kind, words]) =>
    el(
      "button.text",
      { type: "button", "aria-describedby": describedBy, onclick: () => ask(kind) },
      words,
    ),
  );
  return el("details.wish", {}, el("summary", {}, "More or fewer"), ...buttons);
}

/**
 * Wish something about an article. The same wish again makes it stronger; another one replaces it.
 * @param {import("./client/feed-client.js").FeedClient} client
 * @param {"more"|"fewer"|"mute"} kind
 * @param {string} articleId
 */
export async function ask(client, kind, articleId) {
  const { user_id: _, ...preferences } = await client.getPreferences();
  const about = ({ of, value }) => of === "article" && value === articleId;
  const before = preferences.wishes.find(about);
  const again = kind !== "mute" && before?.kind === kind;
  const wish = {
    kind,
    of: "article",
    value: articleId,
    strength: again ? STRONGEST : 1,
    until: new Date(Date.now() + DAYS[kind] * DAY_MS).toISOString(),
  };
  const others = preferences.wishes.filter((each) => !about(each));
  await client.putPreferences({ ...preferences, wishes: [...others, wish] });
  announce(DONE[kind]);
}

/**
 * One line for each wish, with what withdraws it.
 * @param {import("./client/feed-client.js").FeedClient} client
 * @param {import("./client/api.js").Wish[]} wishes
 * @param {(wishes: import("./client/api.js").Wish[]) => void} save
 */
export function wishList(client, wishes, save) {
  return wishes.map((wish, place) => {
    const id = `wish-${place}`;
    const name = el("span.name", { id, dir: "auto" }, words(wish, wish.value));
    if (wish.of === "article") nameArticle(client, wish, name);
    const stronger = el(
      "button.toggle",
      {
        type: "button",
        "aria-pressed": String(wish.strength === STRONGEST),
        "aria-describedby": id,
        onclick: () => save(wishes.map((each) => (each === wish ? turned(wish) : each))),
      },
      "Strongly",
    );
    const withdraw = el(
      "button.toggle",
      {
        type: "button",
        "aria-describedby": id,
        onclick: () => save(wishes.filter((each) => each !== wish)),
      },
      "Withdraw",
    );
    return el("li.topic", {}, name, wish.kind !== "mute" && stronger, withdraw);
  });
}

/** The same wish, strong if it was not, and weak if it was. */
function turned(wish) {
  return { ...wish, strength: wish.strength === STRONGEST ? 1 : STRONGEST };
}

/** Put the headline in the place of an article's id, if the article is still there. */
async function nameArticle(client, wish, name) {
  try {
    const { title } = await client.getArticle(wish.value);
    name.textContent = words(wish, title);
  } catch {
    // its id stays
  }
}

function words({ kind, of, until }, name) {
  const what = { article: `like “${name}”`, section: `of ${name}`, source: `from ${name}` }[of];
  const how = { mute: "None", more: "More", fewer: "Fewer" }[kind];
  const wish = kind === "mute" && of === "article" ? `Nothing on “${name}”` : `${how} ${what}`;
  if (!until) return wish;
  const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "long" });
  return `${wish}, until ${day.format(new Date(until))}`;
}
