/**
 * Events that wait to be sent, each with the reader it belongs to.
 * @module event-queue
 */

/** Events kept while the service cannot be reached; beyond that the oldest impressions go. */
const MOST_EVENTS = 1000;
/** The service takes what is older for something that happened now. */
const MOST_AGE_MS = 30 * 86_400_000;
const QUEUE_KEY = "feed-client-queue";

/** @typedef {import("./api.js").FeedEvent} FeedEvent */

/**
 * @typedef {object} Entry
 * @property {string} owner  whose event it is
 * @property {FeedEvent} event
 */

/**
 * Keeps events in their order, over a reload where it has a storage. Beside the events of guests
 * it keeps the guests' tokens, so that the events can be sent when the guest is long gone.
 */
export class EventQueue {
  /** @type {Entry[]} */
  #entries = [];
  /** @type {Map<string, string>} */
  #tokens = new Map();

  /** @param {import("./api.js").KeyValueStorage|null} storage */
  constructor(storage) {
    this.storage = storage;
    this.#restore();
  }

  get length() {
    return this.#entries.length;
  }

  /** Those who have events waiting, in the order of the first. @returns {string[]} */
  get owners() {
    return [...new Set(this.#entries.map(({ owner }) => owner))];
  }

  /** @param {Entry} entry */
  add(entry) {
    this.#entries.push(entry);
    if (this.#entries.length > MOST_EVENTS) {
      const oldest = this.#entries.findIndex(({ event }) => event.kind === "impression");
      this.#entries.splice(Math.max(oldest, 0), 1);
    }
    this.#persist();
  }

  /**
   * The waiting entries of some readers, oldest first.
   * @param {(owner: string) => boolean} wanted
   */
  of(wanted) {
    return this.#entries.filter(({ owner }) => wanted(owner));
  }

  /** Take out what the service has answered for. @param {Entry[]} entries */
  settle(entries) {
    const done = new Set(entries.map(({ event }) => event.event_id));
    this.#entries = this.#entries.filter(({ event }) => !done.has(event.event_id));
    this.#persist();
  }

  /** Drop all of a reader's events. @param {string} owner @returns {Entry[]} what was dropped */
  drop(owner) {
    const dropped = this.of((each) => each === owner);
    this.settle(dropped);
    return dropped;
  }

  /** What belonged to one name belongs to another. @param {string} from @param {string} to */
  rename(from, to) {
    for (const entry of this.#entries) if (entry.owner === from) entry.owner = to;
    this.#tokens.delete(from);
    this.#persist();
  }

  /** The token kept for a guest's events. @param {string} owner */
  tokenOf(owner) {
    return this.#tokens.get(owner) ?? null;
  }

  /** @param {string} owner @param {string} token */
  keepToken(owner, token) {
    if (this.#tokens.get(owner) === token) return;
    this.#tokens.set(owner, token);
    this.#persist();
  }

  #persist() {
    const owners = new Set(this.owners);
    const tokens = [...this.#tokens].filter(([owner]) => owners.has(owner));
    try {
      this.storage?.setItem(QUEUE_KEY, JSON.stringify({ entries: this.#entries, tokens }));
    } catch {
      this.storage = null; // full or forbidden: the queue in memory remains
    }
  }

  #restore() {
    try {
      const { entries = [], tokens = [] } = JSON.parse(this.storage?.getItem(QUEUE_KEY) ?? "{}");
      const oldest = Date.now() - MOST_AGE_MS;
      this.#entries = entries.filter(
        (/** @type {Entry} */ { event }) => Date.parse(event.occurred_at) > oldest,
      );
      this.#tokens = new Map(tokens);
    } catch {
      this.#entries = [];
    }
  }
}
