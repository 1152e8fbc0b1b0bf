/**
 * What the feed service says and is told over HTTP. Types only: there is nothing to import at run
 * time. The whole API is in the service's own documentation, at `/docs`.
 */

/** What the reader did. The `un...` kinds take back the kind they name. */
export type EventKind =
  | "impression"
  | "click"
  | "read"
  | "like"
  | "unlike"
  | "dislike"
  | "undislike"
  | "save"
  | "unsave"
  | "share"
  | "hide"
  | "unhide";

/** One thing a reader did with an article. */
export interface FeedEvent {
  event_id: string;
  /** Left out where a reader's token says who it was. */
  user_id?: string;
  article_id: string;
  kind: EventKind;
  /** ISO 8601. */
  occurred_at: string;
  /** Seconds spent reading, for "read". */
  dwell_s?: number;
  request_id?: string;
  position?: number;
  context: Record<string, string>;
}

export interface Article {
  article_id: string;
  title: string;
  standfirst: string;
  body: string;
  url: string | null;
  image_url: string | null;
  section: string;
  tags: string[];
  source: string;
  author: string;
  /** BCP 47, "" if unknown. */
  language: string;
  /** ISO 8601, as every moment here. */
  published_at: string;
  updated_at: string | null;
  expires_at: string | null;
  ai_generated: "none" | "assisted" | "generated";
  human_reviewed: boolean;
  sponsored: boolean;
  retracted: boolean;
}

/** Why an article stands where it stands, as a code and as a sentence. */
export interface Reason {
  code: string;
  text: string;
  article_id?: string | null;
  section?: string | null;
  source?: string | null;
  readers?: number | null;
  window_minutes?: number | null;
}

export interface FeedItem {
  /** Slot in the whole feed, from 0. */
  position: number;
  article: Article;
  score: number;
  reasons: Reason[];
  labels: ("trending" | "ai_generated" | "ai_assisted" | "sponsored" | "editors_pick")[];
  /** What must be said about the article, only the parts that hold. */
  disclosure: string;
  reactions: { likes: number; dislikes: number };
  my_reaction: "like" | "dislike" | null;
}

export type FeedMode = "personalized" | "trending" | "latest";

/** One page of a feed. */
export interface Feed {
  /** Pass it on with every event about these items. */
  request_id: string;
  personalized: boolean;
  notice: string;
  mode: FeedMode;
  /** The ordering that was possible. */
  mode_served: "personalized" | "without_model" | "trending" | "latest" | "snapshot";
  model_version: string;
  experiments: Record<string, string>;
  items: FeedItem[];
  next_cursor: string | null;
}

/** One article that is read more than usual, with the numbers behind it. */
export interface TrendingItem {
  article: Article;
  readers: number;
  expected: number;
  lift: number;
  p_value: number;
  score: number;
  labelled: boolean;
  since: string | null;
}

export interface Trending {
  at: string | null;
  window_minutes: number;
  items: TrendingItem[];
}

export interface RelatedItem {
  article: Article;
  score: number;
  source: "readers_also_read" | "similar_text";
}

export interface Related {
  article_id: string;
  items: RelatedItem[];
}

export interface Preferences {
  followed_sections: string[];
  muted_sections: string[];
  followed_sources: string[];
  muted_sources: string[];
  /** Empty: every language. */
  languages: string[];
  personalization: boolean;
}

/** Preferences, and whose they are. */
export interface ReaderPreferences extends Preferences {
  user_id: string;
}

/** Everything held on a reader. */
export interface ReaderExport {
  user_id: string;
  store: Record<string, unknown>;
  archive: Record<string, Record<string, unknown>[]>;
}

export interface Erased {
  user_id: string;
  store: "erased";
  archive: "erasure queued";
}

/** The parts of `localStorage` that are needed, so that another store can take its place. */
export interface KeyValueStorage {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

/** Asks the newsroom's own backend for a token of the reader who is signed in there. */
export type TokenFunction = () => Promise<string> | string;

/** What a request carries beside its method and path. */
export interface RequestOptions {
  /** Parameters; null, undefined and "" are left out. */
  query?: Record<string, unknown>;
  /** Sent as JSON. */
  body?: unknown;
  signal?: AbortSignal;
  /** The request may outlive the page. */
  keepalive?: boolean;
}

/** What is asked of a feed. */
export interface FeedQuery {
  /** At most 100. */
  limit?: number;
  /** `next_cursor` of the previous page. */
  cursor?: string | null;
  section?: string;
  language?: string;
  mode?: FeedMode;
  signal?: AbortSignal;
}

/** What is asked of what is trending. */
export type TrendingQuery = Pick<FeedQuery, "section" | "language" | "limit" | "signal">;

/** Where the article stood, and what more there is to say of an event. */
export interface EventDetails {
  /** `request_id` of the feed the article stood in. */
  requestId?: string | null;
  /** Its `position` there. */
  position?: number | null;
  /** Seconds spent reading, for "read". */
  dwellS?: number;
  context?: Record<string, string>;
}

/**
 * Who reads is said in one of three ways: `siteKey` (a guest, until somebody signs in), `token` or
 * `getToken` (somebody who is signed in; with `siteKey` beside it, a guest after `logout`), or
 * `userId` alone (an open service, or one behind API keys or a proxy that adds them).
 */
export interface FeedClientOptions {
  /** The service's address; "" is the page's own. */
  baseUrl?: string;
  /** The publishable key; "" where the service needs none. */
  siteKey?: string;
  /** A reader's token; it cannot be renewed. */
  token?: string;
  /** Asked whenever a new token of the signed-in reader is needed. */
  getToken?: TokenFunction;
  /** Whose feed; change it with `client.userId = ...`. */
  userId?: string;
  /** Sent with every request. */
  headers?: Record<string, string>;
  /** Sent with every event; device and platform with every feed request too. */
  context?: Record<string, string>;
  /**
   * Keeps unsent events over a reload. Each tab needs one of its own, so it is `sessionStorage` if
   * nothing is given.
   */
  storage?: KeyValueStorage | null;
  /** Keeps the guest, for all tabs: `localStorage` if nothing is given. */
  guestStorage?: KeyValueStorage | null;
  /** Sends the requests. */
  fetch?: typeof globalThis.fetch;
  /** It is known who reads, or somebody else reads now. */
  onReader?: (userId: string, who: { guest: boolean }) => void;
  /**
   * Something in the background failed: events could not be delivered, or a guest's reading could
   * not be merged yet.
   */
  onProblem?: (problem: import("./problem.js").FeedProblem) => void;
  /** An event was refused for good. */
  onRejected?: (event: FeedEvent, detail: string) => void;
}
