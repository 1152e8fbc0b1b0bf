/**
 * Sends waiting events in batches, each with the token of the reader it belongs to.
 * @module event-sender
 */

import { EventQueue } from "./event-queue.js";
import { FeedProblem } from "./problem.js";

/** Events sent in one request; some 35 kB, under the 64 kB a closing page may still send. */
const BATCH_EVENTS = 100;
const FLUSH_AFTER_MS = 2000;
const RETRY_AFTER_S = 5;

/** @typedef {import("./event-queue.js").Entry} Entry */
/** @typedef {import("./session.js").Session} Session */

/** The queue, and when and as whom it is sent. */
export class EventSender {
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  #timer;
  /** @type {Promise<boolean>} */
  #sending = Promise.resolve(true);
  #pausedUntilMs = 0;
  #stopped = false;
  /** @type {Map<string, Session>} */
  #guests = new Map();
  #queue;

  /**
   * @param {object} parts
   * @param {import("./api.js").KeyValueStorage|null} parts.storage
   * @param {import("./readers.js").Readers} parts.readers
   * @param {(problem: FeedProblem) => void} parts.onProblem
   * @param {(event: import("./api.js").FeedEvent, detail: string) => void} parts.onRejected
   */
  constructor({ storage, readers, onProblem, onRejected }) {
    this.#queue = new EventQueue(storage);
    this.readers = readers;
    this.onProblem = onProblem;
    this.onRejected = onRejected;
    if (this.#queue.length) this.#schedule(0);
  }

  /** An event of whoever reads now. @param {import("./api.js").FeedEvent} event */
  add(event) {
    const { owner, session } = this.readers;
    if (!session) return; // nobody reads
    this.#queue.add({ owner, event });
    this.#keepToken(session);
    this.#schedule(FLUSH_AFTER_MS);
  }

  /** @returns {Promise<boolean>} false if some that could be sent are still waiting */
  flush() {
    this.#sending = this.#sending.catch(() => false).then(() => this.#drain());
    return this.#sending;
  }

  /** @param {string} owner */
  drop(owner) {
    this.#queue.drop(owner);
  }

  /** @param {string} from @param {string} to */
  rename(from, to) {
    this.#queue.rename(from, to);
  }

  /**
   * The answers may never be seen, so the events stay queued: if the page lives, they go again.
   * There is no time to fetch a token either; events of whom there is none stay.
   */
  sendBeforeLeaving() {
    for (const owner of this.#queue.owners) {
      const session = this.#sessionOf(owner);
      if (!session || (session.keeper && !session.keeper.usable)) continue;
      const entries = this.#queue.of((each) => each === owner);
      for (let start = 0; start < entries.length; start += BATCH_EVENTS) {
        const body = this.#bodyOf(session, entries.slice(start, start + BATCH_EVENTS));
        this.readers.sendNow(session, "POST", "/v1/events", { body, keepalive: true });
      }
    }
  }

  /** Send nothing more. */
  stop() {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  /** @param {number} delayMs */
  #schedule(delayMs) {
    if (this.#stopped) return;
    this.#timer ??= setTimeout(() => this.flush(), delayMs);
  }

  async #drain() {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    let all = true;
    for (const owner of this.#queue.owners) {
      if (this.#stopped || !(await this.#drainOwner(owner))) all = false;
    }
    return all;
  }

  /** @param {string} owner */
  async #drainOwner(owner) {
    const session = this.#sessionOf(owner);
    if (!session) return true; // signed out: their events wait until they are here again
    for (;;) {
      const pauseMs = this.#pausedUntilMs - Date.now();
      if (pauseMs > 0) {
        this.#schedule(pauseMs);
        return false;
      }
      const names = [owner, session.owner]; // a reader's id may have come to be known meanwhile
      const entries = this.#queue.of((each) => names.includes(each)).slice(0, BATCH_EVENTS);
      if (!entries.length) return true;
      if (!(await this.#deliver(session, entries))) return false;
    }
  }

  /** @param {Session} session @param {Entry[]} entries @returns {Promise<boolean>} go on? */
  async #deliver(session, entries) {
    try {
      await this.readers.prepare(session);
      const options = { body: this.#bodyOf(session, entries), keepalive: true };
      const answer = await this.readers.requestAs(session, "POST", "/v1/events", options);
      this.#keepToken(session);
      this.#settle(entries, answer?.results ?? []);
      return true;
    } catch (error) {
      if (!(error instanceof FeedProblem)) throw error;
      this.onProblem(error);
      return this.#afterProblem(session, entries, error);
    }
  }

  /** @param {Session} session @param {Entry[]} entries @param {FeedProblem} problem */
  #afterProblem(session, entries, problem) {
    this.#keepToken(session);
    if (problem.temporary) {
      if (problem.retryAfterS) this.#pausedUntilMs = Date.now() + problem.retryAfterS * 1000;
      this.#schedule((problem.retryAfterS ?? RETRY_AFTER_S) * 1000);
      return false;
    }
    const guestIsOver = session.guest && session.keeper?.userId;
    if (problem.status === 401 && !guestIsOver) return false; // until there is another token or key
    this.#queue.settle(entries);
    for (const { event } of entries) this.onRejected(event, problem.message);
    return true;
  }

  /** @param {Entry[]} entries @param {{event_id: string, status: string, detail?: string}[]} results */
  #settle(entries, results) {
    const answers = new Map(results.map((result) => [result.event_id, result]));
    this.#queue.settle(entries);
    for (const { event } of entries) {
      const answer = answers.get(event.event_id);
      if (answer?.status === "rejected") this.onRejected(event, answer.detail ?? "");
    }
  }

  /**
   * The device's clock may be wrong. The service learns from `sent_at` what it shows now, and
   * corrects the times of the events by the difference.
   * @param {Session} session
   * @param {Entry[]} entries
   */
  #bodyOf({ keeper, owner }, entries) {
    const named = keeper ? {} : { user_id: owner };
    const events = entries.map(({ event }) => ({ ...event, ...named }));
    return { sent_at: new Date().toISOString(), events };
  }

  /** Who can send the events of an owner; null if nobody can now. @param {string} owner */
  #sessionOf(owner) {
    const present = this.readers.sessionOf(owner);
    if (present) return present;
    const token = this.#queue.tokenOf(owner);
    if (!token) return null;
    const guest = this.#guests.get(owner) ?? this.readers.restoreGuest(owner, token);
    this.#guests.set(owner, guest);
    return guest;
  }

  /** So that a guest's events can be sent when somebody else reads. @param {Session} session */
  #keepToken({ guest, owner, keeper }) {
    if (guest && keeper?.usable) this.#queue.keepToken(owner, keeper.usable);
  }
}
