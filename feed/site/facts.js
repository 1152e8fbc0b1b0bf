/**
 * What kind of feed was served, and how it was made.
 * @module facts
 */

import { el } from "./dom.js";

const RUNG_WORDS = {
  without_model: "Ordered without a learned model.",
  trending: "Ordered by what is being read now.",
  latest: "Ordered by time.",
  snapshot: "From a saved copy, which does not know yet what you did in the last few moments.",
};

/**
 * The line over the articles.
 * @param {import("./client/api.js").Feed} served
 * @param {import("./client/api.js").FeedMode} asked
 */
export function noticeOf(served, asked) {
  const rung = served.mode_served === asked ? "" : (RUNG_WORDS[served.mode_served] ?? "");
  return [served.notice, rung].filter(Boolean).join(" ");
}

/**
 * Terms and their definitions, for the margin.
 * @param {import("./client/api.js").Feed} served
 * @param {import("./client/api.js").FeedMode} asked
 */
export function factsOf(served, asked) {
  const facts = {
    Asked: asked,
    Served: served.mode_served,
    Personalized: served.personalized ? "yes" : "no",
    Model: served.model_version || "none",
    Experiments:
      Object.entries(served.experiments ?? {})
        .map(([name, variant]) => `${name}: ${variant}`)
        .join(", ") || "none",
    Request: served.request_id,
  };
  return Object.entries(facts).flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]);
}
