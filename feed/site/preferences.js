/**
 * What the reader tells the feed outright: sections and sources to follow or mute, languages,
 * wishes, personalisation on or off; and what the feed holds on the reader.
 * @module preferences
 */

import { announce, el } from "./dom.js";
import { wishList } from "./wishes.js";

const SEEN = "feed-seen";

/** The sections, sources and languages that articles on this page had. */
export class Catalogue {
  constructor() {
    let stored = {};
    try {
      stored = JSON.parse(sessionStorage.getItem(SEEN) ?? "{}");
    } catch {
      // nothing remembered: it fills as articles come
    }
    this.section = new Set(stored.section);
    this.source = new Set(stored.source);
    this.language = new Set(stored.language);
  }

  /** Remember an article's section, source and language. Returns true if one was new. */
  learn(article) {
    const before = this.section.size + this.source.size + this.language.size;
    for (const kind of ["section", "source", "language"]) {
      if (article[kind]) this[kind].add(article[kind]);
    }
    const grown = before < this.section.size + this.source.size + this.language.size;
    if (grown) this.#store();
    return grown;
  }

  #store() {
    const plain = Object.fromEntries(
      ["section", "source", "language"].map((kind) => [kind, [...this[kind]]]),
    );
    try {
      sessionStorage.setItem(SEEN, JSON.stringify(plain));
    } catch {
      // full or forbidden: the page remembers until it is closed
    }
  }
}

/** The dialog of preferences. Every change is saved at once. */
export class PreferencesPanel {
  #preferences = null;
  #changed = false;
  #saving = Promise.resolve();

