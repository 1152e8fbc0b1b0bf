/**
 * A client for the feed service: no dependencies, no build step.
 *
 *   import { FeedClient } from "./client/feed-client.js";
 *
 *   const client = new FeedClient({ baseUrl: "https://feed.example", siteKey: "..." });
 *   const feed = await client.getFeed({ limit: 20 });
 *   client.record("click", feed.items[0].article.article_id, {
 *     requestId: feed.request_id, position: feed.items[0].position,
 *   });
 *
 * With a site key it starts as a guest by itself; `login` makes the guest's reading the reader's.
 * Tokens are renewed before they end. Events wait in a queue, go out in batches, are sent again
 * until the service has answered for them (each carries its own id, so a second delivery changes
 * nothing), and leave with the page; each goes with the token of the reader it belongs to.
 * `getFeed` sends the queue first: what the reader just did counts in the feed they get.
 *
 * @module feed-client
 */

import { checkCustomEvent } from "./custom-events.js";
import { EventSender } from "./event-sender.js";
import { GUEST_KEY } from "./guests.js";
import { newEventId } from "./ids.js";
import { FeedProblem } from "./problem.js";
import { Readers, userPath } from "./readers.js";

export { FeedProblem, newEventId };

/** How long a feed, a login or a logout waits for events that are on their way. */
const FLUSH_BEFORE_MS = 1500;

/** Talks to one feed service on behalf of one reader at a time. */
export class FeedClient {
  #readers;
  #events;
  #listeners = new AbortController();

