/**
 * The first step of a new reader: to choose topics, so that the first feed is theirs already. It
 * stands above the articles, can be skipped, and is shown once.
 * @module topics
 */

import { announce, el } from "./dom.js";
import { sorted } from "./preferences.js";

const STORED = "feed-topics-asked";
const MOST_REMEMBERED = 100;
/** With fewer there is nothing to choose. */
const FEWEST_SECTIONS = 2;
const MOST_CHOICES = 24;
/** What readers get whose own past could be looked up. */
const LOOKED_UP = ["personalized", "without_model"];

/** The step on the page. */
export class TopicStep {
  #asked = remembered();

  /**
   * @param {object} parts
   * @param {HTMLElement} parts.place
   * @param {import("./client/feed-client.js").FeedClient} parts.client
   * @param {import("./preferences.js").Catalogue} parts.catalogue
   * @param {() => string} parts.who  whom the step is shown once: the reader, or "" for everybody
   *   at this browser
   * @param {(followed: boolean) => void} parts.onDone  the reader has chosen, or skipped the step
   */
  constructor({ place, client, catalogue, who, onDone }) {
    Object.assign(this, { place, client, catalogue, who, onDone });
    this.message = place.querySelector(".message");
    place.querySelector(".skip-topics").addEventListener("click", () => {
      this.close();
      this.onDone(false);
    });
    place.querySelector("form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#follow();
    });
  }

  /** Take the step off the page. */
  close() {
    this.place.hidden = true;
  }

  /**
   * Show the step if the front page that was served is that of a reader without a past.
   * @param {import("./client/api.js").Feed} feed
   */
  async consider(feed) {
    if (feed.personalized) {
      this.#remember(); // there is a past, or something was chosen elsewhere
      this.close();
    }
    const who = this.who();
    if (this.#asked.has(who) || !LOOKED_UP.includes(feed.mode_served)) return;
    const preferences = await this.client.getPreferences().catch(() => null);
    if (!preferences || who !== this.who() || this.#asked.has(who)) return;
    if (this.catalogue.section.size < FEWEST_SECTIONS || document.querySelector("dialog[open]")) return;
    this.#remember();
    if (!statesSomething(preferences)) this.#show();
  }

  #show() {
    this.#say("");
    for (const kind of ["section", "source"]) {
      const names = sorted(this.catalogue[kind]).slice(0, MOST_CHOICES);
      this.place.querySelector(`.${kind}-choices`).replaceChildren(...names.map(choice));
    }
    this.place.hidden = false;
  }

  async #follow() {
    const [sections, sources] = ["section", "source"].map((kind) => {
      const pressed = this.place.querySelectorAll(`.${kind}-choices [aria-pressed=true]`);
      return Array.from(pressed, (button) => button.textContent);
    });
    if (!sections.length && !sources.length) {
      this.#say("Choose at least one topic, or skip this step.");
      return;
    }
    try {
      await this.client.follow({ sections, sources });
    } catch (problem) {
      this.#say(`That did not work: ${problem.message}`);
      return;
    }
    this.close();
    this.onDone(true);
  }

  #say(words) {
    this.message.textContent = words;
    if (words) announce(words);
  }

  #remember() {
    if (this.#asked.has(this.who())) return;
    this.#asked.add(this.who());
    try {
      localStorage.setItem(STORED, JSON.stringify([...this.#asked].slice(-MOST_REMEMBERED)));
    } catch {
      // full or forbidden: the page remembers until it is closed
    }
  }
}

function choice(name) {
  const button = el("button.toggle", { type: "button", "aria-pressed": "false", dir: "auto" }, name);
  button.addEventListener("click", () => {
    const pressed = button.getAttribute("aria-pressed") === "true";
    button.setAttribute("aria-pressed", String(!pressed));
  });
  return button;
}

/** @param {import("./client/api.js").ReaderPreferences} preferences */
function statesSomething({ user_id: _, personalization, ...lists }) {
  return !personalization || Object.values(lists).some((list) => list.length > 0);
}

/** @returns {Set<string>} */
function remembered() {
  try {
    const stored = JSON.parse(localStorage.getItem(STORED) ?? "[]");
    return new Set(Array.isArray(stored) ? stored : []);
  } catch {
    return new Set();
  }
}
