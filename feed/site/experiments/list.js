/**
 * The table of all experiments.
 * @module experiments/list
 */

import { announce, el } from "../dom.js";
import { actionButtons } from "./actions.js";
import { auditSection } from "./audit.js";
import { addressOf, capital, count, date, moment } from "./words.js";
import { nextLook, progress, sentenceOf, statusMark, verdictMark } from "./words.js";

const STATUSES = ["running", "draft", "stopped"];
const ORDER = Object.fromEntries(STATUSES.map((status, at) => [status, at]));

/** @param {import("./api.js").Api} api */
export async function showList(api) {
  const [{ experiments }, summaries] = await Promise.all([
    api.get("/v1/experiments", { archived: true }),
    api.get("/v1/reports"),
  ]);
  experiments.sort(
    (a, b) =>
      ORDER[a.status] - ORDER[b.status] ||
      (b.started_at ?? b.created_at ?? "").localeCompare(a.started_at ?? a.created_at ?? ""),
  );
  const reports = new Map(summaries.reports.map((report) => [report.name, report]));
  if (!experiments.length) return [heading(), nothingYet()];
  const rows = experiments.map((experiment) => ({
    experiment,
    row: tableRow(api, experiment, reportOn(experiment, reports), summaries.watch_minutes),
  }));
  return [heading(), filters(rows), table(rows), auditSection(api)];
}

/** The last report, if it is on this version. */
function reportOn(experiment, reports) {
  const report = reports.get(experiment.name);
  return report?.version === experiment.version ? report : null;
}

function heading() {
  return el(
    "div.page-head",
    {},
    el("h1", {}, "Experiments"),
    el("a.solid", { href: "/experiments/new" }, "New experiment"),
  );
}

function nothingYet() {
  return el(
    "div.state-message",
    {},
    el("h2", {}, "There is no experiment yet"),
    el("p", {}, "Write down what you expect, and which readers should see it first."),
  );
}

function filters(rows) {
  const known = new URLSearchParams(location.search);
  const chosen = {
    status: known.get("status") ?? "",
    text: known.get("q") ?? "",
    archived: known.has("archived"),
  };
  const said = el("p.note", { role: "status" });
  const none = el("p.nothing", { hidden: true }, "No experiment fits these filters.");
  const apply = () => {
    let shown = 0;
    for (const { experiment, row } of rows) {
      row.hidden = !fits(experiment, chosen);
      shown += !row.hidden;
    }
    said.textContent = `${shown} of ${count(rows.length, "experiment")}`;
    none.hidden = shown > 0;
    remember(chosen);
  };
  const buttons = ["", ...STATUSES].map((status) =>
    el(
      "button.chip",
      {
        type: "button",
        "aria-pressed": String(status === chosen.status),
        onclick: (event) => {
          chosen.status = status;
          for (const one of buttons) {
            one.setAttribute("aria-pressed", String(one === event.currentTarget));
          }
          apply();
        },
      },
      status ? capital(status) : "All",
    ),
  );
  const search = el("input", {
    id: "search",
    type: "search",
    value: chosen.text,
    placeholder: "Name, owner, hypothesis",
    oninput: () => ((chosen.text = search.value), apply()),
  });
  const archived = el("input", {
    id: "archived",
    type: "checkbox",
    checked: chosen.archived,
    onchange: () => ((chosen.archived = archived.checked), apply()),
  });
  apply();
  return el(
    "div.filters",
    { role: "search", "aria-label": "Experiments" },
    el("div.chips", { role: "group", "aria-label": "Status" }, ...buttons),
    el("label.search", { for: "search" }, el("span.spoken", {}, "Search"), search),
    el("label.archived", { for: "archived" }, archived, " Show archived"),
    said,
    none,
  );
}

function fits(experiment, { status, text, archived }) {
  const { name, owner, hypothesis } = experiment;
  const words = `${name} ${owner} ${hypothesis}`.toLowerCase();
  return (
    (!status || experiment.status === status) &&
    (archived || !experiment.archived) &&
    text
      .toLowerCase()
      .split(/\s+/)
      .every((word) => words.includes(word))
  );
}

/** The address keeps the filters, so that a link or a reload shows the same. */
function remember({ status, text, archived }) {
  const query = new URLSearchParams();
  if (status) query.set("status", status);
  if (text) query.set("q", text);
  if (archived) query.set("archived", "1");
  history.replaceState(null, "", `${location.pathname}${query.size ? `?${query}` : ""}`);
}

const COLUMNS = ["Experiment", "Status", "Progress", "Verdict", "Next look", "Owner", "Actions"];

function table(rows) {
  return el(
    "table.experiments",
    {},
    el("caption.spoken", {}, "Experiments"),
    el("thead", {}, el("tr", {}, ...COLUMNS.map((name) => el("th", { scope: "col" }, name)))),
    el("tbody", {}, ...rows.map(({ row }) => row)),
  );
}

function tableRow(api, experiment, report, watchMinutes) {
  const cell = (label, ...contents) => el("td", { "data-label": label }, ...contents);
  const changed = (row) => row.dispatchEvent(new Event("changed", { bubbles: true }));
  const row = el(
    "tr",
    { "data-name": experiment.name },
    el(
      "th.name",
      { scope: "row" },
      el("a", { href: addressOf(experiment.name) }, experiment.name),
      el("span.hypothesis", {}, experiment.hypothesis),
    ),
    cell(
      "Status",
      statusMark(experiment),
      experiment.started_at && el("span.note", {}, "since ", date(experiment.started_at)),
      experiment.stopped_at && el("span.note", {}, "until ", date(experiment.stopped_at)),
    ),
    cell("Progress", progress(experiment, report)),
    cell("Verdict", ...verdictOf(experiment, report)),
    cell("Next look", ...lookOf(experiment, report, watchMinutes)),
    cell("Owner", experiment.owner),
    cell(
      "Actions",
      actionButtons(api, experiment, (done) => {
        announce(done);
        changed(row);
      }),
    ),
  );
  return row;
}

function verdictOf(experiment, report) {
  if (!report) return [el("span.note", {}, experiment.started_at ? "no report yet" : "–")];
  return [verdictMark(report.verdict), el("span.sentence", {}, sentenceOf(report))];
}

function lookOf(experiment, report, watchMinutes) {
  if (experiment.status !== "running") return [el("span.note", {}, "–")];
  const next = nextLook(experiment, report, watchMinutes);
  const last = report && el("span.note", {}, "last ", moment(report.made_at));
  return [next ? moment(next) : el("span.note", {}, "on request"), last].filter(Boolean);
}
