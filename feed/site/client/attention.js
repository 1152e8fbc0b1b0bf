/**
 * What a reader really saw, and for how long they really read.
 *
 *   import { DwellTimer, ImpressionTracker } from "./attention.js";
 *
 *   const tracker = new ImpressionTracker(client);
 *   tracker.observe(card, { articleId, requestId: feed.request_id, position: item.position });
 *
 * @module attention
 */

/**
 * Where an article stood.
 * @typedef {{articleId: string, requestId?: string|null, position?: number|null}} Slot
 */

/** @typedef {{slot: Slot, inView: boolean, timer: ReturnType<typeof setTimeout>|undefined}} Watched */

/**
 * Records an impression once an element was really in view: at least half of it, or half the
 * window's height for one taller than the window, for at least one second without a break.
 */
export class ImpressionTracker {
  /** @type {Map<Element, Watched>} */
  #entries = new Map();
  #paused = false;
  #observer;

  /**
   * @param {Pick<import("./feed-client.js").FeedClient, "record">} client
   * @param {{share?: number, forMs?: number}} [rule]
   */
  constructor(client, { share = 0.5, forMs = 1000 } = {}) {
    this.client = client;
    this.share = share;
    this.forMs = forMs;
    this.#observer = new IntersectionObserver((changes) => this.#see(changes), {
      threshold: [0, share / 2, share, (1 + share) / 2, 1],
    });
    document.addEventListener("visibilitychange", () => this.#restartAll());
  }

  /**
   * @param {Element} element
   * @param {Slot} slot
   */
  observe(element, slot) {
    this.#entries.set(element, { slot, inView: false, timer: undefined });
    this.#observer.observe(element);
  }

  /** @param {Element} element */
  unobserve(element) {
    this.#observer.unobserve(element);
    clearTimeout(this.#entries.get(element)?.timer);
    this.#entries.delete(element);
  }

  /** Forget every element, as when the feed is drawn anew. */
  clear() {
    for (const element of [...this.#entries.keys()]) this.unobserve(element);
  }

  /** While something covers the elements they are not in view. @param {boolean} paused */
  setPaused(paused) {
    this.#paused = paused;
    this.#restartAll();
  }

  /** @param {IntersectionObserverEntry[]} changes */
  #see(changes) {
    for (const { target, intersectionRatio, intersectionRect, rootBounds } of changes) {
      const entry = this.#entries.get(target);
      if (!entry) continue;
      const windowHeight = rootBounds?.height ?? innerHeight;
      entry.inView =
        intersectionRatio >= this.share || intersectionRect.height >= this.share * windowHeight;
      this.#restart(target, entry);
    }
  }

  #restartAll() {
    for (const [element, entry] of this.#entries) this.#restart(element, entry);
  }

  /** @param {Element} element @param {Watched} entry */
  #restart(element, entry) {
    const counting = entry.inView && !this.#paused && !document.hidden;
    if (!counting) {
      clearTimeout(entry.timer);
      entry.timer = undefined;
    } else if (!entry.timer) {
      entry.timer = setTimeout(() => this.#count(element, entry.slot), this.forMs);
    }
  }

  /** @param {Element} element @param {Slot} slot */
  #count(element, { articleId, requestId, position }) {
    this.unobserve(element);
    this.client.record("impression", articleId, { requestId, position });
  }
}

/** Counts the seconds an article was really open: not while the page is hidden. */
export class DwellTimer {
  #elapsedMs = 0;
  /** @type {number|null} */
  #since = null;

  constructor() {
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) this.#hold();
      else if (this.running) this.#since = performance.now();
    });
    this.running = false;
  }

  /** Begin at zero. */
  start() {
    this.running = true;
    this.#elapsedMs = 0;
    this.#since = document.hidden ? null : performance.now();
  }

  /** Stop, and return the seconds counted. @returns {number} */
  stop() {
    this.#hold();
    this.running = false;
    return Math.round(this.#elapsedMs) / 1000;
  }

  #hold() {
    if (this.#since !== null) this.#elapsedMs += performance.now() - this.#since;
    this.#since = null;
  }
}
