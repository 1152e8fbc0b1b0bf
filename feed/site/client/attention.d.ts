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
    /**
     * @param {Pick<import("./feed-client.js").FeedClient, "record">} client
     * @param {{share?: number, forMs?: number}} [rule]
     */
    constructor(client: Pick<import("./feed-client.js").FeedClient, "record">, { share, forMs }?: {
        share?: number;
        forMs?: number;
    });
    client: Pick<import("./feed-client.js").FeedClient, "record">;
    share: number;
    forMs: number;
    /**
     * @param {Element} element
     * @param {Slot} slot
     */
    observe(element: Element, slot: Slot): void;
    /** @param {Element} element */
    unobserve(element: Element): void;
    /** Forget every element, as when the feed is drawn anew. */
    clear(): void;
    /** While something covers the elements they are not in view. @param {boolean} paused */
    setPaused(paused: boolean): void;
    #private;
}
/** Counts the seconds an article was really open: not while the page is hidden. */
export class DwellTimer {
    running: boolean;
    /** Begin at zero. */
    start(): void;
    /** Stop, and return the seconds counted. @returns {number} */
    stop(): number;
    #private;
}
/**
 * Where an article stood.
 */
export type Slot = {
    articleId: string;
    requestId?: string | null;
    position?: number | null;
};
export type Watched = {
    slot: Slot;
    inView: boolean;
    timer: ReturnType<typeof setTimeout> | undefined;
};