  /**
   * @param {object} parts
   * @param {HTMLDialogElement} parts.dialog
   * @param {HTMLElement} parts.button
   * @param {import("./client/feed-client.js").FeedClient} parts.client
   * @param {Catalogue} parts.catalogue
   * @param {() => void} parts.onChanged  told once, when the dialog closes after a change
   * @param {() => void} parts.onErased
   */
  constructor({ dialog, button, client, catalogue, onChanged, onErased }) {
    Object.assign(this, { dialog, client, catalogue, onChanged, onErased });
    this.message = dialog.querySelector(".message");
    this.personalization = dialog.querySelector("#personalization");
    this.eraseButton = dialog.querySelector(".erase");
    button.addEventListener("click", () => this.show());
    dialog.addEventListener("close", () => this.#closed());
    this.personalization.addEventListener("change", () =>
      this.#save({ personalization: this.personalization.checked }),
    );
    dialog.querySelector(".how").addEventListener("toggle", () => this.#explain(), { once: true });
    dialog.querySelector(".export").addEventListener("click", () => this.#export());
    this.eraseButton.addEventListener("click", () => this.#erase());
  }

  /** Open the dialog with what the service knows. */
  async show() {
    this.#changed = false;
    this.#say("");
    this.#disarm();
    this.personalization.disabled = true; // nothing to change until it is known what there is
    for (const list of this.dialog.querySelectorAll(".topics, .languages, .wishes")) list.replaceChildren();
    this.dialog.showModal();
    await this.#attempt(async () => {
      this.#preferences = await this.client.getPreferences();
      this.#draw();
    });
  }

  /** Mute a section without opening the dialog. @param {string} section */
  async muteSection(section) {
    this.#preferences = await this.client.getPreferences();
    await this.client.putPreferences(
      this.#with({ ...moved(this.#preferences, "section", section, "muted") }),
    );
  }

  #draw() {
    const preferences = this.#preferences;
    this.personalization.checked = preferences.personalization;
    this.personalization.disabled = false;
    for (const kind of ["section", "source"]) this.#drawTopics(kind);
    const { wishes } = preferences;
    this.dialog
      .querySelector(".wishes")
      .replaceChildren(...wishList(this.client, wishes, (kept) => this.#save({ wishes: kept })));
    this.dialog.querySelector(".wishes-part").hidden = !wishes.length;
    const languages = new Set([...this.catalogue.language, ...preferences.languages]);
    this.dialog
      .querySelector(".languages")
      .replaceChildren(...sorted(languages).map((code) => this.#languageBox(code)));
  }

  #drawTopics(kind) {
    const followed = this.#preferences[`followed_${kind}s`];
    const muted = this.#preferences[`muted_${kind}s`];
    const names = sorted(new Set([...this.catalogue[kind], ...followed, ...muted]));
    const row = (name) =>
      el(
        "li.topic",
        {},
        el("span.name", { dir: "auto" }, name),
        this.#topicButton(kind, name, "followed", followed.includes(name)),
        this.#topicButton(kind, name, "muted", muted.includes(name)),
      );
    this.dialog.querySelector(`.${kind}s`).replaceChildren(...names.map(row));
  }

  #topicButton(kind, name, list, pressed) {
    const word = list === "followed" ? "Follow" : "Mute";
    return el(
      "button.toggle",
      {
        type: "button",
        "aria-pressed": String(pressed),
        "aria-label": `${word} ${name}`,
        onclick: () =>
          this.#save(
            moved(this.#preferences, kind, name, pressed ? "neither" : list),
            `${word} ${name}`,
          ),
      },
      word,
    );
  }

  #languageBox(code) {
    const box = el("input", {
      type: "checkbox",
      value: code,
      checked: this.#preferences.languages.includes(code),
    });
    box.addEventListener("change", () => {
      const boxes = this.dialog.querySelectorAll(".languages input:checked");
      this.#save({ languages: Array.from(boxes, (each) => each.value) });
    });
    return el("label", {}, box, " ", code);
  }

  #with(changes) {
    const {
      followed_sections,
      muted_sections,
      followed_sources,
      muted_sources,
      languages,
      wishes,
      personalization,
    } = this.#preferences;
    return {
      followed_sections,
      muted_sections,
      followed_sources,
      muted_sources,
      languages,
      wishes,
      personalization,
      ...changes,
    };
  }

  async #save(changes, focusLabel) {
    this.#saving = this.#attempt(async () => {
      await this.client.putPreferences(this.#with(changes));
      this.#preferences = this.#with(changes);
      this.#changed = true;
      this.#say("Saved.");
    });
    await this.#saving;
    this.#draw();
    const label = focusLabel && CSS.escape(focusLabel);
    if (label) this.dialog.querySelector(`[aria-label="${label}"]`)?.focus();
  }

  async #explain() {
    const list = this.dialog.querySelector(".about-ranking");
    await this.#attempt(async () => {
      try {
        const { summary, limits } = await this.client.request("GET", "/v1/about-ranking");
        const wanted = limits.map((limit) => `The editors’ rule for every front page: ${limit}.`);
        list.replaceChildren(...[...summary, ...wanted].map((text) => el("li", {}, text)));
      } catch (problem) {
        if (problem.status !== 403) throw problem;
        list.replaceChildren(el("li", {}, "This site does not publish how it orders its feed."));
        this.dialog.querySelector(".every-signal").hidden = true;
      }
    });
  }

  async #export() {
    await this.#attempt(async () => {
      const held = await this.client.exportReader();
      const file = new Blob([JSON.stringify(held, null, 2)], { type: "application/json" });
      const link = el("a", { href: URL.createObjectURL(file), download: "my-reading.json" });
      link.click();
      URL.revokeObjectURL(link.href);
    });
  }

  async #erase() {
    if (!this.eraseButton.classList.contains("armed")) {
      this.eraseButton.classList.add("armed");
      this.eraseButton.textContent = "Press again to erase for good";
      return;
    }
    await this.#attempt(async () => {
      await this.client.eraseReader();
      this.#changed = false;
      this.dialog.close();
      this.onErased();
    });
  }

  #disarm() {
    this.eraseButton.classList.remove("armed");
    this.eraseButton.textContent = "Erase everything held on me";
  }

  async #attempt(action) {
    try {
      await action();
    } catch (problem) {
      this.#say(`That did not work: ${problem.message}`);
    }
  }

  #say(words) {
    this.message.textContent = words;
    if (words) announce(words);
  }

  async #closed() {
    await this.#saving; // the dialog may be closed before the service has answered
    if (this.#changed) this.onChanged();
    this.#changed = false;
  }
}

/** The two lists of a kind with one name moved to `followed`, `muted` or `neither`. */
function moved(preferences, kind, name, list) {
  const without = (names) => names.filter((each) => each !== name);
  const followed = without(preferences[`followed_${kind}s`]);
  const muted = without(preferences[`muted_${kind}s`]);
  if (list === "followed") followed.push(name);
  if (list === "muted") muted.push(name);
  return { [`followed_${kind}s`]: followed, [`muted_${kind}s`]: muted };
}

/** @param {Iterable<string>} names */
export function sorted(names) {
  return [...names].sort((a, b) => a.localeCompare(b, "en", { sensitivity: "base" }));
}
