/**
 * The dialog that says what will happen before it does.
 * @module experiments/ask
 */

import { el } from "../dom.js";
import { showErrors } from "./fields.js";

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
      button.disabled = true;
      trouble.textContent = "";
      try {
        await run(form);
        finish(true);
      } catch (problem) {
        const shown = problem.errors?.length && showErrors(form, problem);
        if (!shown) trouble.textContent = `${problem.message}.`;
      }
      button.disabled = false;
    };
    const finish = (done) => {
      dialog.onclose = null;
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
      el(
        "div.row",
        {},
        button,
        el("button.solid.quiet-solid", { type: "button", onclick: () => finish(false) }, "Cancel"),
      ),
    );
    dialog.replaceChildren(form);
    dialog.onclose = () => finish(false);
    dialog.showModal();
    (form.querySelector("input") ?? button).focus();
  });
}
