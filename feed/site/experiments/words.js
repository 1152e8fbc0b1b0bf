/**
 * Numbers, times and verdicts in words, the same on every page about experiments.
 * @module experiments/words
 */

import { el } from "../dom.js";

const NUMBER = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 2 });
const SHORT = new Intl.NumberFormat("en-GB", { maximumSignificantDigits: 3 });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const DATE = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });
const MOMENT = new Intl.DateTimeFormat("en-GB", {
  day: "numeric",
  month: "short",
  hour: "2-digit",
  minute: "2-digit",
});
const DAY_MS = 86_400_000;

/** @param {number} value */
export const number = (value) => NUMBER.format(value);

/** A number that was measured or computed, in three digits. @param {?number} value */
export const measured = (value) => (value == null ? "–" : SHORT.format(value));

/** @param {number} share */
export const percent = (share) => `${NUMBER.format(100 * share)} %`;

/** @param {number} count @param {string} noun */
export const count = (count, noun) => `${number(count)} ${noun}${count === 1 ? "" : "s"}`;

/** @param {string} name  of a metric or a setting */
export const spelled = (name) => name.replaceAll("_", " ");

/** @param {?string} iso */
export function date(iso) {
  if (!iso) return "–";
  const day = new Date(iso);
  const format = day.getFullYear() === new Date().getFullYear() ? DAY : DATE;
  return el("time", { title: iso }, format.format(day));
}

/** @param {string} iso */
export function moment(iso) {
  return el("time", { title: iso }, MOMENT.format(new Date(iso)));
}

const TONES = { ship: "good", "do not ship": "bad", broken: "warn", inconclusive: "warn" };

/** @param {string} verdict */
export function verdictMark(verdict) {
  return el(`span.mark.${TONES[verdict] ?? "calm"}`, {}, capital(verdict));
}

/** A verdict's sentence without the verdict, which stands before it. @param {object} report */
export function sentenceOf({ verdict, sentence }) {
  const lead = `${verdict}: `;
  return sentence.toLowerCase().startsWith(lead) ? capital(sentence.slice(lead.length)) : sentence;
}

/** @param {{status: string, archived?: boolean}} experiment */
export function statusMark(experiment) {
  const { status, archived } = experiment;
  return el(`span.status.is-${status}`, {}, capital(status), archived && " · archived");
}

/** @param {string} text */
export function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** What a problem says, as a sentence. @param {Error} problem */
export function saying({ message }) {
  return capital(/[.?!]$/.test(message) ? message : `${message}.`);
}

/**
 * How far an experiment is: days by the clock, readers by the last report on this version.
 * @param {Object<string, any>} experiment
 * @param {?{days_run: number, readers: number}} report
 */
export function progress(experiment, report) {
  if (!experiment.started_at) return el("span.note", {}, "not started");
  const { planned_days: days, planned_readers: readers } = experiment;
  const end = experiment.stopped_at ? Date.parse(experiment.stopped_at) : Date.now();
  const run = Math.max(0, (end - Date.parse(experiment.started_at)) / DAY_MS);
  const people = report
    ? `${number(report.readers)} of ${number(readers)} readers`
    : `${number(readers)} readers planned`;
  const time = experiment.stopped_at
    ? `ran ${run.toFixed(1)} of ${days} days`
    : `day ${Math.floor(run) + 1} of ${days}`;
  const words = `${time}; ${people}`;
  const done = Math.min(run / days, report ? report.readers / readers : 0, 1);
  const late = run > days && done < 1;
  return el(
    "div.progress",
    {},
    el("progress", { class: late ? "late" : null, max: 1, value: done, "aria-label": words }),
    el("span", {}, words),
  );
}

/**
 * When the watch looks next; null if nobody does by themselves.
 * @param {Object<string, any>} experiment
 * @param {?{made_at: string}} report
 * @param {number} watchMinutes
 */
export function nextLook(experiment, report, watchMinutes) {
  if (experiment.status !== "running" || !watchMinutes) return null;
  const last = Math.max(Date.parse(experiment.started_at), Date.parse(report?.made_at ?? 0));
  return new Date(Math.max(last + watchMinutes * 60_000, Date.now())).toISOString();
}

/** The share of its layer that takes part now. @param {Object<string, any>} experiment */
export function trafficOf({ steps = [], traffic }) {
  return steps.at(-1)?.traffic ?? traffic;
}

/** Address of the page of an experiment. @param {string} name */
export const addressOf = (name) => `/experiments/${encodeURIComponent(name)}`;

/** Address of an experiment in the API. @param {string} name @param {string} [rest] */
export const apiPath = (name, rest = "") => `/v1/experiments/${encodeURIComponent(name)}${rest}`;
