/**
 * The form in which an experiment is designed, with the power calculator beside it.
 * @module experiments/form
 */

import { el } from "../dom.js";
import { definitionOf, jsonView, readExperiment } from "./definition.js";
import { choice, clearErrors, field, pathOf, readForm, rows, showErrors } from "./fields.js";
import { planPanel } from "./plan.js";
import { addressOf, percent, saying } from "./words.js";
import { attributesEditor, variantsEditor } from "./variants.js";

const KEPT = "feed-experiment-form";

/** @param {import("./api.js").Api} api */
export async function showForm(api) {
  const draft = new URLSearchParams(location.search).get("draft");
  const [options, { metrics }, { experiments }, edited] = await Promise.all([
    api.get("/v1/design-options"),
    api.get("/v1/metrics"),
    api.get("/v1/experiments", { archived: true }),
    draft && readExperiment(api, draft),
  ]);
  if (edited && edited.status !== "draft") {
    location.replace(addressOf(draft)); // started since the link was made: nothing can be edited
    return [];
  }
  const written = draft ? null : kept();
  const start = edited ? definitionOf(edited) : { ...EMPTY, ...written };
  const parts = { api, options, metrics, experiments, draft, start };
  const value = { ...options.defaults, ...start, minimum_days: start.minimum_days };
  const form = buildForm(parts, value);
  const title = draft ? `Edit ${draft}` : "New experiment";
  return [
    el("div.page-head", {}, el("h1", {}, title)),
    written && returned(),
    form,
  ].filter(Boolean);
}

const EMPTY = {
  variants: [
    { name: "control", share: 0.5 },
    { name: "", share: 0.5 },
  ],
};

function buildForm(parts, value) {
  const { api, options, draft, start } = parts;
  const definition = () => ({ ...notInTheForm(start, form), ...readForm(form) });
  const trouble = el("p.error", { role: "alert" });
  const submit = el("button.solid", { type: "submit" }, draft ? "Save the draft" : "Create the draft");
  const save = async (event) => {
    event.preventDefault();
    clearErrors(form);
    trouble.textContent = "";
    submit.disabled = true;
    try {
      await api.post("/v1/experiments", definition());
      forget();
      location.assign(addressOf(definition().name));
    } catch (problem) {
      const shown = showErrors(form, problem);
      trouble.textContent = shown ? "A field needs a different value; the reason is beside it." : saying(problem);
    }
    submit.disabled = false;
  };
  const form = el("form.design", { onsubmit: save, novalidate: true, "aria-label": "Experiment" });
  const plan = planPanel(api, definition, (need) => usePlan(form, need));
  const json = jsonView(definition);
  form.append(
    whatFor(parts, value),
    section("Variants", "The first is what readers have now. A variant changes ranking settings, or the model.", variantsEditor(value.variants, options.ranking)),
    whatDecides(parts, value),
    howLarge(value),
    plan.element,
    whileItRuns(value),
    moreFields(value, options),
    json,
    el("div.finish", {}, submit, el("a", { href: draft ? addressOf(draft) : "/experiments" }, "Cancel"), trouble),
  );
  form.addEventListener("input", () => {
    if (!draft) keep(readForm(form));
    plan.refresh();
    json.redraw();
  });
  plan.refresh();
  return form;
}

function section(title, note, ...contents) {
  return el("fieldset", {}, el("legend", {}, title), note && el("p.note", {}, note), ...contents);
}

function whatFor({ experiments, draft }, value) {
  const taken = el("p.note", { role: "status" });
  const name = field({
    name: "name",
    label: "Name",
    value: value.name,
    hint: "Lower-case letters, digits, - and _. It becomes part of addresses and file names.",
    input: { maxlength: 64, spellcheck: "false", autocapitalize: "off", readonly: draft != null, oninput: (event) => (taken.textContent = draft ? "" : nameTaken(experiments, event.target.value)) },
  });
  name.append(taken);
  return section(
    "What is expected",
    null,
    name,
    field({ name: "hypothesis", label: "Hypothesis", value: value.hypothesis, hint: "What changes for readers, and what it should do, in a sentence.", input: { rows: 2, maxlength: 2000 } }),
    field({ name: "owner", label: "Owner", value: value.owner, hint: "Who is responsible for it." }),
  );
}

