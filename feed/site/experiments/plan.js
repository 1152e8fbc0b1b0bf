/**
 * The power calculator: how many readers and days the experiment in the form needs, from what
 * readers did in the archive.
 * @module experiments/plan
 */

import { el } from "../dom.js";
import { drawCurve } from "./curve.js";
import { measured, number, saying, spelled } from "./words.js";

/** Ask once somebody pauses, not at every key. */
const PAUSE_MS = 400;
const RETRY_S = 5;
const PATH = "/v1/experiments/plan";

/** A plan does not depend on these, and they may still be empty. */
const NAMELESS = { name: "planned", hypothesis: "planned", owner: "planned" };

/**
 * @param {import("./api.js").Api} api
 * @param {() => Object<string, any>} definition  of what the form holds
 * @param {(need: {readers: number, days: number}) => void} onUse
 */
export function planPanel(api, definition, onUse) {
  const body = el("div", { "aria-live": "polite" }, el("p.note", {}, "Reading the archive …"));
  const element = el(
    "aside.plan",
    { "aria-labelledby": "plan-title" },
    el("h2", { id: "plan-title" }, "What it takes"),
    body,
  );
  let timer;
  let loading = false;
  let last = "";
  const later = (pauseMs) => {
    clearTimeout(timer);
    timer = setTimeout(load, pauseMs);
  };
  const load = async () => {
    const design = named(definition());
    const text = JSON.stringify(design);
    if (loading || text === last) return; // one at a time: the service reads the archive
    last = text;
    loading = true;
    element.setAttribute("aria-busy", "true");
    try {
      body.replaceChildren(...contents(await api.post(PATH, design), design, onUse));
    } catch (problem) {
      body.replaceChildren(...waiting(problem));
      if (problem.temporary) {
        last = "";
        later(1000 * (problem.retryAfterS ?? RETRY_S));
      }
    }
    loading = false;
    element.setAttribute("aria-busy", "false");
    if (last) later(PAUSE_MS); // what was typed meanwhile
  };
  const refresh = () => later(PAUSE_MS);
  return { element, refresh };
}

function named(definition) {
  const variants = definition.variants.map((one, at) => ({ name: `variant-${at}`, ...one }));
  return { ...definition, ...NAMELESS, variants };
}

function waiting(problem) {
  const [first] = problem.errors ?? [];
  if (!first) return [el("p.note", {}, saying(problem))];
  return [
    el("p.note", {}, "The calculator waits for a field:"),
    el("p.note", {}, el("code", {}, first.field), ` ${first.rule}.`),
  ];
}

function contents(need, design, onUse) {
  const { readers, days, reason, readers_a_day: arriving, metrics = [], curve = [] } = need;
  if (readers == null) return [el("p", {}, saying({ message: reason })), baselines(metrics)];
  const wanted = { readers, days: days == null ? null : Math.ceil(days) };
  const fits = wanted.days != null && wanted.days <= 366;
  const used = design.planned_readers === readers && design.planned_days === wanted.days;
  return [
    el(
      "p.need",
      {},
      el("span", {}, el("strong", {}, number(readers)), " readers"),
      wanted.days != null && el("span", {}, el("strong", {}, number(wanted.days)), wanted.days === 1 ? " day" : " days"),
    ),
    arriving > 0 && el("p.note", {}, `About ${measured(arriving)} readers a day take part.`),
    reason && el("p.note", {}, saying({ message: reason })),
    !fits &&
      el(
        "p.note",
        {},
        "No experiment runs for longer than a year: let more readers take part, look for a larger effect, or widen the margin of the guardrail that needs most.",
      ),
    fits &&
      el(
        "button.solid.quiet-solid",
        { type: "button", disabled: used, onclick: () => onUse(wanted) },
        used ? "The plan has these numbers" : "Use these numbers",
      ),
    curve.length > 1 && drawCurve(curve, design.minimum_effect),
    baselines(metrics),
  ].filter(Boolean);
}

function baselines(metrics) {
  if (!metrics.length) return "";
  const heads = ["Metric", "Mean", "SD", "Readers"];
  return el(
    "table.baselines",
    {},
    el("caption.note", {}, "From the archive"),
    el("thead", {}, el("tr", {}, ...heads.map((head) => el("th", { scope: "col" }, head)))),
    el(
      "tbody",
      {},
      ...metrics.map((one) =>
        el(
          "tr",
          {},
          el("th", { scope: "row" }, spelled(one.metric), el("span.note", {}, ` ${one.role}${one.reason && `: ${one.reason}`}`)),
          el("td", {}, measured(one.mean)),
          el("td", {}, measured(one.standard_deviation)),
          el("td", {}, one.readers == null ? "–" : number(one.readers)),
        ),
      ),
    ),
  );
}
