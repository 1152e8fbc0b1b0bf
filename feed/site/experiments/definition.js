/**
 * The definition of an experiment as JSON, as the command line takes it.
 * @module experiments/definition
 */

import { el } from "../dom.js";
import { apiPath } from "./words.js";

/** What the service sets itself: no definition says it. */
const SET_BY_THE_SERVICE = new Set([
  ...["version", "revision", "buckets", "reserved", "status", "steps", "archived"],
  ...["excluded", "created_at", "started_at", "stopped_at"],
]);

/** @param {import("./api.js").Api} api @param {string} name */
export async function readExperiment(api, name) {
  const { experiments } = await api.get(apiPath(name));
  return experiments[0];
}

/** The part of an experiment that a person writes. @param {Object<string, any>} experiment */
export function definitionOf(experiment) {
  const parts = Object.entries(experiment).filter(([name]) => !SET_BY_THE_SERVICE.has(name));
  return Object.fromEntries(parts);
}

/**
 * A fold with the JSON, to copy for the command line.
 * @param {Object<string, any>|(() => Object<string, any>)} source
 */
export function jsonView(source) {
  const code = el("code");
  const draw = () => {
    const definition = typeof source === "function" ? source() : definitionOf(source);
    code.textContent = JSON.stringify(definition, null, 2);
  };
  const copied = el("span.note", { role: "status" });
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(code.textContent);
      copied.textContent = "Copied.";
    } catch {
      getSelection().selectAllChildren(code);
      copied.textContent = "Selected: copy it with your keyboard."; // no clipboard over plain HTTP
    }
  };
  const fold = el(
    "details.fold",
    { ontoggle: draw },
    el("summary", {}, "The definition as JSON"),
    el("p.note", {}, "For ", el("code", {}, "feed experiment create FILE"), " or ", el("code", {}, "POST /v1/experiments"), "."),
    el("pre", { tabindex: "0" }, code),
    el("p", {}, el("button.solid.quiet-solid", { type: "button", onclick: copy }, "Copy"), " ", copied),
  );
  fold.redraw = () => fold.open && draw();
  return fold;
}