function nameTaken(experiments, name) {
  const present = experiments.find((one) => one.name === name);
  if (!present) return "";
  if (present.status === "draft") return "There is a draft of this name: it will be replaced.";
  if (present.status === "running") return "An experiment of this name is running.";
  return `There was an experiment of this name: this becomes its version ${present.version + 1}.`;
}

function whatDecides({ metrics }, value) {
  const deciding = metrics.filter((metric) => metric.can_decide);
  return section(
    "What decides",
    null,
    el("h3", {}, "Primary metrics"),
    el("p.note", {}, "A proven gain in one of these ships the variant. Several are corrected for each other."),
    rows({
      name: "primary_metrics",
      add: "Add a primary metric",
      remove: "Remove",
      values: value.primary_metrics,
      fixed: (_, at) => at === 0,
      row: (metric) => [metricChoice("", "Metric", deciding, metric)],
    }),
    el("h3", {}, "Guardrails"),
    el("p.note", {}, "These must not get worse by more than a margin."),
    rows({
      name: "guardrails",
      add: "Add a guardrail",
      remove: "Remove",
      values: value.guardrails,
      row: (spec = { metric: "hides", margin: 0.1, relative: true }) => guardrail(spec, metrics),
    }),
  );
}

function metricChoice(name, label, metrics, value) {
  const options = metrics.map((metric) => ({ value: metric.name, words: metric.title }));
  const chosen = value ?? options[0].value;
  const found = choice({ name, label, value: chosen, options });
  const note = el("p.note");
  const select = found.querySelector("select");
  const say = () => (note.textContent = metrics.find((one) => one.name === select.value)?.note ?? "");
  select.addEventListener("change", say);
  say();
  found.append(note);
  return found;
}

function guardrail({ metric, margin, relative }, metrics) {
  const worse = field({ name: "margin", label: "Worse by at most", kind: relative ? "percent" : "number", value: margin });
  const measure = choice({
    name: "relative",
    label: "Counted",
    kind: "truth",
    value: String(relative),
    options: [
      { value: "true", words: "in % of control" },
      { value: "false", words: "in its own unit" },
    ],
  });
  const unit = worse.querySelector(".unit") ?? el("span.unit", { "aria-hidden": "true" }, "%");
  const box = worse.querySelector("input");
  const select = measure.querySelector("select");
  const say = () => {
    const inPercent = select.value === "true";
    box.dataset.kind = inPercent ? "percent" : "number";
    unit.hidden = !inPercent;
  };
  box.after(unit);
  select.addEventListener("change", say);
  say();
  return [el("div.triple", {}, metricChoice("metric", "Metric", metrics, metric), worse, measure)];
}

function howLarge(value) {
  return section(
    "How large",
    "The plan fixes when the experiment is over. The calculator says what it takes.",
    field({ name: "minimum_effect", label: "Smallest effect that matters", kind: "percent", value: value.minimum_effect, hint: "Of the primary metric, relative to control." }),
    el(
      "div.pair",
      {},
      field({ name: "planned_readers", label: "Readers", kind: "whole", value: value.planned_readers }),
      field({ name: "planned_days", label: "Days", kind: "whole", value: value.planned_days }),
    ),
  );
}

function usePlan(form, { readers, days }) {
  form.querySelector("[data-field=planned_readers] input").value = String(readers);
  form.querySelector("[data-field=planned_days] input").value = String(days);
  const least = form.querySelector("[data-field=minimum_days] input");
  if (Number(least.value) > days) least.value = String(days);
  form.dispatchEvent(new Event("input", { bubbles: true }));
}

