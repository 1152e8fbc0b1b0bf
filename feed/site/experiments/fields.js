/**
 * Fields of a form whose names are those of a JSON document. A field's path is made of the
 * `data-field` of its ancestors, the places of their `data-row`, as in `variants.1.share`, and the
 * `data-key` that a person has typed. The service names a wrong field in the same way, so one walk
 * reads the form, and another finds the place for an error.
 * @module experiments/fields
 */

import { el } from "../dom.js";

/**
 * @typedef {object} FieldOptions
 * @property {string} name  the field of the document; "" for an input that is not part of it
 * @property {string} label
 * @property {"text"|"texts"|"percent"|"number"|"whole"|"flag"|"truth"|"json"|"unknown"} [kind]
 *   "unknown" is a box that adds "" to a list of texts, which is no text that can be typed
 * @property {string} [hint]
 * @property {any} [value]
 * @property {string} [unit]
 * @property {Object<string, any>} [input]  further attributes
 */

let made = 0;

/** A labelled input with room for an error. @param {FieldOptions} options */
export function field({ name, label, kind = "text", hint, value, unit, input = {} }) {
  if (kind === "flag" || kind === "unknown") return flag({ name, label, kind, hint, value });
  const numeric = kind === "percent" || kind === "number" || kind === "whole";
  const attributes = {
    type: "text",
    autocomplete: "off",
    inputmode: numeric ? (kind === "whole" ? "numeric" : "decimal") : null,
    value: written(kind, value),
    ...input,
  };
  const { rows, ...plain } = attributes;
  const box = rows
    ? el("textarea", { ...plain, type: null, value: null, rows }, attributes.value)
    : el("input", attributes);
  return wrapped({ name, label, kind, hint, unit: kind === "percent" ? "%" : unit, box });
}

/**
 * A labelled choice.
 * @param {FieldOptions & {options: {value: string, words: string}[]}} options
 */
export function choice({ name, label, kind = "text", hint, value, options, input = {} }) {
  const box = el(
    "select",
    input,
    ...options.map((one) =>
      el("option", { value: one.value, selected: one.value === value }, one.words),
    ),
  );
  return wrapped({ name, label, kind, hint, box });
}

function flag({ name, label, kind, hint, value }) {
  const id = `f${++made}`;
  const box = el("input", { id, type: "checkbox", checked: Boolean(value), "data-kind": kind });
  return el(
    "div.field",
    { "data-field": name || null },
    el(
      "div.switch",
      {},
      box,
      el("label", { for: id }, label, hint && el("span.note", {}, hint)),
    ),
  );
}

function wrapped({ name, label, kind, hint, unit, box }) {
  const id = `f${++made}`;
  box.id = id;
  box.dataset.kind = kind;
  if (hint) box.setAttribute("aria-describedby", `${id}-hint`);
  return el(
    "div.field",
    { "data-field": name || null },
    el("label", { for: id }, label),
    el("span.box", {}, box, unit && el("span.unit", { "aria-hidden": "true" }, unit)),
    hint && el("p.note", { id: `${id}-hint` }, hint),
  );
}

/**
 * A list whose rows can be added and taken away.
 * @param {object} parts
 * @param {string} parts.name  the field of the document
 * @param {string} parts.add  words of the button
 * @param {(value?: any) => HTMLElement[]} parts.row  the contents of a row
 * @param {any[]} parts.values
 * @param {(value: any, at: number) => boolean} [parts.fixed]  rows that stay
 * @param {string} parts.remove  words of the button that takes a row away
 * @param {(list: HTMLElement) => void} [parts.onChange]
 */
export function rows({ name, add, row, values, fixed = () => false, remove, onChange }) {
  const list = el("div.rows", { "data-field": name });
  const changed = () => {
    onChange?.(list);
    list.dispatchEvent(new Event("input", { bubbles: true }));
  };
  const addRow = (value, at) => {
    const line = el("div.line", { "data-row": true }, ...row(value, at));
    const away = () => {
      const next = line.nextElementSibling ?? line.previousElementSibling;
      line.remove();
      (next?.querySelector("input, select") ?? button).focus();
      changed();
    };
    if (!fixed(value, at)) {
      line.append(el("button.text.remove", { type: "button", onclick: away }, remove));
    }
    list.insertBefore(line, button);
    return line;
  };
  const grow = () => {
    addRow(undefined, list.querySelectorAll(":scope > [data-row]").length)
      .querySelector("input, select")
      ?.focus();
    changed();
  };
  const button = el("button.text.add", { type: "button", onclick: grow }, add);
  list.append(button);
  values.forEach(addRow);
  onChange?.(list);
  return list;
}

