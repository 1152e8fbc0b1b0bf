/**
 * The dialog that says what will happen before it does.
 * @module experiments/ask
 */

import { el } from "../dom.js";
import { showErrors } from "./fields.js";
import { saying } from "./words.js";

/**
 * Ask, then do it. The dialog stays open with the reason where it does not work.
 * @param {object} parts
 * @param {string} parts.title
 * @param {(Node|string)[]} parts.says  what will happen
 * @param {HTMLElement[]} [parts.fields]
 * @param {string} parts.go  words of the button
 * @param {boolean} [parts.danger]
 * @param {(form: HTMLFormElement) => Promise<void>} parts.run
 * @returns {Promise<boolean>} whether it was done
 */
export function ask({ title, says, fields = [], go, danger = false, run }) {
  const dialog = document.getElementById("ask");
  return new Promise((resolve) => {
    const trouble = el("p.error", { role: "alert" });
    const button = el(`button.solid${danger ? ".danger" : ""}`, { type: "submit" }, go);
    const submit = async (event) => {
      event.preventDefault();
      if (cancel.disabled) return;
      busy(true);
      trouble.textContent = "";
      try {
        await run(form);
        finish(true);
      } catch (problem) {
        const shown = problem.errors?.length && showErrors(form, problem);
        if (!shown) trouble.textContent = saying(problem);
      }
      busy(false);
    };
    const busy = (is) => {
      for (const one of [button, cancel]) one.disabled = is;
      form.ariaBusy = String(is);
    };
    const cancel = el(
      "button.solid.quiet-solid",
      { type: "button", onclick: () => finish(false) },
      "Cancel",
    );
    const finish = (done) => {
      dialog.onclose = dialog.oncancel = null;
      dialog.close();
      resolve(done);
    };
    const form = el(
      "form.ask",
      { onsubmit: submit, novalidate: true },
      el("h2", { id: "ask-title" }, title),
      ...says.map((part) => (typeof part === "string" ? el("p", {}, part) : part)),
      ...fields,
      trouble,
      el("div.row", {}, button, cancel),
    );
    dialog.replaceChildren(form);
    dialog.onclose = () => finish(false);
    // What was sent cannot be taken back: wait for the answer, and show what it changed.
    dialog.oncancel = (event) => {
      if (cancel.disabled) event.preventDefault();
    };
    dialog.showModal();
    (form.querySelector("input") ?? button).focus();
  });
}
