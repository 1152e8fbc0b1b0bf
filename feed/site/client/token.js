/**
 * One reader's token: read, kept, and renewed before it ends.
 * @module token
 */

import { FeedProblem } from "./problem.js";

/**
 * What a token says of itself. Nothing is verified here: that is for the service.
 * @typedef {object} TokenFacts
 * @property {string} userId  its `sub`
 * @property {number} expiresMs  its `exp`, in milliseconds since 1970; Infinity if it has none
 * @property {number|null} issuedMs  its `iat`, null if it has none
 */

/**
 * @param {string} token  a JWT
 * @returns {TokenFacts}
 * @throws {FeedProblem} with status 401: it is no JWT, or names no reader
 */
export function readToken(token) {
  try {
    const payload = (token.split(".")[1] ?? "").replace(/-/g, "+").replace(/_/g, "/");
    const bytes = Uint8Array.from(atob(payload), (character) => character.charCodeAt(0));
    const { sub, exp, iat } = JSON.parse(new TextDecoder().decode(bytes));
    if (typeof sub !== "string" || !sub) throw new TypeError("sub is missing");
    return {
      userId: sub,
      expiresMs: typeof exp === "number" ? exp * 1000 : Infinity,
      issuedMs: typeof iat === "number" ? iat * 1000 : null,
    };
  } catch (cause) {
    const title = "What was given as a reader's token is not a JWT that names a reader.";
    throw new FeedProblem({ status: 401, title, cause });
  }
}

/** @param {unknown} text @returns {text is string} whether it can be read as a reader's token */
export function isToken(text) {
  try {
    return typeof text === "string" && Boolean(readToken(text));
  } catch {
    return false;
  }
}

/** How long before its end a token is replaced, as a share of its life and in milliseconds. */
const READER_MARGIN = { share: 0.2, mostMs: 60_000 };

/**
 * Holds the token of one reader. Whoever asks gets one that has not ended; however many ask at
 * once, one request is made.
 */
export class TokenKeeper {
  /** @type {string|null} */
  #token = null;
  /** @type {TokenFacts|null} */
  #facts = null;
  /** @type {Promise<string>|null} */
  #pending = null;
  #renewAtMs = 0;
  #renew;
  #clock;
  #margin;

  /**
   * @param {object} parts
   * @param {((current: string|null) => Promise<string>)|null} parts.renew  fetches a token; null
   *   where there is no way to get another
   * @param {import("./http.js").ServiceClock} parts.clock
   * @param {string|null} [parts.token]  the one to begin with
   * @param {{share: number, mostMs: number}} [parts.margin]
   */
  constructor({ renew, clock, token = null, margin = READER_MARGIN }) {
    this.#renew = renew;
    this.#clock = clock;
    this.#margin = margin;
    if (token !== null) this.#keep(token);
  }

  /** Whose token it is; null until there has been one. */
  get userId() {
    return this.#facts?.userId ?? null;
  }

  /** Whether there is a way to get another. */
  get renewable() {
    return this.#renew !== null;
  }

  /** A token that can be used at once, as by a page that is being left; null if there is none. */
  get usable() {
    return this.#facts && this.#clock.now() < this.#facts.expiresMs ? this.#token : null;
  }

  /**
   * A token to send.
   * @param {string|null} [refused]  the one that the service has just refused
   * @returns {Promise<string>}
   * @throws {FeedProblem} there is none to be had
   */
  async get(refused = null) {
    const token = this.#token;
    if (token !== null && !this.#renew) return token; // if it has ended, the service will say so
    const good = token !== null && token !== refused;
    if (good && this.#clock.now() < this.#renewAtMs) return token;
    this.#pending ??= this.#fetch().finally(() => (this.#pending = null));
    if (!good || !this.usable) return this.#pending;
    this.#pending.catch(() => {}); // there is time to try again: nobody need wait for it
    return token;
  }

  async #fetch() {
    if (!this.#renew) throw new FeedProblem({ status: 401, title: "There is no token." });
    const token = await this.#renew(this.#token);
    this.#keep(token);
    return token;
  }

  /** @param {string} token */
  #keep(token) {
    const facts = readToken(token);
    if (this.#facts && facts.userId !== this.#facts.userId) {
      const title = "The new token belongs to another reader. Call login() when the reader changes.";
      throw new FeedProblem({ status: 401, title });
    }
    const { expiresMs, issuedMs } = facts;
    const ofAnotherTime = (issuedMs ?? 0) > this.#clock.now() || expiresMs <= this.#clock.now();
    if (this.#renew && !this.#clock.heard && issuedMs !== null && ofAnotherTime) {
      this.#clock.set(issuedMs); // made just now, so it is the device's clock that is wrong
    }
    const lifeMs = expiresMs - (issuedMs ?? this.#clock.now());
    const marginMs = Math.min(lifeMs * this.#margin.share, this.#margin.mostMs);
    this.#renewAtMs = Number.isFinite(lifeMs) ? expiresMs - marginMs : Infinity;
    this.#token = token;
    this.#facts = facts;
  }
}
