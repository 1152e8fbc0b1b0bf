/**
 * Anonymous readers: their ids and tokens, kept in the browser and shared by its tabs.
 * @module guests
 */

import { newEventId } from "./ids.js";
import { FeedProblem } from "./problem.js";
import { isToken, readToken, TokenKeeper } from "./token.js";

/** Where the present guest is kept. */
export const GUEST_KEY = "feed-client-guest";
const OWED_KEY = "feed-client-merges";

/** A guest comes back after weeks: the token is renewed in the second half of its life. */
const GUEST_MARGIN = { share: 0.5, mostMs: Infinity };

/** @typedef {import("./session.js").Session} Session */

/**
 * What is kept of the present guest; the token is null until the service has given one.
 * @typedef {{owner: string, token: string|null}} GuestRecord
 */

/**
 * A guest whose reading is to become that of a reader who signed in.
 * @typedef {{owner: string, token: string, into: string}} OwedMerge
 */

/** Starts, remembers and forgets guests. */
export class Guests {
  /** @type {OwedMerge[]} */
  #owed = [];
  #refusedUntilMs = 0;
  /** @type {FeedProblem|null} */
  #refusal = null;

  /**
   * @param {object} parts
   * @param {import("./api.js").KeyValueStorage|null} parts.storage
   * @param {(headers: Record<string, string>) => Promise<{token: string}>} parts.ask
   *   POST /v1/anonymous
   * @param {string|null} parts.siteKey
   * @param {import("./http.js").ServiceClock} parts.clock
   */
  constructor({ storage, ask, siteKey, clock }) {
    this.storage = storage;
    this.ask = ask;
    this.siteKey = siteKey;
    this.clock = clock;
    this.#owed = this.#readJson(OWED_KEY) ?? [];
  }

  /** The guest who is kept in this browser, else a new one. @returns {Session} */
  current() {
    let record = this.#record();
    if (!record) {
      record = { owner: `guest ${newEventId()}`, token: null };
      this.#write(GUEST_KEY, record);
    }
    return this.restore(record.owner, record.token);
  }

  /**
   * A guest as they were left.
   * @param {string} owner
   * @param {string|null} token
   * @returns {Session}
   */
  restore(owner, token) {
    /** @param {string|null} current */
    const renew = (current) => this.#alone(() => this.#obtain(owner, current));
    const known = isToken(token) ? token : null;
    const keeper = new TokenKeeper({ renew, clock: this.clock, token: known, margin: GUEST_MARGIN });
    return { owner, guest: true, keeper };
  }

  /** Is this the guest whom the browser keeps? @param {Session} session */
  keeps(session) {
    return !this.storage || this.#record()?.owner === session.owner;
  }

  /** The next guest is somebody new. */
  forget() {
    this.#remove(GUEST_KEY);
  }

  /**
   * Note that the guest of this browser has signed in, if there is one who has done anything.
   * @param {string} userId  as whom
   * @param {Session|null} present  the guest who is reading, where nothing can be stored
   */
  owe(userId, present) {
    const record = this.#record();
    const token = record?.token ?? (present?.guest ? present.keeper?.usable : null);
    const owner = record?.token ? record.owner : present?.owner;
    if (token && owner) this.#setOwed([...this.#owed, { owner, token, into: userId }]);
    this.forget();
  }

  /** The guests whose reading is still to become this reader's. @param {string} userId */
  owedTo(userId) {
    const now = this.clock.now();
    return this.#owed.filter(
      ({ into, token }) => into === userId && isToken(token) && now < readToken(token).expiresMs,
    );
  }

  /** @param {OwedMerge} merge  is done, or can never be done */
  settle(merge) {
    this.#setOwed(this.#owed.filter((each) => each.owner !== merge.owner));
  }

  /**
   * A token for a guest: what another tab has got meanwhile, else the service's.
   * @param {string} owner
   * @param {string|null} current
   */
  async #obtain(owner, current) {
    const before = this.#record();
    if (before?.owner === owner && before.token && before.token !== current) return before.token;
    const { token } = await this.#request(current ?? this.siteKey);
    const after = this.#record();
    if (after?.owner !== owner) return token; // another tab has signed in or out meanwhile
    if (after.token && after.token !== current) return after.token; // or was faster
    this.#write(GUEST_KEY, { owner, token });
    return token;
  }

  /**
   * Ask the service, but not before the time it named when it last refused.
   * @param {string|null} credential  a guest's token is renewed; the site key starts a new guest
   */
  async #request(credential) {
    if (this.#refusal && Date.now() < this.#refusedUntilMs) throw this.#refusal;
    this.#refusal = null;
    try {
      return await this.ask(credential ? { Authorization: `Bearer ${credential}` } : {});
    } catch (problem) {
      if (problem instanceof FeedProblem && problem.retryAfterS !== null) {
        this.#refusal = problem;
        this.#refusedUntilMs = Date.now() + problem.retryAfterS * 1000;
      }
      throw problem;
    }
  }

  /**
   * One tab at a time, where the browser can: two that open at once are one guest.
   * @template T
   * @param {() => Promise<T>} work
   * @returns {Promise<T>}
   */
  async #alone(work) {
    const locks = this.storage ? globalThis.navigator?.locks : undefined;
    return locks ? locks.request(GUEST_KEY, work) : work();
  }

  /** @returns {GuestRecord|null} */
  #record() {
    const record = this.#readJson(GUEST_KEY);
    if (typeof record?.owner !== "string") return null;
    return { owner: record.owner, token: isToken(record.token) ? record.token : null };
  }

  /** @param {OwedMerge[]} owed */
  #setOwed(owed) {
    this.#owed = owed;
    if (owed.length) this.#write(OWED_KEY, owed);
    else this.#remove(OWED_KEY);
  }

  /** @param {string} key */
  #readJson(key) {
    try {
      return JSON.parse(this.storage?.getItem(key) ?? "null");
    } catch {
      return null;
    }
  }

  /** @param {string} key @param {unknown} value */
  #write(key, value) {
    try {
      this.storage?.setItem(key, JSON.stringify(value));
    } catch {
      this.storage = null; // full or forbidden: what is in memory remains
    }
  }

  /** @param {string} key */
  #remove(key) {
    try {
      this.storage?.removeItem(key);
    } catch {
      this.storage = null;
    }
  }
}