/** @param {HTMLElement} element @returns {string[]} its path in the document */
export function pathOf(element) {
  const path = [];
  for (let at = element; at && at.tagName !== "FORM"; at = at.parentElement) {
    if (at.dataset.field) path.unshift(...at.dataset.field.split("."));
    if (at.dataset.key !== undefined) path.unshift(at.dataset.key);
    if (at.dataset.row !== undefined) {
      const others = at.parentElement.querySelectorAll(":scope > [data-row]");
      path.unshift(String([...others].indexOf(at)));
    }
  }
  return path;
}

/** The document that a form holds; what is empty is left out. @param {HTMLElement} form */
export function readForm(form) {
  const found = {};
  for (const list of form.querySelectorAll("[data-field].rows, [data-field].map")) {
    put(found, pathOf(list), list.classList.contains("rows") ? [] : {});
  }
  for (const box of form.querySelectorAll("[data-kind]")) { // two of one path make one list
    const value = read(box);
    if (value !== undefined) put(found, pathOf(box), value);
  }
  return found;
}

function put(document, path, value) {
  let at = document;
  for (const step of path.slice(0, -1)) at = at[step] ??= {};
  const last = path.at(-1);
  at[last] = Array.isArray(at[last]) && Array.isArray(value) ? [...at[last], ...value] : value;
}

/** What cannot be read as a number stays text: the service says what is wrong with it. */
function read(box) {
  const { kind } = box.dataset;
  if (kind === "flag") return box.checked;
  if (kind === "unknown") return box.checked ? [""] : [];
  const text = box.value.trim();
  if (kind === "texts") return text.split(",").map((part) => part.trim()).filter(Boolean);
  if (text === "") return undefined;
  if (kind === "text") return text;
  if (kind === "truth") return text === "true";
  if (kind === "json") return parsed(text);
  const value = Number(text.replace(/^(\d+),(\d{1,2})$/, "$1.$2"));
  if (Number.isNaN(value)) return text;
  return kind === "percent" ? rounded(value / 100) : value;
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function written(kind, value) {
  if (value == null) return "";
  if (kind === "json") return JSON.stringify(value);
  if (kind === "percent") return String(rounded(100 * value));
  return kind === "texts" ? value.join(", ") : String(value);
}

/** Without the crumbs of binary arithmetic. @param {number} value */
export const rounded = (value) => Number(value.toFixed(8));

/**
 * Say what is wrong at the field that a problem names, open what hides it, and go there.
 * @param {HTMLElement} form
 * @param {import("../client/problem.js").FeedProblem} problem
 * @returns {boolean} whether a place was found
 */
export function showErrors(form, problem) {
  clearErrors(form);
  const places = problem.errors.map(({ field: name, rule }) => mark(nearest(form, name), name, rule));
  const first = places.find(Boolean);
  for (let at = first?.closest("details"); at; at = at.parentElement.closest("details")) {
    at.open = true;
  }
  first?.focus();
  first?.scrollIntoView({ block: "center" });
  return places.length > 0 && places.every(Boolean);
}

/** @param {HTMLElement} form */
export function clearErrors(form) {
  for (const error of form.querySelectorAll(".error")) error.remove();
  for (const box of form.querySelectorAll("[aria-invalid]")) {
    box.removeAttribute("aria-invalid");
    box.removeAttribute("aria-errormessage");
  }
}

/** The place whose path begins as the named one does, for as many steps as possible. */
function nearest(form, name) {
  let best = null;
  let most = 0;
  for (const place of form.querySelectorAll("[data-field], [data-row], [data-key]")) {
    const path = pathOf(place).join(".");
    const fits = name === path || name.startsWith(`${path}.`);
    if (fits && path.length > most) [best, most] = [place, path.length];
  }
  return best;
}

function mark(place, name, rule) {
  if (!place) return null;
  const box = place.querySelector("[data-kind], select, input, button");
  const id = `e${++made}`;
  const exact = pathOf(place).join(".") === name || /^\d+$/.test(name.split(".").at(-1));
  const missing = rule === "must be text" && box?.value === "";
  const said = missing ? "must be given" : rule;
  const words = exact ? `This ${said}.` : `${name} ${said}.`;
  const error = el("p.error", { id }, words);
  if (place.matches(".field")) place.append(error);
  else place.prepend(error);
  box?.setAttribute("aria-invalid", "true");
  box?.setAttribute("aria-errormessage", id);
  return box ?? place;
}
