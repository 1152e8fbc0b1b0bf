/**
 * Who did what.
 * @module experiments/audit
 */

import { el } from "../dom.js";
import { addressOf, moment, number, percent, spelled } from "./words.js";

/**
 * A section that reads the log when somebody opens it.
 * @param {import("./api.js").Api} api
 * @param {string} [subject]  an experiment; else everything
 */
export function auditSection(api, subject = "") {
  const body = el("div", { "aria-live": "polite" });
  const open = async () => {
    if (!section.open || body.hasChildNodes()) return;
    body.append(el("p.note", {}, "…"));
    try {
      const { entries } = await api.get("/v1/audit", { limit: 100, subject });
      body.replaceChildren(entries.length ? table(entries, subject) : nothing());
    } catch (problem) {
      body.replaceChildren(el("p.error", {}, problem.message));
    }
  };
  const section = el(
    "details.fold.audit",
    { ontoggle: open },
    el("summary", {}, "Who did what"),
    body,
  );
  return section;
}

function nothing() {
  return el("p.note", {}, "Nothing has been done yet.");
}

function table(entries, subject) {
  const names = ["When", "Who", "What", ...(subject ? [] : ["Where"]), "Changed"];
  return el(
    "table.log",
    {},
    el("thead", {}, el("tr", {}, ...names.map((name) => el("th", { scope: "col" }, name)))),
    el(
      "tbody",
      {},
      ...entries.map((entry) =>
        el(
          "tr",
          {},
          el("td", {}, moment(entry.at)),
          el("td", {}, entry.by),
          el("td", {}, spelled(entry.action)),
          !subject && el("td", {}, el("a", { href: addressOf(entry.subject) }, entry.subject)),
          el("td", {}, ...changes(entry.before, entry.after)),
        ),
      ),
    ),
  );
}

/** Nobody needs to read these: they change with every entry. */
const PLUMBING = new Set(["revision", "buckets", "created_at"]);

function changes(before, after) {
  if (!before || !after) return [el("span.note", {}, after ? "new" : "–")];
  const names = Object.keys({ ...before, ...after }).filter(
    (name) =>
      !PLUMBING.has(name) && JSON.stringify(before[name]) !== JSON.stringify(after[name]),
  );
  return names.map((name) =>
    el(
      "div.change",
      {},
      `${spelled(name)}: `,
      el("del", {}, short(name, before[name])),
      " → ",
      el("ins", {}, short(name, after[name])),
    ),
  );
}

function short(name, value) {
  if (value == null || value === "") return "none";
  if (name === "traffic") return percent(value);
  if (typeof value === "number") return number(value);
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 79)}…` : text;
}
