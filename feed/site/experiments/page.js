/**
 * The pages about experiments: the address says which one is shown.
 * @module experiments/page
 */

import { forgetKey } from "../api-key.js";
import { el } from "../dom.js";
import { Api } from "./api.js";
import { showForm } from "./form.js";
import { showList } from "./list.js";
import { showOne } from "./one.js";
import { saying } from "./words.js";

const main = document.getElementById("main");
const api = new Api();

async function show() {
  const name = location.pathname.split("/")[2] ?? "";
  const draw = name === "new" ? showForm : name ? showOne : showList;
  main.setAttribute("aria-busy", "true");
  try {
    const contents = await draw(api, decodeURIComponent(name));
    const last = main.contains(document.activeElement) ? document.activeElement : null;
    main.replaceChildren(...contents);
    if (last) sameAs(last).focus();
  } catch (problem) {
    main.replaceChildren(trouble(problem));
  }
  main.setAttribute("aria-busy", "false");
  document.title = `${main.querySelector("h1, h2")?.textContent ?? "Experiments"} · feed`;
  document.getElementById("forget-key").hidden = !api.headers.Authorization;
}

/** Where the keyboard was before the page was drawn anew, or where the page begins. */
function sameAs(element) {
  const label = element.getAttribute("aria-label");
  const like = label && main.querySelector(`[aria-label="${CSS.escape(label)}"]`);
  return like || main;
}

function trouble(problem) {
  return el(
    "div.state-message",
    { role: "alert" },
    el("h1", {}, problem.status === 404 ? "There is nothing here" : "That did not work"),
    el("p", {}, saying(problem)),
    el("button.solid", { type: "button", onclick: show }, "Try again"),
  );
}

document.getElementById("forget-key").addEventListener("click", () => {
  forgetKey();
  location.reload();
});
main.addEventListener("changed", show);

show();