function whileItRuns(value) {
  const ramp = value.ramp && [
    el("h3", {}, "Ramp"),
    el("p.note", {}, "The traffic grows by these steps automatically. No reader changes variant."),
    rows({
      name: "ramp",
      add: "Add a step",
      remove: "Remove",
      values: value.ramp,
      row: (step = {}) => [
        el(
          "div.pair",
          {},
          field({ name: "after_days", label: "After", kind: "number", value: step.after_days, unit: "days" }),
          field({ name: "traffic", label: "Traffic", kind: "percent", value: step.traffic }),
        ),
      ],
    }),
  ];
  const breach = value.on_breach && [
    choice({
      name: "on_breach",
      label: "When a guardrail is breached or a trust check is red",
      value: value.on_breach,
      options: [
        { value: "alert", words: "send an alert" },
        { value: "stop", words: "stop the experiment, and send an alert" },
      ],
    }),
  ];
  return section(
    "While it runs",
    null,
    field({ name: "traffic", label: "Readers who take part at the start", kind: "percent", value: value.traffic, hint: "Of the readers of its layer." }),
    ...(ramp || []),
    ...(breach || []),
  );
}

function moreFields(value, { time_zone: zone, retention_days: kept }) {
  const { audience } = value;
  const texts = (name, label, hint) => field({ name, label, kind: "texts", value: audience[name], hint });
  return el(
    "details.fold",
    {},
    el("summary", {}, "Audience, statistics and layers"),
    section(
      "Audience",
      "Leave a field empty to let everybody in. Separate values with commas.",
      el(
        "div",
        { "data-field": "audience" },
        texts("platforms", "Platforms", "As feed requests name them, such as web, app."),
        texts("languages", "Languages", "Such as en, de."),
        texts("sections", "Sections"),
        audience.attributes && attributesEditor(audience.attributes),
      ),
      value.segments && field({ name: "segments", label: "Segments of the report", kind: "texts", value: value.segments, hint: "Attributes of readers, separated by commas; at most 5." }),
    ),
    section(
      "Statistics",
      `Days are those of ${zone}.${kept ? ` The archive keeps ${kept} days.` : ""}`,
      choice({
        name: "stopping_rule",
        label: "A verdict may be reached",
        value: value.stopping_rule,
        options: [
          { value: "sequential", words: "at any look" },
          { value: "fixed", words: "once, when the planned readers and days are over" },
        ],
      }),
      el(
        "div.pair",
        {},
        field({ name: "minimum_days", label: "Not before day", kind: "whole", value: value.minimum_days, hint: "Empty: 7, or all days of a shorter plan." }),
        field({ name: "pre_days", label: "Days before the start", kind: "whole", value: value.pre_days, hint: "They make the intervals narrower." }),
        field({ name: "alpha", label: "Chance of a false alarm", kind: "percent", value: value.alpha, hint: `α, usually ${percent(0.05)}.` }),
        field({ name: "power", label: "Chance to find the effect", kind: "percent", value: value.power, hint: "The power." }),
      ),
      field({ name: "secondary_metrics", label: "Secondary metrics", kind: "texts", value: value.secondary_metrics, hint: "Names, separated by commas. Empty: every other metric." }),
    ),
    section(
      "Layers",
      "Experiments of one layer share no reader. Those that change the same setting belong in one layer.",
      el(
        "div.pair",
        {},
        field({ name: "layer", label: "Layer", value: value.layer }),
        field({ name: "holdout_share", label: "Readers in no experiment at all", kind: "percent", value: value.holdout_share }),
      ),
      field({ name: "pin_model", label: "Keep the model that is live at the start", kind: "flag", value: value.pin_model }),
      field({ name: "equal_arms", label: "An A/A test: the variants may be served alike", kind: "flag", value: value.equal_arms }),
    ),
  );
}

/** What a draft says and the form has no field for, such as readers who test a variant. */
function notInTheForm(start, form) {
  const names = new Set([...form.querySelectorAll("[data-field]")].map((each) => pathOf(each)[0]));
  return Object.fromEntries(Object.entries(start).filter(([name]) => !names.has(name)));
}

function returned() {
  const again = () => (forget(), location.reload());
  return el(
    "p.card-box",
    {},
    "What you had typed is back. ",
    el("button.text", { type: "button", onclick: again }, "Start afresh"),
  );
}

function kept() {
  try {
    return JSON.parse(sessionStorage.getItem(KEPT));
  } catch {
    return null;
  }
}

function keep(definition) {
  try {
    sessionStorage.setItem(KEPT, JSON.stringify(definition));
  } catch {
    // forbidden by the browser's settings: a reload loses what was typed
  }
}

function forget() {
  try {
    sessionStorage.removeItem(KEPT);
  } catch {
    // as above
  }
}
