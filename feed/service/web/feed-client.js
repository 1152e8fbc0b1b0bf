/**
 * A client for the feed service: one file, no dependencies, no build step. Take it away, and
 * attention.js with it, which tells what was really seen and read.
 *
 *   import { FeedClient } from "./feed-client.js";
 *
 *   const client = new FeedClient({ userId: "reader-1" });
 *   const feed = await client.getFeed({ limit: 20 });
 *   client.record("click", feed.items[0].article.article_id, {
 *     requestId: feed.request_id, position: feed.items[0].position,
 *   });
 *
 * Events wait in a queue, go out in batches, are sent again until the service has answered for
 * them (each carries its own id, so a second delivery changes nothing), and leave with the page.
 * `getFeed` sends the queue first: what the reader just did counts in the feed they get.
 *
 * @module feed-client
 */

/** Events sent in one request; some 35 kB, under the 64 kB a closing page may still send. */
const BATCH_EVENTS = 100;
/** Events kept while the service cannot be reached; beyond that the oldest impressions go. */
const QUEUE_EVENTS = 1000;
const FLUSH_AFTER_MS = 2000;
const RETRY_AFTER_S = 5;
const FLUSH_BEFORE_FEED_MS = 1500;
const QUEUE_KEY = "feed-client-queue";

/**
 * What the reader did. The `un...` kinds take back the kind they name.
 * @typedef {"impression"|"click"|"read"|"like"|"unlike"|"dislike"|"undislike"|"save"|"unsave"
 *   |"share"|"hide"|"unhide"} EventKind
 */

/**
 * @typedef {object} Article
 * @property {string} article_id
 * @property {string} title
 * @property {string} standfirst
 * @property {string} body
 * @property {?string} url
 * @property {?string} image_url
 * @property {string} section
 * @property {string[]} tags
 * @property {string} source
 * @property {string} author
 * @property {string} language      BCP 47, "" if unknown
 * @property {string} published_at  ISO 8601
 * @property {?string} updated_at   ISO 8601
 * @property {"none"|"assisted"|"generated"} ai_generated
 * @property {boolean} human_reviewed
 * @property {boolean} sponsored
 */

/**
 * @typedef {object} FeedItem
 * @property {number} position  slot in the whole feed, from 0
 * @property {Article} article
 * @property {number} score
 * @property {{code: string, text: string}[]} reasons  why it is here, as sentences
 * @property {string[]} labels  "trending", "ai_generated", "sponsored" ...
 * @property {string} disclosure  what must be said about the article, only the parts that hold
 * @property {{likes: number, dislikes: number}} reactions
 * @property {"like"|"dislike"|null} my_reaction
 */

/**
 * @typedef {object} Feed
 * @property {string} request_id  pass it on with every event about these items
 * @property {boolean} personalized
 * @property {string} notice
 * @property {string} mode_served  the ordering that was possible
 * @property {string} model_version
 * @property {Object<string, string>} experiments
 * @property {FeedItem[]} items
 * @property {?string} next_cursor
 */

/**
 * @typedef {object} Preferences
 * @property {string[]} followed_sections
 * @property {string[]} muted_sections
 * @property {string[]} followed_sources
 * @property {string[]} muted_sources
 * @property {string[]} languages  empty: every language
 * @property {boolean} personalization
 */

