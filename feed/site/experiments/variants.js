/**
 * The part of the form that says how each variant differs from the usual ranking.
 * @module experiments/variants
 */

import { el } from "../dom.js";
import { choice, field, rows } from "./fields.js";
import { number, spelled } from "./words.js";

/**
 * @param {Object<string, any>[]} values
 * @param {{name: string, text: string, kind: string, value: any, least: ?number, most: ?number}[]}
 *   settings  that a variant may change
 */
export function variantsEditor(values, settings) {
  const list = rows({
    name: "variants",
    add: "Add a variant",
    remove: "Remove this variant",
    values,
    fixed: (_, at) => at < 2,
    row: (value, at) => variant(value ?? {}, at, settings),
  });
  const share = () => {
    const boxes = [...list.querySelectorAll("[data-field=share] input")];
    const even = Math.floor(10_000 / boxes.length) / 100;
    for (const box of boxes) box.value = String(even);
    boxes[0].value = String(Number((100 - even * (boxes.length - 1)).toFixed(2)));
    list.dispatchEvent(new Event("input", { bubbles: true }));
  };
  list.append(el("button.text", { type: "button", onclick: share }, "Give all the same share"));
  return list;
}

function variant(value, at, settings) {
  const control = at === 0;
  const { name = control ? "control" : "", share, overrides = {} } = value;
  const { model_version: model = "", interleaves = [] } = value;
  return [
    el("h3", {}, control ? "Control" : `Variant ${at}`),
    el(
      "div.pair",
      {},
      field({ name: "name", label: "Name", value: name, input: { maxlength: 64, spellcheck: "false" } }),
      field({ name: "share", label: "Share", kind: "percent", value: share }),
    ),
    overridesEditor(overrides, settings, control),
    el(
      "details.inner",
      { open: Boolean(model || interleaves.length) },
      el("summary", {}, "Model and interleaving"),
      field({
        name: "model_version",
        label: "Model version",
        value: model,
        hint: "Empty: the live one. “feed models list” shows them.",
      }),
      field({
        name: "interleaves",
        label: "Interleaves two other variants",
        kind: "texts",
        value: interleaves,
        hint: "Their two names, separated by a comma. This variant then has no settings of its own.",
      }),
    ),
  ];
}

function overridesEditor(overrides, settings, control) {
  const known = new Map(settings.map((setting) => [setting.name, setting]));
  const unused = () => {
    const used = [...editor.querySelectorAll("select:not([data-kind])")].map(({ value }) => value);
    return (settings.find((one) => !used.includes(one.name)) ?? settings[0]).name;
  };
  const editor = mapEditor({
    name: "overrides",
    add: control ? "Change a setting for control, too" : "Change a setting",
    values: overrides,
    line: (name, value) => {
      const slot = el("div.slot");
      const draw = (chosen, present) => slot.replaceChildren(valueField(known.get(chosen), chosen, present));
      const options = settings.map((one) => ({ value: one.name, words: spelled(one.name) }));
      if (name && !known.has(name)) options.push({ value: name, words: spelled(name) });
      const chosen = name ?? unused();
      const picker = choice({ name: "", label: "Setting", value: chosen, options });
      const select = picker.querySelector("select");
      delete select.dataset.kind;
      select.addEventListener("change", () => draw(select.value));
      draw(chosen, value);
      return [picker, slot];
    },
  });
  return editor;
}

function valueField(setting, name, value) {
  if (!setting) return field({ name, label: "Value", kind: "json", value });
  const { kind, text } = setting;
  if (kind === "flag") return field({ name, label: spelled(name), kind, hint: text, value });
  const range = setting.most == null ? "" : ` From ${number(setting.least)} to ${number(setting.most)}.`;
  const hint = `${text.charAt(0).toUpperCase()}${text.slice(1)}.${range} Now ${setting.value}.`;
  return field({ name, label: "Value", kind, value, hint });
}

/**
 * An object whose keys are chosen in the form.
 * @param {object} parts
 * @param {string} parts.name
 * @param {string} parts.add
 * @param {Object<string, any>} parts.values
 * @param {(name?: string, value?: any) => HTMLElement[]} parts.line
 */
export function mapEditor({ name, add, values, line }) {
  const map = el("div.map", { "data-field": name });
  const changed = () => map.dispatchEvent(new Event("input", { bubbles: true }));
  const append = (key, value) => {
    const away = () => (entry.remove(), button.focus(), changed());
    const entry = el(
      "div.entry",
      {},
      ...line(key, value),
      el("button.text.remove", { type: "button", onclick: away }, "Remove"),
    );
    map.insertBefore(entry, button);
    return entry;
  };
  const grow = () => (append().querySelector("select, input").focus(), changed());
  const button = el("button.text.add", { type: "button", onclick: grow }, add);
  map.append(button);
  for (const [key, value] of Object.entries(values)) append(key, value);
  return map;
}

/** Attributes of readers: a name, and the values that are let in; "" is no value at all. */
export function attributesEditor(values) {
  return mapEditor({
    name: "attributes",
    add: "Only readers with an attribute",
    values,
    line: (name = "", accepted = []) => {
      const named = field({
        name: "",
        label: "Attribute",
        value: name,
        hint: "Such as subscriber.",
        input: { spellcheck: "false", autocapitalize: "off" },
      });
      const key = named.querySelector("input");
      delete key.dataset.kind;
      const line = el(
        "div",
        { "data-key": name },
        named,
        field({
          name: "",
          label: "Accepted values",
          kind: "texts",
          value: accepted.filter(Boolean),
          hint: "Separate several with commas.",
        }),
        field({
          name: "",
          label: "Also readers whose value is not known",
          kind: "unknown",
          value: accepted.includes(""),
        }),
      );
      key.addEventListener("input", () => (line.dataset.key = key.value.trim()));
      return [line];
    },
  });
}
