/**
 * Who reads: guests, readers who sign in and out, and requests in their name.
 * @module readers
 */

import { Guests } from "./guests.js";
import { send, ServiceClock } from "./http.js";
import { FeedProblem } from "./problem.js";
import { namedReader, signedInReader } from "./session.js";

const MERGE_AGAIN_MS = 30_000;

/** @typedef {import("./session.js").Session} Session */
/** @typedef {string|((userId: string) => string)} Path  the reader's id may stand in it */

/**
 * @typedef {object} Wire
 * @property {typeof globalThis.fetch} fetch
 * @property {(path: string) => string} addressOf
 * @property {() => Record<string, string>} headers
 */

/**
 * @typedef {object} ReadersParts
 * @property {string} [siteKey]
 * @property {string} [token]
 * @property {import("./api.js").TokenFunction} [getToken]
 * @property {string} [userId]
 * @property {import("./api.js").KeyValueStorage|null} guestStorage
 * @property {Wire} wire
 * @property {() => Promise<void>} beforeChange  sends what waits, as the reader who goes
 * @property {(from: string, to: string) => void} onRenamed  events of one owner are another's
 * @property {(userId: string, who: {guest: boolean}) => void} onReader
 * @property {(problem: FeedProblem) => void} onProblem
 */

/** The reader of the moment, and the way from one to the next. */
export class Readers {
  clock = new ServiceClock();
  /** @type {Session|null} */
  #session = null;
  /** Given to the constructor: becomes the reader with the first request. @type {Session|null} */
  #arriving = null;
  /** @type {Promise<unknown>|null} */
  #arrival = null;
  /** @type {Promise<unknown>} */
  #changing = Promise.resolve();
  #mergeAgainMs = 0;
  #told = "";
  #parts;
  #guests;

