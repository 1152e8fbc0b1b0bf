/**
 * Who did what.
 * @module experiments/audit
 */

import { el } from "../dom.js";
import { addressOf, moment, number, percent, saying, spelled } from "./words.js";

const SUBJECTS = "experiments/";
const MOST = 100;

/**
 * A section that reads the log when somebody opens it.
 * @param {import("./api.js").Api} api
 * @param {string} [subject]  an experiment; else everything
 */
export function auditSection(api, subject = "") {
  const body = el("div", { "aria-live": "polite" });
  let read = false;
  const open = async () => {
    if (!section.open || read) return;
    body.replaceChildren(el("p.note", {}, "…"));
    try {
      const query = { limit: MOST, subject: subject && SUBJECTS + subject };
      const { entries } = await api.get("/v1/audit", query);
      read = true;
      body.replaceChildren(entries.length ? table(entries, subject) : nothing());
    } catch (problem) {
      body.replaceChildren(el("p.error", {}, saying(problem)));
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
          !subject && el("td", {}, where(entry.subject)),
          el("td", {}, ...changes(entry.before, entry.after)),
        ),
      ),
    ),
  );
}

function where(subject) {
  if (!subject.startsWith(SUBJECTS)) return subject;
  const name = subject.slice(SUBJECTS.length);
  return el("a", { href: addressOf(name) }, name);
}

/** The time and the action of an entry say these. */
const SAID = new Set(["buckets", "reserved", "created_at", "started_at", "stopped_at"]);

function changes(before, after) {
  if (!before || !after) return [el("span.note", {}, after ? "new" : "–")];
  const names = Object.keys({ ...before, ...after }).filter(
    (name) =>
      !SAID.has(name) && JSON.stringify(before[name]) !== JSON.stringify(after[name]),
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
  if (name === "steps") return value.map((step) => percent(step.traffic)).join(", ") || "none";
  if (value == null || value === "") return "none";
  if (name === "traffic") return percent(value);
  if (typeof value === "number") return number(value);
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 79)}…` : text;
}
