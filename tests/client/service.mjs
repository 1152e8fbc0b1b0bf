// The edge of the network: a service that keeps its tokens, its clock and what it was told, and a
// storage that can be shared by tabs. The clock is node:test's, which the tests move.

export const SITE_KEY = "site-key";
export const BASE = "https://feed.example";

const MINUTE = 60_000;

/** Unsigned: the client does not verify, and the service here knows its tokens by heart. */
export function makeToken(claims) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part({ alg: "HS256" })}.${part(claims)}.signature`;
}

export class Service {
  /** @param {{aheadMs?: number, guestLifeMs?: number, showsDate?: boolean}} [options] */
  constructor({ aheadMs = 0, guestLifeMs = 30 * 24 * 60 * MINUTE, showsDate = true } = {}) {
    this.aheadMs = aheadMs; // of the device's clock
    this.guestLifeMs = guestLifeMs;
    this.showsDate = showsDate;
    this.requests = []; // {method, path, query, who, token, body, keepalive}
    this.events = new Map(); // event_id -> [user ids it came in as]
    this.moments = new Map(); // event_id -> when it happened, in the service's time
    this.merged = new Map(); // guest -> reader
    this.preferences = {}; // of every reader
    this.minted = new Set();
    this.withdrawn = new Set();
    this.script = []; // [{when: (request) => boolean, answer}]: once each
    this.down = false;
    this.serial = 0;
    this.fetch = (address, init) => this.#answer(address, init);
  }

  now() {
    return Date.now() + this.aheadMs;
  }

  mint(sub, lifeMs = 15 * MINUTE) {
    const iat = Math.floor(this.now() / 1000);
    this.serial += 1;
    const token = makeToken({ sub, iat, exp: iat + lifeMs / 1000, jti: this.serial });
    this.minted.add(token);
    return token;
  }

  /** The next request that fits gets this answer. */
  once(path, status, headers = {}, detail = "scripted") {
    this.script.push({ path, status, headers, detail });
  }

  sent(path, method = null) {
    return this.requests.filter((r) => r.path === path && (!method || r.method === method));
  }

  /** Article ids by the reader they came in as. */
  recorded(userId) {
    return this.requests
      .filter((r) => r.path === "/v1/events" && r.who === userId && r.status === 202)
      .flatMap((r) => r.body.events.map((event) => event.article_id));
  }

  async #answer(address, init) {
    const url = new URL(address);
    const headers = new Headers(init.headers);
    const [, token] = /^Bearer (.+)$/.exec(headers.get("Authorization") ?? "") ?? [];
    const request = {
      method: init.method,
      path: url.pathname,
      query: Object.fromEntries(url.searchParams),
      token,
      who: this.#sub(token),
      body: init.body ? JSON.parse(init.body) : undefined,
      keepalive: init.keepalive,
      address,
    };
    this.requests.push(request);
    await null;
    if (this.down) throw new TypeError("fetch failed");
    const { status, body, headers: more = {} } = this.#scripted(request) ?? this.#handle(request);
    request.status = status;
    const date = this.showsDate ? { Date: new Date(this.now()).toUTCString() } : {};
    return new Response(body === undefined ? null : JSON.stringify(body), {
      status,
      headers: { "Cache-Control": "private, no-store", ...date, ...more },
    });
  }

  #scripted(request) {
    const place = this.script.findIndex(({ path }) => path === request.path);
    if (place < 0) return null;
    const [{ status, headers, detail }] = this.script.splice(place, 1);
    return { ...problem(status, detail), headers };
  }

  #handle(request) {
    const { method, path, token, who } = request;
    if (path === "/v1/anonymous") return this.#anonymous(token);
    const refusal = this.#refusal(token);
    if (refusal) return refusal;
    if (path === "/v1/events") return this.#record(request);
    if (this.merged.has(who)) return problem(403, "this reader signed in");
    const [, named, rest] = /^\/v1\/users\/([^/]+)\/?(.*)$/.exec(path) ?? [];
    if (named && decodeURIComponent(named) !== who) return problem(403, "another reader");
    if (rest === "preferences") {
      return { status: 200, body: { user_id: who, ...(request.body ?? this.preferences) } };
    }
    if (rest === "merge") return this.#merge(who, request.body.token);
    return { status: 200, body: { who, method, path, items: [] } };
  }

  #anonymous(token) {
    if (token !== SITE_KEY) {
      const refusal = this.#refusal(token);
      if (refusal) return refusal;
      if (this.merged.has(this.#sub(token))) return problem(403, "this reader signed in");
    }
    this.serial += 1;
    const userId = token === SITE_KEY ? `anon-${this.serial}` : this.#sub(token);
    return { status: 201, body: { user_id: userId, token: this.mint(userId, this.guestLifeMs) } };
  }

  #record({ who, body }) {
    if (body.events.some(({ user_id: userId }) => userId && userId !== who)) {
      return problem(403, "another reader");
    }
    const differenceMs = this.now() - Date.parse(body.sent_at);
    const results = body.events.map(({ event_id: id, occurred_at: moment }) => {
      this.moments.set(id, Date.parse(moment) + differenceMs);
      this.events.set(id, [...(this.events.get(id) ?? []), who]);
      return { event_id: id, status: "accepted" };
    });
    return { status: 202, body: { results } };
  }

  #merge(into, guestToken) {
    const refusal = this.#refusal(guestToken);
    if (refusal) return refusal;
    const guest = this.#sub(guestToken);
    if (guest === into) return problem(422, "the same reader");
    const before = this.merged.get(guest);
    if (before && before !== into) return problem(409, "signed in as somebody else");
    this.merged.set(guest, into);
    const status = before ? "already_merged" : "merged";
    return { status: 200, body: { user_id: into, merged: guest, status } };
  }

  #refusal(token) {
    const claims = claimsOf(token);
    if (!claims) return problem(401, "a credential is needed");
    if (!this.minted.has(token) || this.withdrawn.has(token)) return problem(401, "not valid");
    return claims.exp * 1000 <= this.now() ? problem(401, "the token has expired") : null;
  }

  #sub(token) {
    return claimsOf(token)?.sub ?? null;
  }
}

function claimsOf(token) {
  try {
    return JSON.parse(Buffer.from(token.split(".")[1], "base64url").toString());
  } catch {
    return null;
  }
}

function problem(status, detail) {
  return { status, body: { title: "Trouble", status, detail } };
}

/** A storage; `forbidden` behaves as a private window in which every call throws. */
export class MemoryStorage {
  #items = new Map();

  constructor({ forbidden = false } = {}) {
    this.forbidden = forbidden;
  }

  getItem(key) {
    this.#check();
    return this.#items.get(key) ?? null;
  }

  setItem(key, value) {
    this.#check();
    this.#items.set(key, value);
  }

  removeItem(key) {
    this.#check();
    this.#items.delete(key);
  }

  #check() {
    if (this.forbidden) throw new DOMException("forbidden", "SecurityError");
  }
}
