/**
 * One experiment: what is registered, how far it is, what the report says, who did what.
 * @module experiments/one
 */

import { announce, el } from "../dom.js";
import { actionButtons } from "./actions.js";
import { auditSection } from "./audit.js";
import { jsonView, readExperiment } from "./definition.js";
import { addressOf, count, date, moment, number, percent, saying, spelled } from "./words.js";
import { nextLook, progress, sentenceOf, statusMark, trafficOf, verdictMark } from "./words.js";

/** @param {import("./api.js").Api} api @param {string} name */
export async function showOne(api, name) {
  const [experiment, { reports, watch_minutes: watchMinutes }] = await Promise.all([
    readExperiment(api, name),
    api.get("/v1/reports"),
  ]);
  const report = reports.find((one) => one.name === name) ?? null;
  const current = report?.version === experiment.version ? report : null;
  const head = el(
    "div.page-head",
    {},
    el(
      "div",
      {},
      el("p.kicker-line", {}, statusMark(experiment), ` version ${experiment.version}`),
      el("h1", {}, name),
      el("p.lead", {}, experiment.hypothesis),
    ),
    actionButtons(api, experiment, (done) => {
      announce(done);
      head.dispatchEvent(new Event("changed", { bubbles: true }));
    }),
  );
  return [
    head,
    verdictCard(experiment, current, nextLook(experiment, current, watchMinutes)),
    el("div.two", {}, registered(experiment), el("div", {}, steps(experiment), jsonView(experiment))),
    report && (await reportSection(api, name, report, experiment)),
    auditSection(api, name),
  ].filter(Boolean);
}

function verdictCard(experiment, report, next) {
  if (!experiment.started_at) {
    const words = "A draft. Nothing is shown to readers until it is started.";
    return el("div.card-box", {}, el("p", {}, words));
  }
  const look = [
    report && ["Report of ", moment(report.made_at)],
    next && ["next look ", moment(next)],
  ].filter(Boolean);
  return el(
    "div.card-box",
    {},
    report
      ? el("p.verdict", {}, verdictMark(report.verdict), " ", el("strong", {}, sentenceOf(report)))
      : el("p", {}, "There is no report yet. ", el("code", {}, `feed report ${experiment.name}`), " makes one now."),
    progress(experiment, report),
    look.length > 0 && el("p.note", {}, ...look.flatMap((part, at) => (at ? ["; ", ...part] : part))),
  );
}

function registered(experiment) {
  const facts = [
    ["Owner", experiment.owner],
    ["Variants", variants(experiment)],
    ["Decides", experiment.primary_metrics.map(spelled).join(", ")],
    ["Guardrails", experiment.guardrails.map(guardrail).join("; ")],
    [
      "Plan",
      `${number(experiment.planned_readers)} readers in ${count(experiment.planned_days, "day")}; a primary metric may decide from day ${experiment.minimum_days} on`,
    ],
    ["Smallest effect that matters", percent(experiment.minimum_effect)],
    ["Rule", `${experiment.stopping_rule}, α ${experiment.alpha}, power ${percent(experiment.power)}`],
    ["Traffic", `${percent(trafficOf(experiment))} of layer “${experiment.layer}”`],
    ["Audience", audience(experiment.audience)],
    experiment.segments?.length && ["Segments", experiment.segments.map(spelled).join(", ")],
    experiment.pin_model && ["Model", "the one that was live at the start"],
    experiment.on_breach && [
      "On a breach",
      experiment.on_breach === "stop" ? "it is stopped, and an alert is sent" : "an alert is sent",
    ],
  ].filter(Boolean);
  return el(
    "section",
    { "aria-labelledby": "registered" },
    el("h2", { id: "registered" }, "Registered"),
    el("dl.facts", {}, ...facts.flatMap(([term, value]) => [el("dt", {}, term), el("dd", {}, value)])),
  );
}

function variants({ variants: all }) {
  const line = ({ name, share, overrides, model_version: model, interleaves }) => {
    const changes = Object.entries(overrides).map(([key, value]) => `${spelled(key)} ${{ true: "on", false: "off" }[value] ?? value}`);
    if (model) changes.push(`model ${model}`);
    if (interleaves.length) changes.push(`interleaves ${interleaves.join(" and ")}`);
    return `${name} ${percent(share)}: ${changes.join(", ") || "the usual ranking"}`;
  };
  return el("ul.plain-list", {}, ...all.map((variant) => el("li", {}, line(variant))));
}

function guardrail({ metric, margin, relative }) {
  return `${spelled(metric)} at most ${percent(margin)} ${relative ? "" : "(absolute) "}worse`;
}

function audience(parts) {
  const named = Object.entries(parts).flatMap(([name, values]) =>
    Array.isArray(values)
      ? values.length
        ? [`${spelled(name)} ${values.join(", ")}`]
        : []
      : Object.entries(values).map(([key, accepted]) => `${spelled(key)} ${accepted.map((one) => one || "not known").join(" or ")}`),
  );
  return named.join("; ") || "every reader";
}

function steps(experiment) {
  const lines = [
    experiment.created_at && ["Registered", experiment.created_at],
    experiment.started_at && ["Started", experiment.started_at],
    ...(experiment.steps ?? []).map((step) => [`Traffic ${percent(step.traffic)}`, step.at]),
    experiment.stopped_at && ["Stopped", experiment.stopped_at],
  ].filter(Boolean);
  const planned = (experiment.ramp ?? []).map(
    (step) => `${percent(step.traffic)} after ${count(step.after_days, "day")}`,
  );
  return el(
    "section",
    { "aria-labelledby": "steps" },
    el("h2", { id: "steps" }, "Steps"),
    el("ol.steps", {}, ...lines.map(([words, at]) => el("li", {}, `${words} `, date(at)))),
    planned.length > 0 && el("p.note", {}, `Planned: ${planned.join(", ")}.`),
  );
}

async function addressOfFile(api, path) {
  return URL.createObjectURL(await api.file(path));
}

/** A report is a page of its own. It is shown in a frame that may run nothing. */
async function reportSection(api, name, report, experiment) {
  const path = (form) => `${addressOf(name)}/report.${form}`;
  const trouble = el("span.error", { role: "alert" });
  const html = await addressOfFile(api, path("html")).catch((problem) => problem);
  if (html instanceof Error) return el("p.error", {}, "The report cannot be shown. ", saying(html));
  const save = (form) =>
    el(
      "button.text",
      {
        type: "button",
        onclick: async () => {
          trouble.textContent = "";
          try {
            const href = await addressOfFile(api, path(form));
            el("a", { href, download: `${name}.${form}` }).click();
          } catch (problem) {
            trouble.textContent = saying(problem);
          }
        },
      },
      { html: "Save as HTML", md: "Markdown", json: "JSON" }[form],
    );
  const older = report.version !== experiment.version && ` of version ${report.version}`;
  return el(
    "section",
    { "aria-labelledby": "report" },
    el("h2", { id: "report" }, "Report", older),
    el(
      "p.links",
      {},
      el("a", { href: html, target: "_blank" }, "Open it alone"),
      save("html"),
      save("md"),
      save("json"),
      trouble,
    ),
    el("iframe.report", { src: html, sandbox: "", title: `Report on ${name}` }),
  );
}
