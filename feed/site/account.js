/**
 * Who is reading where the service gives out readers' tokens: a guest, or somebody who signed in.
 * On a news site its own login hands the token over; on this page one is pasted.
 * @module account
 */

import { announce, el } from "./dom.js";

const STORED = "feed-reader-token";

/** The key that anybody may know, which the service has put into this page; "" if it has none. */
export function siteKey() {
  return document.querySelector("meta[name=feed-site-key]")?.content ?? "";
}

/** The token given earlier in this tab, if one was. @returns {string|undefined} */
export function rememberedToken() {
  try {
    return sessionStorage.getItem(STORED) ?? undefined;
  } catch {
    return undefined;
  }
}

/** The button that says who reads, and the dialog behind it. */
export class Account {
  /**
   * @param {object} parts
   * @param {HTMLDialogElement} parts.dialog
   * @param {HTMLElement} parts.button
   * @param {HTMLElement} parts.note  a line on the page
   * @param {import("./client/feed-client.js").FeedClient} parts.client
   * @param {() => void} parts.onReturned  the reader whose sign-in had ended is signed in again
   */
  constructor({ dialog, button, note, client, onReturned }) {
    Object.assign(this, { dialog, button, note, client, onReturned });
    this.input = dialog.querySelector("textarea");
    this.message = dialog.querySelector(".message");
    button.addEventListener("click", () => this.show());
    dialog.querySelector("form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#attempt(() => this.#signIn(this.input.value.trim()));
    });
    dialog.querySelector(".sign-out").addEventListener("click", () => this.signOut());
    this.name();
  }

  /** Say on the page who reads now. */
  name() {
    const { isGuest, userId } = this.client;
    this.button.querySelector(".name").textContent = isGuest ? "a guest" : userId;
  }

  /** Open the dialog. */
  show() {
    const { isGuest, userId } = this.client;
    this.#say("");
    this.input.value = "";
    this.dialog.querySelector(".as-guest").hidden = !isGuest;
    this.dialog.querySelector(".as-reader").hidden = isGuest;
    this.dialog.querySelector(".reader-name").textContent = userId;
    if (!this.dialog.open) this.dialog.showModal();
  }

  /** Leave the reader, who may come back; somebody new reads. */
  async signOut() {
    forgetToken();
    await this.#attempt(async () => {
      await this.client.logout();
      this.dialog.close();
      this.#note("You are signed out. This is a new guest's feed.");
    });
  }

  /** What stands in the place of a feed when the reader's token has ended. */
  ended() {
    forgetToken();
    const signIn = () => {
      this.show();
      this.dialog.querySelector(".as-guest").hidden = false;
      this.dialog.querySelector(".as-reader").hidden = true;
    };
    return el(
      "div.state-message",
      { role: "status" },
      el("h2", {}, "Your sign-in has ended"),
      el("p", {}, "Sign in again, or read on as a guest."),
      el(
        "div.row",
        {},
        el("button.solid", { type: "button", onclick: signIn }, "Sign in"),
        el(
          "button.solid.quiet-solid",
          { type: "button", onclick: () => this.signOut() },
          "Read on as a guest",
        ),
      ),
    );
  }

  async #signIn(token) {
    const before = this.client.userId;
    const { userId, merged } = await this.client.login(token);
    rememberToken(token);
    this.dialog.close();
    if (userId === before) this.onReturned();
    const kept = merged ? " What you read as a guest is kept: it is part of your feed now." : "";
    this.#note(`You are signed in as ${userId}.${kept}`);
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

  #note(words) {
    this.note.textContent = words;
    this.note.hidden = false;
  }
}

function rememberToken(token) {
  try {
    sessionStorage.setItem(STORED, token);
  } catch {
    // forbidden by the browser's settings: the token holds until the page is closed
  }
}

function forgetToken() {
  try {
    sessionStorage.removeItem(STORED);
  } catch {
    // nothing was kept either
  }
}