  /** @param {ReadersParts} parts */
  constructor(parts) {
    this.#parts = parts;
    this.#guests = new Guests({
      storage: parts.guestStorage,
      siteKey: parts.siteKey ?? null,
      clock: this.clock,
      ask: (headers) => this.#send("POST", "/v1/anonymous", {}, headers),
    });
    const given = parts.getToken ?? parts.token;
    if (given !== undefined) this.#arriving = signedInReader(given, this.clock);
    else if (parts.siteKey !== undefined) this.#session = this.#guests.current();
    else this.#session = namedReader(parts.userId ?? "");
  }

  /** Who reads now, or is about to; null after a logout where there is no site key. */
  get session() {
    return this.#session ?? this.#arriving;
  }

  /** The user id of who reads; "" if it is not known. */
  get userId() {
    const { session } = this;
    return (session?.keeper ? session.keeper.userId : session?.owner) ?? "";
  }

  get isGuest() {
    return this.session?.guest ?? false;
  }

  /** Whether the page itself says who reads, and requests must name them. */
  get named() {
    return this.session?.keeper === null;
  }

  /** Whose events are recorded now. */
  get owner() {
    return this.session?.owner ?? "nobody";
  }

  /** @param {string} userId */
  name(userId) {
    this.#session = namedReader(userId);
    this.#arriving = null;
  }

  /** The session that can speak for an owner; null if it is not here. @param {string} owner */
  sessionOf(owner) {
    const { session } = this;
    if (session?.owner === owner) return session;
    const anybody = session && !session.keeper && !owner.includes(" "); // ids hold no spaces
    return anybody ? namedReader(owner) : null;
  }

  /** @param {string} owner @param {string} token */
  restoreGuest(owner, token) {
    return this.#guests.restore(owner, token);
  }

  /**
   * A request of whoever reads. A guest who is over (signed in elsewhere, or away for too long)
   * is followed by a new one.
   * @param {string} method
   * @param {Path} path
   * @param {import("./api.js").RequestOptions} [options]
   * @throws {FeedProblem}
   */
  async request(method, path, options = {}) {
    await this.#settled();
    const session = this.#session;
    if (!session) throw new FeedProblem({ status: 401, title: "Nobody is signed in." });
    try {
      return await this.requestAs(session, method, path, options);
    } catch (error) {
      if (!(await this.#isOver(session, error))) throw error;
      if (this.#session === session) this.#nextGuest(session);
      return this.requestAs(this.#session ?? session, method, path, options);
    }
  }

  /**
   * A request in one reader's name; once more with a new token if theirs is refused.
   * @param {Session} session
   * @param {string} method
   * @param {Path} path
   * @param {import("./api.js").RequestOptions} options
   * @throws {FeedProblem}
   */
  async requestAs(session, method, path, options) {
    if (!session.keeper) return this.#send(method, fill(path, session.owner), options);
    const token = await this.#tokenOf(session);
    const filled = fill(path, session.keeper.userId ?? "");
    try {
      return await this.#send(method, filled, options, bearer(token));
    } catch (error) {
      const refused = error instanceof FeedProblem && error.status === 401;
      if (!refused || !session.keeper.renewable) throw error;
      return this.#send(method, filled, options, bearer(await this.#tokenOf(session, token)));
    }
  }

  /** Have a token at hand. @param {Session} session @throws {FeedProblem} */
  async prepare(session) {
    if (session.keeper) await this.#tokenOf(session);
  }

  /**
   * A request that nobody waits for, sent before this returns.
   * @param {Session} session  its token, if it needs one, is at hand
   * @param {string} method
   * @param {string} path
   * @param {import("./api.js").RequestOptions} options
   */
  sendNow(session, method, path, options) {
    const token = session.keeper?.usable;
    this.#send(method, path, options, token ? bearer(token) : {}).catch(() => {});
  }

  /** @param {string|import("./api.js").TokenFunction} given */
  async login(given) {
    return this.#change(async () => {
      const session = signedInReader(given, this.clock);
      await this.#check(session);
      return this.#signIn(session);
    });
  }

  async logout() {
    return this.#change(async () => {
      await this.#parts.beforeChange();
      this.#arriving = null;
      this.#session = null;
      this.#told = "";
      if (this.#parts.siteKey !== undefined) await this.#greet(this.#nextGuest(null));
      return this.userId;
    });
  }

  /** Another tab has changed the guest: this one's is that one now. */
  followGuest() {
    const session = this.#session;
    if (session?.guest && !this.#guests.keeps(session)) this.#nextGuest(session);
  }

  /** @param {() => Promise<any>} work  one at a time; requests wait for it */
  #change(work) {
    const change = this.#changing.then(work);
    this.#changing = change.catch(() => {});
    return change;
  }

  async #settled() {
    const arriving = this.#arriving;
    if (arriving) {
      this.#arrival ??= this.#change(async () => {
        if (this.#arriving === arriving) await this.#signIn(arriving);
      }).finally(() => (this.#arrival = null));
      await this.#arrival;
    }
    await this.#changing;
    const { userId } = this;
    const owes = !this.isGuest && !this.named && this.#guests.owedTo(userId).length > 0;
    if (owes && Date.now() >= this.#mergeAgainMs) await this.#change(() => this.#merge(userId));
  }

  /** Let the service judge a token before anybody relies on it. @param {Session} session */
  async #check(session) {
    try {
      await this.requestAs(session, "GET", userPath("/preferences"), {});
    } catch (error) {
      const elsewhere = error instanceof FeedProblem && error.temporary && session.keeper?.userId;
      if (!elsewhere) throw error;
    }
  }

  /** @param {Session} session */
  async #signIn(session) {
    await this.#tokenOf(session, null, { tell: false });
    await this.#parts.beforeChange();
    const { userId } = /** @type {{userId: string}} */ (session.keeper);
    const guest = this.#session?.guest ? this.#session : null;
    if (guest && !guest.keeper?.userId) this.#parts.onRenamed(guest.owner, userId); // never began
    this.#guests.owe(userId, guest);
    this.#session = session;
    this.#arriving = null;
    const merged = await this.#merge(userId);
    this.#tell(session);
    return { userId, merged };
  }

  /** Make the reading of guests who became this reader theirs. @param {string} userId */
  async #merge(userId) {
    let merged = false;
    for (const owed of this.#guests.owedTo(userId)) {
      try {
        const session = /** @type {Session} */ (this.#session);
        await this.requestAs(session, "POST", userPath("/merge"), { body: { token: owed.token } });
        this.#parts.onRenamed(owed.owner, userId);
        merged = true;
      } catch (error) {
        if (!(error instanceof FeedProblem)) throw error;
        this.#parts.onProblem(error);
        if (error.temporary || error.status === 401) {
          this.#mergeAgainMs = Date.now() + Math.max(MERGE_AGAIN_MS, (error.retryAfterS ?? 0) * 1000);
          return merged;
        }
      }
      this.#guests.settle(owed);
    }
    return merged;
  }

  /** @param {Session} session */
  async #greet(session) {
    try {
      await this.#tokenOf(session);
    } catch (error) {
      if (!(error instanceof FeedProblem)) throw error;
      this.#parts.onProblem(error); // the next request tries again
    }
  }

  /** Somebody new, or the guest whom another tab has begun. @param {Session|null} gone */
  #nextGuest(gone) {
    if (!gone || this.#guests.keeps(gone)) this.#guests.forget();
    return (this.#session = this.#guests.current());
  }

  /**
   * Is the guest of the failed request over? Only their own token can tell: it is not renewed.
   * @param {Session} session
   * @param {unknown} error
   */
  async #isOver(session, error) {
    if (!session.guest || !session.keeper?.userId || !(error instanceof FeedProblem)) return false;
    if (error.status === 401) return true; // and there was no other token to be had
    if (error.status !== 403) return false;
    try {
      await session.keeper.get(session.keeper.usable);
      return false;
    } catch (refusal) {
      return refusal instanceof FeedProblem && [401, 403].includes(refusal.status);
    }
  }

  /**
   * @param {Session} session
   * @param {string|null} [refused]
   * @param {{tell?: boolean}} [options]
   */
  async #tokenOf(session, refused = null, { tell = true } = {}) {
    const keeper = /** @type {import("./token.js").TokenKeeper} */ (session.keeper);
    const token = await keeper.get(refused);
    const userId = keeper.userId ?? "";
    if (!session.guest && session.owner !== userId) {
      this.#parts.onRenamed(session.owner, userId);
      session.owner = userId;
    }
    if (tell && session === this.#session) this.#tell(session);
    return token;
  }

  /** @param {Session} session */
  #tell(session) {
    const userId = session.keeper?.userId ?? "";
    if (userId === this.#told) return;
    this.#told = userId;
    this.#parts.onReader(userId, { guest: session.guest });
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {import("./api.js").RequestOptions} options
   * @param {Record<string, string>} [credential]
   */
  #send(method, path, options, credential = {}) {
    const { fetch, addressOf, headers } = this.#parts.wire;
    const all = { ...headers(), ...credential };
    return send(fetch, this.clock, method, addressOf(path), { ...options, headers: all });
  }
}

/** The address of something of the reader's own. @param {string} rest @returns {Path} */
export function userPath(rest) {
  return (userId) => `/v1/users/${encodeURIComponent(userId)}${rest}`;
}

/** @param {Path} path @param {string} userId */
function fill(path, userId) {
  return typeof path === "function" ? path(userId) : path;
}

/** @param {string} token @returns {Record<string, string>} */
function bearer(token) {
  return { Authorization: `Bearer ${token}` };
}
