/**
 * Where the service wants an API key, the page asks for one. A news site keeps its keys on its
 * servers; this page is for the people who run the service and hold a key of their own.
 * @module api-key
 */

import { el } from "./dom.js";

const STORED = "feed-api-key";

/** Headers with the key given earlier in this tab, if one was. @returns {Object<string, string>} */
export function rememberedKey() {
  try {
    const key = sessionStorage.getItem(STORED);
    return key ? keyHeaders(key) : {};
  } catch {
    return {};
  }
}

/** Forget the key given in this tab. */
export function forgetKey() {
  try {
    sessionStorage.removeItem(STORED);
  } catch {
    // forbidden by the browser's settings: nothing was kept
  }
}

/**
 * A form that asks for a key.
 * @param {import("./client/feed-client.js").FeedClient} client  gets the key
 * @param {() => void} onGiven
 */
export function keyForm(client, onGiven) {
  const input = el("input", {
    id: "api-key",
    type: "password",
    autocomplete: "off",
    required: true,
  });
  const submit = (event) => {
    event.preventDefault();
    client.headers = { ...client.headers, ...keyHeaders(input.value.trim()) };
    try {
      sessionStorage.setItem(STORED, input.value.trim());
    } catch {
      // forbidden by the browser's settings: the key holds until the page is closed
    }
    onGiven();
  };
  return el(
    "form.state-message",
    { onsubmit: submit },
    el("h2", {}, "An API key is needed"),
    el("label", { for: "api-key" }, "This service answers only callers with an API key."),
    el("div.row", {}, input, el("button.solid", { type: "submit" }, "Continue")),
  );
}

function keyHeaders(key) {
  return { Authorization: `Bearer ${key}` };
}
