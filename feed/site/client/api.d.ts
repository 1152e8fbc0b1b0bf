/**
 * The requests and answers of the feed service. These are only types: there is nothing to import at
 * run time. The service documents its whole API at `/docs`.
 */

/** What the reader did. Each `un...` kind takes back the other: `unlike` takes back `like`. */
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
  | "unhide"
  | "custom";

/** One action of a reader on an article; custom events may do without one. */
export interface FeedEvent {
  event_id: string;
  /** May be left out if a reader's token says who the reader is. */
  user_id?: string;
  article_id?: string;
  kind: EventKind;
  /** ISO 8601. */
  occurred_at: string;
  /** Seconds spent reading, for "read". */
  dwell_s?: number;
  request_id?: string;
  position?: number;
  context: Record<string, string>;
  /** What happened, for "custom". */
  name?: string;
  /** How much, for "custom". */
  value?: number;
}

export interface Article {
  article_id: string;
  title: string;
  standfirst: string;
  body: string;
  url: string | null;
  image_url: string | null;
  section: string;
  other_sections: string[];
  tags: string[];
  source: string;
  author: string;
  /** BCP 47, "" if unknown. */
  language: string;
  /** ISO 8601, like every time here. */
  published_at: string;
  updated_at: string | null;
  expires_at: string | null;
  ai_generated: "none" | "assisted" | "generated";
  human_reviewed: boolean;
  sponsored: boolean;
  retracted: boolean;
}

/** Why an article is in its place in the feed, as a code and as a sentence. */
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
  /** What must be said about the article; only the fields that are true are present. */
  disclosure: string;
  reactions: { likes: number; dislikes: number };
  my_reaction: "like" | "dislike" | null;
  /** Present only if other articles tell of the same event: how many, and for `getStory`. */
  more_on_this?: { story_id: string; count: number } | null;
}

export type FeedMode = "personalized" | "trending" | "latest";

/** One page of a feed. */
export interface Feed {
  /** Pass it on with every event about these items. */
  request_id: string;
  personalized: boolean;
  notice: string;
  mode: FeedMode;
  /** How the feed could be made: the fallback level. */
  mode_served: "personalized" | "without_model" | "trending" | "latest" | "snapshot";
  model_version: string;
  experiments: Record<string, string>;
  items: FeedItem[];
  next_cursor: string | null;
  /** Present only if too few articles were young enough: the age limit that was used instead. */
  window?: { max_age_hours: number; widened: true } | null;
  /** What the newsroom wants of every front page, and what became of it; left out without any. */
  limits?: { limit: Record<string, unknown>; text: string; met: boolean; moved: number }[] | null;
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
  /** How many articles of the story those readers have read. */
  articles: number;
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

/** The articles that tell of one event, newest first. */
export interface Story {
  story_id: string;
  items: { article: Article }[];
}

/** More or fewer articles, or none for a while. To mute an article mutes its story. */
export interface Wish {
  kind: "more" | "fewer" | "mute";
  of: "article" | "section" | "source";
  /** Id of the article, or name of the section or source. */
  value: string;
  /** 1 or 2; of what is muted it says nothing. */
  strength: number;
  /** ISO 8601; null: until it is withdrawn. */
  until: string | null;
}

export interface Preferences {
  followed_sections: string[];
  muted_sections: string[];
  followed_sources: string[];
  muted_sources: string[];
  /** Empty: every language. */
  languages: string[];
  /** Absent: none. Those that have ended are left out. */
  wishes?: Wish[];
  personalization: boolean;
}

/**
 * At most 16 attributes. A name has 1 to 32 lower-case letters, digits and `_`, and starts with a
 * letter; a value has 1 to 64 characters and no comma. Null and "" are left out.
 */
export type ReaderAttributes = Record<string, string | number | boolean | null>;

/** A reader's preferences, and the reader's id. */
export interface ReaderPreferences extends Preferences {
  wishes: Wish[];
  user_id: string;
}

/** Everything that is held on a reader. */
export interface ReaderExport {
  user_id: string;
  store: Record<string, unknown>;
  archive: Record<string, Record<string, unknown>[]>;
  /** By table of the archive: the records that it does not have yet. */
  unarchived: Record<string, Record<string, unknown>[]>;
  looked_at: string[];
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

/** What a request has besides its method and path. */
export interface RequestOptions {
  /** Parameters; null, undefined and "" are left out. */
  query?: Record<string, unknown>;
  /** Sent as JSON. */
  body?: unknown;
  signal?: AbortSignal;
  /** The request may outlive the page. */
  keepalive?: boolean;
}

/** The parameters of a request for a feed. */
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

/** The parameters of a request for trending articles. */
export type TrendingQuery = Pick<FeedQuery, "section" | "language" | "limit" | "signal">;

/** The article's place in the feed, and further details of an event. */
export interface EventDetails {
  /** `request_id` of the feed that showed the article. */
  requestId?: string | null;
  /** The article's `position` in that feed. */
  position?: number | null;
  /** Seconds spent reading, for "read". */
  dwellS?: number;
  context?: Record<string, string>;
}

/** The details of a custom event; all may be left out. */
export interface CustomEventDetails {
  /** How much: an amount, a number of items ... At most 1e12 in size. */
  value?: number | null;
  /** The article that it concerns. */
  articleId?: string | null;
  context?: Record<string, string>;
}

/**
 * There are three ways to say who reads: `siteKey` (a guest, until somebody signs in), `token` or
 * `getToken` (a reader who is signed in; with `siteKey` as well, a guest after `logout`), or only
 * `userId` (for an open service, or one behind API keys or a proxy that adds them).
 */
export interface FeedClientOptions {
  /** The service's address; "" is the page's own. */
  baseUrl?: string;
  /** The public site key; "" if the service needs none. */
  siteKey?: string;
  /** A reader's token; it cannot be renewed. */
  token?: string;
  /** Called whenever a new token of the signed-in reader is needed. */
  getToken?: TokenFunction;
  /** The reader of the feed; change it with `client.userId = ...`. */
  userId?: string;
  /** Sent with every request. */
  headers?: Record<string, string>;
  /** Sent with every event; device and platform are also sent with every feed request. */
  context?: Record<string, string>;
  /**
   * What the page knows of the reader, for experiments, as `{ subscriber: "yes" }`; sent with every
   * feed request. Change it with `client.attributes = ...`. What the newsroom has stored about the
   * reader counts before it.
   */
  attributes?: ReaderAttributes;
  /**
   * Keeps unsent events across a reload. Each tab needs its own, so the default is
   * `sessionStorage`.
   */
  storage?: KeyValueStorage | null;
  /** Keeps the guest for all tabs; the default is `localStorage`. */
  guestStorage?: KeyValueStorage | null;
  /** Sends the requests. */
  fetch?: typeof globalThis.fetch;
  /** Called when the reader is known, and whenever the reader changes. */
  onReader?: (userId: string, who: { guest: boolean }) => void;
  /**
   * Called when something in the background failed: events could not be delivered, or a guest's
   * history could not be merged yet.
   */
  onProblem?: (problem: import("./problem.js").FeedProblem) => void;
  /** Called when the service has refused an event permanently. */
  onRejected?: (event: FeedEvent, detail: string) => void;
}
