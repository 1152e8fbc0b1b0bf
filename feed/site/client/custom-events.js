/**
 * The rules of custom events, which the page's own developer should hear about at once.
 * @module custom-events
 */

import { FeedProblem } from "./problem.js";

const NAME = /^[a-z][a-z0-9_]{0,63}$/;
const LARGEST_VALUE = 1e12;

/**
 * @param {string} name
 * @param {number|null} [value]
 * @throws {FeedProblem} one of them breaks a rule
 */
export function checkCustomEvent(name, value) {
  if (typeof name !== "string" || !NAME.test(name)) {
    const rule = "must be 1 to 64 lower-case letters, digits and _, starting with a letter";
    throw brokenRule("name", rule);
  }
  if (value != null && !(typeof value === "number" && Math.abs(value) <= LARGEST_VALUE)) {
    throw brokenRule("value", `must be a number from -1e12 to 1e12`);
  }
}

/** @param {string} field @param {string} rule */
function brokenRule(field, rule) {
  const detail = `${field} ${rule}`;
  return new FeedProblem({ status: 422, title: "Invalid event", detail, errors: [{ field, rule }] });
}
