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

const main = document.getElementById("main");
const api = new Api();

async function show() {
  const name = decodeURIComponent(location.pathname.split("/")[2] ?? "");
  const draw = name === "new" ? showForm : name ? showOne : showList;
  main.setAttribute("aria-busy", "true");
  try {
    const contents = await draw(api, name);
    main.replaceChildren(...contents);
  } catch (problem) {
    main.replaceChildren(trouble(problem));
  }
  main.setAttribute("aria-busy", "false");
  document.title = `${main.querySelector("h1, h2")?.textContent ?? ""} · Experiments`;
  document.getElementById("forget-key").hidden = !Object.keys(api.headers).length;
}

function trouble(problem) {
  return el(
    "div.state-message",
    { role: "alert" },
    el("h1", {}, problem.status === 404 ? "There is nothing here" : "That did not work"),
    el("p", {}, problem.message),
    el("button.solid", { type: "button", onclick: show }, "Try again"),
  );
}

document.getElementById("forget-key").addEventListener("click", () => {
  forgetKey();
  location.reload();
});
main.addEventListener("changed", show);

show();