/** An answer that was not a success, as the service's problem document tells it. */
export class FeedProblem extends Error {
  /**
   * @param {object} problem
   * @param {number} problem.status  HTTP status; 0 if there was no answer at all
   * @param {string} problem.title
   * @param {string} [problem.detail]
   * @param {{field: string, rule: string}[]} [problem.errors]
   * @param {?number} [problem.retryAfterS]  seconds the service asked to wait
   */
  constructor({ status, title, detail = "", errors = [], retryAfterS = null }) {
    super(detail || title);
    this.name = "FeedProblem";
    this.status = status;
    this.title = title;
    this.detail = detail;
    this.errors = errors;
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
 * A random UUID (version 4), also on pages served over plain HTTP, where
 * `crypto.randomUUID` is absent.
 * @returns {string}
 */
export function newEventId() {
  if (typeof crypto.randomUUID === "function") return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

/** Talks to one feed service on behalf of one reader at a time. */
export class FeedClient {
  #queue = [];
  #timer = 0;
  #sending = Promise.resolve(true);

  /**
   * @param {object} options
   * @param {string} options.userId  whose feed; change it with `client.userId = ...`
   * @param {string} [options.baseUrl]  the service's address; "" is the page's own
   * @param {Object<string, string>} [options.headers]  sent with every request
   * @param {Object<string, string>} [options.context]  sent with every event; device and
   *   platform with every feed request too
   * @param {?Storage} [options.storage]  keeps unsent events over a reload, e.g. sessionStorage
   * @param {(problem: FeedProblem) => void} [options.onProblem]  events could not be delivered
   * @param {(event: object, detail: string) => void} [options.onRejected]  one was refused
   */
  constructor({
    userId,
    baseUrl = "",
    headers = {},
    context = {},
    storage = null,
    onProblem = () => {},
    onRejected = () => {},
  }) {
    this.userId = userId;
    this.baseUrl = baseUrl;
    this.headers = headers;
    this.context = context;
    this.storage = storage;
    this.onProblem = onProblem;
    this.onRejected = onRejected;
    this.#restore();
    addEventListener("pagehide", () => this.#sendBeforeLeaving());
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) this.#sendBeforeLeaving();
    });
  }

  /**
   * The reader's feed, or its next page with the `cursor` of the last.
   * @param {object} [query]
   * @param {number} [query.limit]
   * @param {?string} [query.cursor]
   * @param {string} [query.section]
   * @param {string} [query.language]
   * @param {"personalized"|"trending"|"latest"} [query.mode]
   * @param {AbortSignal} [query.signal]
   * @returns {Promise<Feed>}
   * @throws {FeedProblem}
   */
  async getFeed({ limit, cursor, section, language, mode, signal } = {}) {
    const patience = new Promise((resolve) => setTimeout(resolve, FLUSH_BEFORE_FEED_MS));
    await Promise.race([this.flush(), patience]);
    const { device, platform } = this.context;
    const query = {
      user_id: this.userId,
      limit,
      cursor,
      section,
      language,
      mode,
      device,
      platform,
    };
    return this.request("GET", "/v1/feed", { query, signal });
  }

  /**
   * What is trending, with the numbers behind it.
   * @param {{section?: string, language?: string, limit?: number, signal?: AbortSignal}} [query]
   * @throws {FeedProblem}
   */
  async getTrending({ section, language, limit, signal } = {}) {
    return this.request("GET", "/v1/trending", { query: { section, language, limit }, signal });
  }

  /** @param {string} articleId @returns {Promise<Article>} @throws {FeedProblem} */
  async getArticle(articleId) {
    return this.request("GET", `/v1/articles/${encodeURIComponent(articleId)}`);
  }

  /** Articles near one article. @param {string} articleId @throws {FeedProblem} */
  async getRelated(articleId) {
    return this.request("GET", `/v1/articles/${encodeURIComponent(articleId)}/related`);
  }

  /** @returns {Promise<Preferences>} @throws {FeedProblem} */
  async getPreferences() {
    return this.request("GET", this.#userPath("/preferences"));
  }

  /** @param {Preferences} preferences @returns {Promise<Preferences>} @throws {FeedProblem} */
  async putPreferences(preferences) {
    return this.request("PUT", this.#userPath("/preferences"), { body: preferences });
  }

  /** Everything held on the reader. @throws {FeedProblem} */
  async exportReader() {
    await this.flush();
    return this.request("GET", this.#userPath("/export"));
  }

  /** Erase everything held on the reader, unsent events too. @throws {FeedProblem} */
  async eraseReader() {
    this.#queue = this.#queue.filter((event) => event.user_id !== this.userId);
    this.#persist();
    return this.request("DELETE", this.#userPath(""));
  }

  /**
   * Note that the reader did something with an article. Returns at once; the event is sent with
   * the next batch. Call `flush()` after it where the reader waits for the effect.
   * @param {EventKind} kind
   * @param {string} articleId
   * @param {object} [details]
   * @param {?string} [details.requestId]  `request_id` of the feed the article stood in
   * @param {?number} [details.position]  its `position` there
   * @param {number} [details.dwellS]  seconds spent reading, for "read"
   * @param {Object<string, string>} [details.context]
   * @returns {object} the event as it will be sent
   */
  record(kind, articleId, { requestId, position, dwellS, context = {} } = {}) {
    const event = {
      event_id: newEventId(),
      user_id: this.userId,
      article_id: articleId,
      kind,
      occurred_at: new Date().toISOString(),
      context: { ...this.context, ...context },
    };
    if (dwellS != null) event.dwell_s = dwellS;
    if (requestId != null) event.request_id = requestId;
    if (position != null) event.position = position;
    this.#enqueue(event);
    return event;
  }

  /**
   * Send every waiting event now.
   * @returns {Promise<boolean>} false if some are still waiting (they will be sent again)
   */
  flush() {
    this.#sending = this.#sending.then(() => this.#drain());
    return this.#sending;
  }

  /**
   * One request to the service, for routes this class has no method for.
   * @param {string} method
   * @param {string} path
   * @param {{query?: object, body?: object, signal?: AbortSignal, keepalive?: boolean}} [options]
   * @returns {Promise<any>} the JSON answer, null if it was empty
   * @throws {FeedProblem}
   */
  async request(method, path, { query = {}, body, signal, keepalive = false } = {}) {
    const given = Object.entries(query).filter(([, value]) => value != null && value !== "");
    const search = given.length ? `?${new URLSearchParams(given)}` : "";
    const headers = { Accept: "application/json", ...this.headers };
    if (body !== undefined) headers["Content-Type"] = "application/json";
    let response;
    try {
      response = await fetch(this.baseUrl + path + search, {
        method,
        headers,
        body: body === undefined ? undefined : JSON.stringify(body),
        signal,
        keepalive,
      });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new FeedProblem({ status: 0, title: "The service could not be reached." });
    }
    if (!response.ok) throw await readProblem(response);
    const text = await response.text();
    return text ? JSON.parse(text) : null;
  }

  #userPath(rest) {
    return `/v1/users/${encodeURIComponent(this.userId)}${rest}`;
  }

  #enqueue(event) {
    this.#queue.push(event);
    if (this.#queue.length > QUEUE_EVENTS) {
      const oldest = this.#queue.findIndex((waiting) => waiting.kind === "impression");
      this.#queue.splice(Math.max(oldest, 0), 1);
    }
    this.#persist();
    this.#schedule(FLUSH_AFTER_MS);
  }

  #schedule(delayMs) {
    if (!this.#timer) this.#timer = setTimeout(() => this.flush(), delayMs);
  }

  async #drain() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    while (this.#queue.length) {
      const batch = this.#queue.slice(0, BATCH_EVENTS);
      try {
        const answer = await this.#post(batch);
        this.#settle(batch, answer.results ?? []);
      } catch (problem) {
        this.onProblem(problem);
        if (problem.temporary) {
          this.#schedule((problem.retryAfterS ?? RETRY_AFTER_S) * 1000);
          return false;
        }
        this.#settle(batch, []);
      }
    }
    return true;
  }

  #post(events) {
    return this.request("POST", "/v1/events", { body: { events }, keepalive: true });
  }