  /** @param {import("./api.js").FeedClientOptions} options */
  constructor(options) {
    const { baseUrl = "", headers = {}, context = {}, attributes = {} } = options;
    const { storage = storageNamed("sessionStorage") } = options;
    const { guestStorage = storageNamed("localStorage"), fetch } = options;
    this.baseUrl = baseUrl;
    this.headers = headers;
    this.context = context;
    this.attributes = attributes;
    this.onReader = options.onReader ?? (() => {});
    this.onProblem = options.onProblem ?? (() => {});
    this.onRejected = options.onRejected ?? (() => {});
    this.#readers = new Readers({
      ...options,
      guestStorage,
      wire: {
        fetch: fetch ?? ((...request) => globalThis.fetch(...request)),
        addressOf: (path) => this.baseUrl + path,
        headers: () => this.headers,
      },
      beforeChange: () => within(FLUSH_BEFORE_MS, this.flush()),
      onRenamed: (from, to) => this.#events.rename(from, to),
      onReader: (userId, who) => this.onReader(userId, who),
      onProblem: (problem) => this.onProblem(problem),
    });
    this.#events = new EventSender({
      storage,
      readers: this.#readers,
      onProblem: (problem) => this.onProblem(problem),
      onRejected: (event, detail) => this.onRejected(event, detail),
    });
    this.#listen();
  }

  /** The reader of the feed; "" while that is not known. */
  get userId() {
    return this.#readers.userId;
  }

  /** Name the reader, where the service takes the page's word for it. @param {string} userId */
  set userId(userId) {
    this.#readers.name(userId);
  }

  /** True while the reader is anonymous. */
  get isGuest() {
    return this.#readers.isGuest;
  }

  /**
   * Call this when somebody has signed in. The guest's history becomes the reader's. Events of
   * both that are still waiting are sent with the right reader's token. If the service cannot be
   * reached, the reader is signed in all the same, and the guest's history follows later.
   *
   * Call it on every page of a reader who is signed in, or give `getToken` to the constructor,
   * which does the same. A second call changes nothing.
   * @param {string|import("./api.js").TokenFunction} tokenOrGetToken
   * @returns {Promise<{userId: string, merged: boolean}>}  `merged`: a guest's reading was added
   * @throws {FeedProblem} there is no token, or the service refuses it: nothing has changed
   */
  async login(tokenOrGetToken) {
    return this.#readers.login(tokenOrGetToken);
  }

  /**
   * Call this when the reader has signed out. Their token is forgotten, and with a site key a new
   * guest starts. A guest may sign out too, so that this browser forgets them.
   * @returns {Promise<string>} the new guest's id; "" if there is none (yet)
   */
  async logout() {
    return this.#readers.logout();
  }

  /**
   * The reader's feed, or its next page with the `cursor` of the previous one.
   * @param {import("./api.js").FeedQuery} [query]
   * @returns {Promise<import("./api.js").Feed>}
   * @throws {FeedProblem}
   */
  async getFeed({ limit, cursor, section, language, mode, signal } = {}) {
    await within(FLUSH_BEFORE_MS, this.flush());
    const { device, platform } = this.context;
    const named = this.#readers.named ? { user_id: this.userId } : {};
    const attributes = attributesText(this.attributes);
    const stated = { device, platform, attributes };
    const query = { ...named, limit, cursor, section, language, mode, ...stated };
    return this.request("GET", "/v1/feed", { query, signal });
  }

  /**
   * The trending articles, with the numbers behind each.
   * @param {import("./api.js").TrendingQuery} [query]
   * @returns {Promise<import("./api.js").Trending>}
   * @throws {FeedProblem}
   */
  async getTrending({ section, language, limit, signal } = {}) {
    return this.request("GET", "/v1/trending", { query: { section, language, limit }, signal });
  }

  /**
   * The articles that tell of one event, newest first.
   * @param {string} storyId  that of `more_on_this`, or the id of any article of the story
   * @returns {Promise<import("./api.js").Story>}
   * @throws {FeedProblem}
   */
  async getStory(storyId) {
    return this.request("GET", `/v1/stories/${encodeURIComponent(storyId)}`);
  }

  /**
   * @param {string} articleId
   * @returns {Promise<import("./api.js").Article>}
   * @throws {FeedProblem}
   */
  async getArticle(articleId) {
    return this.request("GET", `/v1/articles/${encodeURIComponent(articleId)}`);
  }

  /**
   * The articles related to one article.
   * @param {string} articleId
   * @returns {Promise<import("./api.js").Related>}
   * @throws {FeedProblem}
   */
  async getRelated(articleId) {
    return this.request("GET", `/v1/articles/${encodeURIComponent(articleId)}/related`);
  }

  /**
   * @returns {Promise<import("./api.js").ReaderPreferences>}
   * @throws {FeedProblem}
   */
  async getPreferences() {
    return this.#readers.request("GET", userPath("/preferences"));
  }

  /**
   * @param {import("./api.js").Preferences} preferences
   * @returns {Promise<import("./api.js").ReaderPreferences>}
   * @throws {FeedProblem}
   */
  async putPreferences(preferences) {
    return this.#readers.request("PUT", userPath("/preferences"), { body: preferences });
  }

  /**
   * Follow sections and sources, beside those that the reader follows. None of them stays muted.
   * @param {{sections?: string[], sources?: string[]}} topics
   * @returns {Promise<import("./api.js").ReaderPreferences>}
   * @throws {FeedProblem}
   */
  async follow({ sections = [], sources = [] }) {
    const { user_id: _, ...before } = await this.getPreferences();
    return this.putPreferences({
      ...before,
      followed_sections: [...new Set([...before.followed_sections, ...sections])],
      muted_sections: before.muted_sections.filter((name) => !sections.includes(name)),
      followed_sources: [...new Set([...before.followed_sources, ...sources])],
      muted_sources: before.muted_sources.filter((name) => !sources.includes(name)),
    });
  }

  /**
   * Everything that is held on the reader.
   * @returns {Promise<import("./api.js").ReaderExport>}
   * @throws {FeedProblem}
   */
  async exportReader() {
    await this.flush();
    return this.#readers.request("GET", userPath("/export"));
  }

  /**
   * Erase everything held on the reader, unsent events too.
   * @returns {Promise<import("./api.js").Erased>}
   * @throws {FeedProblem}
   */
  async eraseReader() {
    this.#events.drop(this.#readers.owner);
    return this.#readers.request("DELETE", userPath(""));
  }

  /**
   * Note that the reader did something with an article. Returns at once; the event is sent with
   * the next batch. Call `flush()` after it where the reader waits for the effect.
   * @param {Exclude<import("./api.js").EventKind, "custom">} kind
   * @param {string} articleId
   * @param {import("./api.js").EventDetails} [details]
   * @returns {import("./api.js").FeedEvent} the event as it will be sent
   */
  record(kind, articleId, { requestId, position, dwellS, context } = {}) {
    const event = this.#newEvent(kind, context);
    event.article_id = articleId;
    if (dwellS != null) event.dwell_s = dwellS;
    if (requestId != null) event.request_id = requestId;
    if (position != null) event.position = position;
    this.#events.add(event);
    return event;
  }

  /**
   * Note something of your own that the reader did: a subscription, a comment, a registration ...
   * Experiments can measure it. It is queued and sent as the events of `record` are, and changes
   * nothing in the reader's feed.
   * @param {string} name  1 to 64 lower-case letters, digits and _, starting with a letter
   * @param {import("./api.js").CustomEventDetails} [details]
   * @returns {import("./api.js").FeedEvent} the event as it will be sent
   * @throws {FeedProblem} name or value break a rule; nothing is sent
   */
  track(name, { value, articleId, context } = {}) {
    checkCustomEvent(name, value);
    const event = this.#newEvent("custom", context);
    event.name = name;
    if (value != null) event.value = value;
    if (articleId != null) event.article_id = articleId;
    this.#events.add(event);
    return event;
  }

  /**
   * Send every waiting event now.
   * @returns {Promise<boolean>} false if some are still waiting (they will be sent again)
   */
  flush() {
    return this.#events.flush();
  }

  /**
   * One request to the service on behalf of the reader, for routes this class has no method for.
   * @param {string} method
   * @param {string} path
   * @param {import("./api.js").RequestOptions} [options]
   * @returns {Promise<any>} the JSON answer, null if it was empty
   * @throws {FeedProblem}
   */
  async request(method, path, options = {}) {
    return this.#readers.request(method, path, options);
  }

  /** Stop for good: no more events are sent, and the page is no longer listened to. */
  close() {
    this.#listeners.abort();
    this.#events.stop();
  }

  /**
   * @param {import("./api.js").EventKind} kind
   * @param {Record<string, string>} [context]
   * @returns {import("./api.js").FeedEvent}
   */
  #newEvent(kind, context = {}) {
    return {
      event_id: newEventId(),
      kind,
      occurred_at: new Date().toISOString(), // by the device; see sent_at
      context: { ...this.context, ...context },
      ...(this.#readers.named ? { user_id: this.userId } : {}),
    };
  }

  /** Outside a browser there is no page to listen to. */
  #listen() {
    const { addEventListener, document } = globalThis;
    if (!addEventListener || !document) return;
    const options = { signal: this.#listeners.signal };
    addEventListener("pagehide", () => this.#events.sendBeforeLeaving(), options);
    addEventListener("online", () => this.flush(), options);
    addEventListener(
      "storage",
      ({ key }) => key === GUEST_KEY && this.#readers.followGuest(),
      options,
    );
    document.addEventListener(
      "visibilitychange",
      () => document.hidden && this.#events.sendBeforeLeaving(),
      options,
    );
  }
}

/** As the service reads them. @param {import("./api.js").ReaderAttributes} attributes */
function attributesText(attributes) {
  const known = Object.entries(attributes).filter(([, value]) => value != null && value !== "");
  return known.map(([name, value]) => `${name}:${value}`).join();
}

/** Wait for something, but not for long. @param {number} ms @param {Promise<unknown>} work */
async function within(ms, work) {
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  let timer;
  const patience = new Promise((resolve) => (timer = setTimeout(resolve, ms)));
  await Promise.race([work, patience]);
  clearTimeout(timer);
}

/**
 * A storage of the browser; null where there is none, or where the browser's settings forbid it.
 * @param {"localStorage"|"sessionStorage"} name
 * @returns {import("./api.js").KeyValueStorage|null}
 */
function storageNamed(name) {
  try {
    return globalThis.document ? globalThis[name] : null;
  } catch {
    return null;
  }
}
