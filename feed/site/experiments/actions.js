/**
 * What can be done with an experiment; each says first what will happen.
 * @module experiments/actions
 */

import { el } from "../dom.js";
import { ask } from "./ask.js";
import { field, readForm } from "./fields.js";
import { apiPath, count, percent, trafficOf } from "./words.js";

const DONE = {
  Start: "is running",
  Ramp: "lets more readers in",
  Stop: "is stopped",
  Archive: "is archived",
  Restore: "is back in the list",
};

/**
 * The buttons that fit the state of an experiment.
 * @param {import("./api.js").Api} api
 * @param {Object<string, any>} experiment
 * @param {(done: string) => void} onDone
 */
export function actionButtons(api, experiment, onDone) {
  const { name, status, archived } = experiment;
  const button = (words, act, kind = "") =>
    el(
      `button.act${kind}`,
      {
        type: "button",
        "aria-label": `${words} ${name}`,
        onclick: async () => (await act(api, experiment)) && onDone(`${name} ${DONE[words]}.`),
      },
      words,
    );
  const draft = status === "draft" && !archived;
  return el(
    "div.acts",
    {},
    draft && button("Start", start, ".first"),
    draft && el("a.act", { href: formFor(name), "aria-label": `Edit ${name}` }, "Edit"),
    status === "running" && button("Ramp", ramp),
    status === "running" && button("Stop", stop, ".danger-act"),
    button("Duplicate", duplicate),
    status !== "running" && (archived ? button("Restore", unarchive) : button("Archive", archive)),
  );
}

/** The form with what a draft holds. @param {string} name */
export const formFor = (name) => `/experiments/new?draft=${encodeURIComponent(name)}`;

function start(api, experiment) {
  const { name, traffic, variants, planned_readers: readers, planned_days: days } = experiment;
  const arms = variants.filter((variant) => variant.share > 0);
  return ask({
    title: `Start ${name}?`,
    says: [
      `${percent(traffic)} of the readers of the layer “${experiment.layer}” are assigned to the variants from their next request on:`,
      el("ul", {}, ...arms.map((arm) => el("li", {}, `${arm.name}: ${percent(arm.share)}`))),
      `The plan is ${count(readers, "reader")} in ${count(days, "day")}. The definition is frozen, so that the rule is fixed before anybody sees a number.`,
    ],
    go: "Start",
    run: () => api.post(apiPath(name, "/start")),
  });
}

function ramp(api, experiment) {
  const { name } = experiment;
  return ask({
    title: `Ramp ${name}`,
    says: [
      `Now ${percent(trafficOf(experiment))} of the readers of its layer take part.`,
      "Readers who take part keep their variant. Others join from their next request on, and each is analysed from their own start.",
    ],
    fields: [field({ name: "traffic", label: "New share of readers", kind: "percent" })],
    go: "Ramp",
    run: (form) => api.post(apiPath(name, "/ramp"), readForm(form)),
  });
}

function stop(api, { name }) {
  return ask({
    title: `Stop ${name}?`,
    says: [
      "All its readers get the usual feed from their next request on. The report stays.",
      "A stopped experiment cannot go on. It can be duplicated, or registered again as its next version.",
    ],
    go: "Stop",
    danger: true,
    run: () => api.post(apiPath(name, "/stop")),
  });
}

async function duplicate(api, { name }) {
  let made = "";
  const done = await ask({
    title: `Duplicate ${name}`,
    says: ["A new draft gets the same definition. Nothing starts, and you can change everything."],
    fields: [field({ name: "name", label: "Name of the new experiment", value: `${name}-2` })],
    go: "Duplicate",
    run: async (form) => {
      const wanted = readForm(form);
      await api.post(apiPath(name, "/duplicate"), wanted);
      made = wanted.name;
    },
  });
  if (done) location.assign(formFor(made));
  return false; // the form opens instead
}

function archive(api, { name }) {
  return ask({
    title: `Archive ${name}?`,
    says: [
      "It leaves the list, and “Show archived” brings it back. Its definition, its report and its data stay.",
    ],
    go: "Archive",
    run: () => api.post(apiPath(name, "/archive")),
  });
}

function unarchive(api, { name }) {
  return ask({
    title: `Restore ${name}?`,
    says: ["It is back in the list."],
    go: "Restore",
    run: () => api.post(apiPath(name, "/unarchive")),
  });
}
