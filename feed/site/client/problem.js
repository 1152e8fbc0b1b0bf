/**
 * Answers that were not a success.
 * @module problem
 */

/**
 * @typedef {object} ProblemParts
 * @property {number} status  HTTP status; 0 if there was no answer at all
 * @property {string} title
 * @property {string} [detail]
 * @property {{field: string, rule: string}[]} [errors]
 * @property {number|null} [retryAfterS]  seconds the service asked to wait
 * @property {unknown} [cause]
 */

/** An answer that was not a success, as the service's problem document tells it. */
export class FeedProblem extends Error {
  /** @param {ProblemParts} parts */
  constructor({ status, title, detail = "", errors = [], retryAfterS = null, cause }) {
    super(detail || title, { cause });
    this.name = "FeedProblem";
    /** HTTP status; 0 if there was no answer at all. */
    this.status = status;
    this.title = title;
    this.detail = detail;
    /** The fields that broke a rule, with the rule. */
    this.errors = errors;
    /** Seconds the service asked to wait, null if it did not ask. */
    this.retryAfterS = retryAfterS;
  }

  /** True if the service was not reached. */
  get offline() {
    return this.status === 0;
  }

  /** True if the same request may succeed later. */
  get temporary() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

/**
 * The problem that a response tells of.
 * @param {Response} response
 * @param {string} text  its body
 * @returns {FeedProblem}
 */
export function readProblem(response, text) {
  const title = `The service answered ${response.status}.`;
  const known = { status: response.status, retryAfterS: readRetryAfter(response.headers) };
  try {
    return new FeedProblem({ title, ...JSON.parse(text), ...known });
  } catch {
    return new FeedProblem({ title, ...known }); // a proxy's page, say
  }
}

/** Retry-After is a number of seconds or a date. @param {Headers} headers */
function readRetryAfter(headers) {
  const text = headers.get("Retry-After") ?? "";
  if (/^\s*\d/.test(text)) return Number.parseFloat(text);
  const moment = Date.parse(text);
  return Number.isNaN(moment) ? null : Math.max(0, (moment - Date.now()) / 1000);
}
