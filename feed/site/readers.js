/**
 * Who is reading: the sample readers, any id typed in, or somebody new.
 * @module readers
 */

import { el } from "./dom.js";
import { newEventId } from "./client/feed-client.js";

const STORED = "feed-reader";
const VALID = /^[^\s\u0000-\u001f\u007f]{1,128}$/;

/** An id nobody has used. */
export function newReaderId() {
  return `reader-${newEventId().slice(0, 8)}`;
}

/** The dialog in which a reader is chosen. */
export class ReaderPicker {
  #samples = [];

  /**
   * @param {object} parts
   * @param {HTMLDialogElement} parts.dialog
   * @param {HTMLElement} parts.button  shows who reads
   * @param {(userId: string) => void} parts.onChoose
   */
  constructor({ dialog, button, onChoose }) {
    Object.assign(this, { dialog, button, onChoose });
    button.addEventListener("click", () => this.show());
    dialog.querySelector("form").addEventListener("submit", (event) => this.#submit(event));
    dialog.querySelector(".new-reader").addEventListener("click", () => this.choose(newReaderId()));
  }

  /** Who reads at the start: `?reader=`, the one of last time, a sample reader, or somebody new. */
  async first() {
    await this.#loadSamples();
    const asked = new URLSearchParams(location.search).get("reader");
    const userId = [asked, remembered(), this.#samples[0]?.user_id].find((id) =>
      VALID.test(id ?? ""),
    );
    return userId ?? newReaderId();
  }

  /** Note who reads now. @param {string} userId */
  remember(userId) {
    const sample = this.#samples.find((reader) => reader.user_id === userId);
    this.button.querySelector(".name").textContent = sample?.name ?? userId;
    this.userId = userId;
    try {
      localStorage.setItem(STORED, userId);
    } catch {
      // private browsing: the address still carries the reader
    }
    const address = new URL(location.href);
    address.searchParams.set("reader", userId);
    history.replaceState(history.state, "", address);
  }

  /** Choose a reader and close. @param {string} userId */
  choose(userId) {
    this.dialog.close();
    this.onChoose(userId);
  }

  /** Open the dialog. */
  show() {
    const list = this.dialog.querySelector(".samples");
    list.replaceChildren(...this.#samples.map((reader) => this.#sampleButton(reader)));
    this.dialog.querySelector(".samples-part").hidden = !this.#samples.length;
    this.dialog.querySelector("input").value = this.userId;
    this.dialog.showModal();
  }

  #sampleButton({ user_id: userId, name, description }) {
    return el(
      "li",
      {},
      el(
        "button.sample",
        {
          type: "button",
          "aria-current": userId === this.userId ? "true" : null,
          onclick: () => this.choose(userId),
        },
        el("strong", {}, name),
        el("span", {}, description),
      ),
    );
  }

  #submit(event) {
    event.preventDefault();
    const input = this.dialog.querySelector("input");
    const userId = input.value.trim();
    if (VALID.test(userId)) this.choose(userId);
    else {
      input.setCustomValidity("1 to 128 characters, no spaces");
      input.reportValidity();
      input.addEventListener("input", () => input.setCustomValidity(""), { once: true });
    }
  }

  /** Only the built-in newsroom has sample readers; elsewhere there are none to offer. */
  async #loadSamples() {
    try {
      const response = await fetch("/demo/readers.json");
      const readers = response.ok ? await response.json() : [];
      this.#samples = Array.isArray(readers) ? readers : [];
    } catch {
      this.#samples = [];
    }
  }
}

function remembered() {
  try {
    return localStorage.getItem(STORED);
  } catch {
    return null;
  }
}