  #settle(batch, results) {
    const byId = new Map(batch.map((event) => [event.event_id, event]));
    this.#queue = this.#queue.filter((event) => !byId.has(event.event_id));
    this.#persist();
    for (const { event_id: id, status, detail } of results) {
      if (status === "rejected" && byId.has(id)) this.onRejected(byId.get(id), detail ?? "");
    }
  }

  /** The answers may never be seen, so the events stay queued: if the page lives, they go again. */
  #sendBeforeLeaving() {
    for (let start = 0; start < this.#queue.length; start += BATCH_EVENTS) {
      this.#post(this.#queue.slice(start, start + BATCH_EVENTS)).catch(() => {});
    }
  }

  #persist() {
    try {
      this.storage?.setItem(QUEUE_KEY, JSON.stringify(this.#queue));
    } catch {
      this.storage = null; // full or forbidden: the queue in memory remains
    }
  }

  #restore() {
    try {
      this.#queue = JSON.parse(this.storage?.getItem(QUEUE_KEY) ?? "[]");
    } catch {
      this.#queue = [];
    }
    if (this.#queue.length) this.#schedule(0);
  }
}

async function readProblem(response) {
  const header = Number.parseFloat(response.headers.get("Retry-After") ?? "");
  const retryAfterS = Number.isFinite(header) ? header : null;
  const title = `The service answered ${response.status}.`;
  try {
    const problem = await response.json();
    return new FeedProblem({ title, ...problem, status: response.status, retryAfterS });
  } catch {
    return new FeedProblem({ title, status: response.status, retryAfterS });
  }
}
