/**
 * One request to the service, and what its answers say of the service's clock.
 * @module http
 */

import { FeedProblem, readProblem } from "./problem.js";

/** Clocks nearer than this are taken as equal: `Date` tells whole seconds, and answers travel. */
const SAME_TIME_MS = 5000;

/** The service's time. A device's own clock may be hours away from it. */
export class ServiceClock {
  /** Milliseconds to add to the device's time; 0 until the service has been heard. */
  offsetMs = 0;
  /** True once the service itself has told its time. */
  heard = false;

  /** @returns {number} the service's time in milliseconds since 1970, as well as it is known */
  now() {
    return Date.now() + this.offsetMs;
  }

  /** The service's time is `now`. @param {number} now */
  set(now) {
    const offsetMs = now - Date.now();
    this.offsetMs = Math.abs(offsetMs) < SAME_TIME_MS ? 0 : offsetMs;
  }

  /**
   * Learn from an answer that no cache on the way can have kept.
   * @param {string} method
   * @param {Headers} headers
   */
  learn(method, headers) {
    const fresh = method !== "GET" || /no-store/.test(headers.get("Cache-Control") ?? "");
    const now = Date.parse(headers.get("Date") ?? "");
    if (!fresh || Number.isNaN(now)) return;
    this.set(now);
    this.heard = true;
  }
}

/**
 * Send one request.
 * @param {typeof globalThis.fetch} fetch
 * @param {ServiceClock} clock
 * @param {string} method
 * @param {string} address  without query
 * @param {import("./api.js").RequestOptions & {headers: Record<string, string>}} options
 * @returns {Promise<any>} the JSON answer, null if it was empty
 * @throws {FeedProblem}
 */
export async function send(fetch, clock, method, address, options) {
  const { query = {}, body, signal, keepalive = false } = options;
  /** @type {Record<string, string>} */
  const headers = { Accept: "application/json", ...options.headers };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const content = body === undefined ? undefined : JSON.stringify(body);
  let response, text;
  try {
    const init = { method, headers, body: content, signal, keepalive };
    response = await fetch(address + searchOf(query), init);
    text = await response.text();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new FeedProblem({ status: 0, title: "The service could not be reached.", cause: error });
  }
  clock.learn(method, response.headers);
  if (!response.ok) throw readProblem(response, text);
  try {
    return text ? JSON.parse(text) : null;
  } catch (cause) {
    const title = "Something that is not the service answered."; // a hotel's login page, say
    throw new FeedProblem({ status: 0, title, cause });
  }
}

/** @param {Record<string, unknown>} query */
function searchOf(query) {
  const given = Object.entries(query).filter(([, value]) => value != null && value !== "");
  const pairs = given.map(([name, value]) => [name, String(value)]);
  return pairs.length ? `?${new URLSearchParams(pairs)}` : "";
}
