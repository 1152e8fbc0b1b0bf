/**
 * The service's API as these pages use it. Where a key is wanted, the person is asked for one, and
 * the same request is made again: nothing on the page is lost.
 * @module experiments/api
 */

import { keyForm, rememberedKey } from "../api-key.js";
import { ServiceClock, send } from "../client/http.js";
import { FeedProblem } from "../client/problem.js";
import { el } from "../dom.js";
import { saying } from "./words.js";

const clock = new ServiceClock();

export class Api {
  /** Sent with every request; the form for a key adds to it. */
  headers = credentials();
  #asking = null;

  /**
   * @param {string} path
   * @param {Object<string, any>} [query]
   */
  get(path, query) {
    return this.#request((headers) => send(fetch, clock, "GET", path, { query, headers }));
  }

  /**
   * @param {string} path
   * @param {Object<string, any>} [body]
   */
  post(path, body = {}) {
    return this.#request((headers) => send(fetch, clock, "POST", path, { body, headers }));
  }

  /** A file as it is. @param {string} path @returns {Promise<Blob>} */
  file(path) {
    return this.#request(async (headers) => {
      const response = await fetch(path, { headers });
      if (response.ok) return response.blob();
      throw new FeedProblem({ status: response.status, title: `There is no ${path}.` });
    });
  }

  async #request(make) {
    for (;;) {
      const sent = this.headers;
      try {
        return await make(sent);
      } catch (problem) {
        const refused = problem instanceof FeedProblem && [401, 403].includes(problem.status);
        if (!refused) throw problem;
        // An answer to a request without the key may come after the key was given.
        const answered = sent !== this.headers || (await this.#askForKey(problem));
        if (!answered) throw problem;
      }
    }
  }

  /** Several requests may be refused at once; the person is asked once. */
  #askForKey(problem) {
    this.#asking ??= askForKey(this, problem).finally(() => (this.#asking = null));
    return this.#asking;
  }
}

/** A key given in this tab, or else what makes the session of the desk count. */
function credentials() {
  const key = rememberedKey();
  const token = document.querySelector("meta[name=form-token]")?.content;
  return key.Authorization || !token ? key : { "X-Form-Token": token };
}

/** @returns {Promise<boolean>} whether a key was given */
function askForKey(api, problem) {
  const dialog = document.getElementById("ask");
  const wasOpen = dialog.open ? [...dialog.childNodes] : null;
  return new Promise((resolve) => {
    const finish = (given) => {
      dialog.onclose = null;
      if (wasOpen) dialog.replaceChildren(...wasOpen);
      else dialog.close();
      resolve(given);
    };
    const form = keyForm(api, () => finish(true));
    form.querySelector("h2").id = "ask-title";
    const said = problem.status === 403 || Object.keys(api.headers).length;
    const refusal = said && el("p.refusal", { role: "alert" }, `Refused. ${saying(problem)}`);
    const here = encodeURIComponent(location.pathname);
    const link = el("a", { href: `/desk/sign-in?next=${here}` }, "sign in to the desk");
    form.append(el("p.note", {}, "Or ", link, ", and you need no key here."));
    dialog.replaceChildren(...[refusal, form].filter(Boolean));
    dialog.onclose = () => finish(false);
    if (!dialog.open) dialog.showModal();
    form.querySelector("input").focus();
  });
}
