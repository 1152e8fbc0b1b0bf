// The client against a service at the edge of the network, with the clock in the test's hand.

import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";

import { FeedClient, FeedProblem } from "../../feed/site/client/feed-client.js";
import { BASE, makeToken, MemoryStorage, Service, SITE_KEY } from "./service.mjs";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

let clients;

beforeEach(() => {
  clients = [];
  mock.timers.enable({ apis: ["Date", "setTimeout"], now: Date.UTC(2026, 0, 31, 12) });
});

afterEach(() => {
  for (const client of clients) client.close();
  mock.timers.reset();
});

/** A page that was opened on a service. */
function open(service, options = {}) {
  const told = { readers: [], problems: [], rejected: [] };
  const client = new FeedClient({
    baseUrl: BASE,
    fetch: service.fetch,
    storage: new MemoryStorage(),
    guestStorage: new MemoryStorage(),
    onReader: (userId, { guest }) => told.readers.push([userId, guest]),
    onProblem: (problem) => told.problems.push(problem),
    onRejected: (event, detail) => told.rejected.push([event.article_id, detail]),
    ...options,
  });
  clients.push(client);
  return Object.assign(client, { told });
}

/** A newsroom's backend that mints tokens for one reader, and counts how often it was asked. */
function backend(service, sub, lifeMs = 15 * MINUTE) {
  const getToken = async () => {
    getToken.asked += 1;
    return service.mint(sub, lifeMs);
  };
  return Object.assign(getToken, { asked: 0 });
}

const idle = () => new Promise((resolve) => setImmediate(resolve));

async function pass(ms) {
  mock.timers.tick(ms);
  await idle();
}

async function problemOf(promise) {
  const error = await promise.then(() => null, (each) => each);
  assert.ok(error instanceof FeedProblem, String(error));
  return error;
}

// Tokens

test("a token is renewed before it ends, and not sooner", async () => {
  const service = new Service();
  const getToken = backend(service, "alice");
  const client = open(service, { getToken });
  await client.getFeed();
  await pass(10 * MINUTE);
  await client.getFeed();
  assert.equal(getToken.asked, 1);
  await pass(4 * MINUTE + 30_000); // half a minute is left
  await client.getFeed();
  await idle();
  await client.getFeed();
  assert.equal(getToken.asked, 2);
  assert.deepEqual(service.requests.filter(({ status }) => status === 401), []);
});

test("ten requests at once ask for one token", async () => {
  const service = new Service();
  const getToken = backend(service, "alice");
  const client = open(service, { getToken });
  await Promise.all(Array.from({ length: 10 }, () => client.getFeed()));
  assert.equal(getToken.asked, 1);
  assert.equal(service.sent("/v1/feed").length, 10);
});

test("ten requests at once start one guest", async () => {
  const service = new Service();
  const client = open(service, { siteKey: SITE_KEY });
  await Promise.all(Array.from({ length: 10 }, () => client.getFeed()));
  assert.equal(service.sent("/v1/anonymous").length, 1);
  assert.equal(new Set(service.sent("/v1/feed").map(({ who }) => who)).size, 1);
});

test("ten requests at once with a token that was withdrawn ask for one new one", async () => {
  const service = new Service();
  const getToken = backend(service, "alice");
  const client = open(service, { getToken });
  await client.getFeed();
  service.withdrawn.add(service.sent("/v1/feed")[0].token);
  await Promise.all(Array.from({ length: 10 }, () => client.getTrending()));
  assert.equal(getToken.asked, 2);
});

test("a refused token is replaced once, and then the refusal is told", async () => {
  const service = new Service();
  const getToken = backend(service, "alice");
  const client = open(service, { getToken });
  service.once("/v1/feed", 401);
  assert.equal((await client.getFeed()).who, "alice");
  service.once("/v1/feed", 401);
  service.once("/v1/feed", 401);
  assert.equal((await problemOf(client.getFeed())).status, 401);
  assert.equal(service.sent("/v1/feed").length, 4);
  assert.equal(getToken.asked, 3);
});

test("a token that ended while the machine slept is replaced before it is used", async () => {
  const service = new Service();
  const client = open(service, { getToken: backend(service, "alice") });
  await client.getFeed();
  await pass(9 * HOUR);
  await client.getFeed();
  assert.deepEqual(service.sent("/v1/feed").map(({ status }) => status), [200, 200]);
});

test("a token given as a string is used to its end, and its end is told", async () => {
  const service = new Service();
  const client = open(service, { token: service.mint("alice", 5 * MINUTE) });
  await client.getFeed();
  assert.equal(client.userId, "alice");
  client.record("click", "kept");
  await pass(6 * MINUTE);
  assert.match((await problemOf(client.getFeed())).message, /has expired/);
  await client.login(service.mint("alice"));
  await client.flush();
  assert.deepEqual(service.recorded("alice"), ["kept"]);
});

test("what is no token is refused before anything is sent", async () => {
  const service = new Service();
  assert.throws(() => open(service, { token: "open sesame" }), FeedProblem);
  const client = open(service, { siteKey: SITE_KEY });
  assert.equal((await problemOf(client.login("open sesame"))).status, 401);
  assert.equal((await client.getFeed()).who, client.userId);
  assert.ok(client.isGuest);
});

test("a backend that is down is a problem of the moment", async () => {
  const service = new Service();
  let up = false;
  const client = open(service, {
    getToken: async () => {
      if (!up) throw new TypeError("fetch failed");
      return service.mint("alice");
    },
  });
  client.record("click", "kept");
  assert.ok((await problemOf(client.getFeed())).temporary);
  up = true;
  await client.getFeed();
  assert.deepEqual(service.recorded("alice"), ["kept"]);
});

test("a backend that suddenly speaks for somebody else is not believed", async () => {
  const service = new Service();
  let sub = "alice";
  const client = open(service, { getToken: async () => service.mint(sub) });
  await client.getFeed();
  sub = "bob";
  client.record("click", "of alice");
  await pass(20 * MINUTE);
  assert.match((await problemOf(client.getFeed())).message, /another reader/);
  assert.deepEqual(service.requests.filter(({ who }) => who === "bob"), []);
});

for (const showsDate of [true, false]) {
  const how = showsDate ? "" : ", and does not show the service's";
  for (const hours of [-1, 1]) {
    test(`a device whose clock is ${hours} h off renews in time${how}`, async () => {
      const service = new Service({ aheadMs: -hours * HOUR, showsDate });
      const getToken = backend(service, "alice");
      const client = open(service, { getToken });
      for (let minute = 0; minute < 60; minute += 2) {
        await client.getFeed();
        client.record("click", `article-${minute}`);
        await pass(2 * MINUTE);
      }
      assert.ok(getToken.asked <= 6, `asked ${getToken.asked} times in an hour`);
      assert.deepEqual(service.requests.filter(({ status }) => status !== 200 && status !== 202), []);
      const last = [...service.moments.values()].at(-1);
      assert.ok(Math.abs(last - service.now()) < 3 * MINUTE, last);
    });
  }
}

for (const [who, hours] of [["siteKey", 1], ["siteKey", -1], ["token", 1]]) {
  test(`events noted by a clock ${hours} h off are put right (${who})`, async () => {
    const service = new Service({ aheadMs: -hours * HOUR });
    const options = { siteKey: SITE_KEY, token: service.mint("alice", DAY) };
    const client = open(service, { [who]: options[who] });
    client.record("click", "an-article"); // before anything was heard of the service
    await client.flush();
    assert.equal(service.events.size, 1);
    const [moment] = service.moments.values();
    assert.ok(Math.abs(moment - service.now()) < MINUTE, moment);
    assert.equal(service.sent("/v1/events").length, 1);
    assert.deepEqual(client.told.rejected, []);
  });
}

test("no secret is in an address", async () => {
  const service = new Service();
  const client = open(service, { siteKey: SITE_KEY });
  await client.getFeed();
  await client.login(backend(service, "alice"));
  await client.getPreferences();
  const secrets = [SITE_KEY, ...service.requests.map(({ token }) => token)];
  for (const { address } of service.requests) {
    for (const secret of secrets) assert.ok(!address.includes(secret), address);
  }
});

test("what a reader follows is added, and nothing of it stays muted", async () => {
  const service = new Service();
  const client = open(service, { token: service.mint("alice", DAY) });
  const kept = { muted_sources: ["Gazette"], languages: ["da"], personalization: true };
  const before = { followed_sections: ["sport"], muted_sections: ["food"], followed_sources: [] };
  service.preferences = { ...before, ...kept };
  await client.follow({ sections: ["food", "sport"], sources: ["Herald"] });
  const { method, path, body } = service.requests.at(-1);
  assert.deepEqual([method, path], ["PUT", "/v1/users/alice/preferences"]);
  const after = { followed_sections: ["sport", "food"], muted_sections: [] };
  assert.deepEqual(body, { ...after, followed_sources: ["Herald"], ...kept });
});

// Guests

test("a stranger becomes a guest by the site key and stays the same guest", async () => {
  const service = new Service();
  const guestStorage = new MemoryStorage();
  const client = open(service, { siteKey: SITE_KEY, guestStorage });
  await client.getFeed();
  const guest = client.userId;
  assert.match(guest, /^anon-/);
  assert.deepEqual(client.told.readers, [[guest, true]]);
  const later = open(service, { siteKey: SITE_KEY, guestStorage });
  assert.equal((await later.getFeed()).who, guest);
  assert.equal(later.userId, guest);
  assert.equal(service.sent("/v1/anonymous").length, 1);
});

test("requests with a token name no reader unless the path needs one", async () => {
  const service = new Service();
  const client = open(service, { siteKey: SITE_KEY });
  client.record("click", "an-article");
  await client.getFeed();
  await client.getPreferences();
  assert.equal(service.sent("/v1/feed")[0].query.user_id, undefined);
  assert.equal(service.sent("/v1/events")[0].body.events[0].user_id, undefined);
  assert.equal(service.requests.at(-1).path, `/v1/users/${client.userId}/preferences`);
});

test("a guest who comes back after weeks is renewed, one who was away too long is a stranger", async () => {
  const service = new Service();
  const client = open(service, { siteKey: SITE_KEY });
  await client.getFeed();
  const guest = client.userId;
  await pass(20 * DAY);
  await client.getFeed();
  await pass(20 * DAY);
  assert.equal((await client.getFeed()).who, guest);
  await pass(40 * DAY);
  assert.notEqual((await client.getFeed()).who, guest);
  assert.notEqual(client.userId, guest);
  assert.equal(client.told.readers.length, 2);
});

test("what one tab has renewed the other takes over", async () => {
  const service = new Service();
  const guestStorage = new MemoryStorage();
  const tabs = [1, 2].map(() => open(service, { siteKey: SITE_KEY, guestStorage }));
  await Promise.all(tabs.map((tab) => tab.getFeed()));
  const begun = service.sent("/v1/anonymous").length;
  await pass(20 * DAY);
  for (const tab of tabs) {
    await tab.getFeed();
    await idle();
    await tab.getFeed();
  }
  assert.equal(service.sent("/v1/anonymous").length, begun + 1);
});

test("two tabs are one guest", async () => {
  const service = new Service();
  const guestStorage = new MemoryStorage();
  const tabs = [1, 2, 3].map(() => open(service, { siteKey: SITE_KEY, guestStorage }));
  const feeds = await Promise.all(tabs.map((tab) => tab.getFeed()));
  assert.equal(new Set(feeds.map(({ who }) => who)).size, 1);
});

test("a guest who signed in in another tab is a stranger here, whose events still count", async () => {
  const service = new Service();
  const guestStorage = new MemoryStorage();
  const here = open(service, { siteKey: SITE_KEY, guestStorage });
  const there = open(service, { siteKey: SITE_KEY, guestStorage });
  await here.getFeed();
  await there.getFeed();
  const guest = here.userId;
  here.record("click", "late");
  await there.login(backend(service, "alice"));
  assert.notEqual((await here.getFeed()).who, guest);
  assert.deepEqual(service.recorded(guest), ["late"]);
});

test("a guest who may not do something remains who they are", async () => {
  const service = new Service();
  const client = open(service, { siteKey: SITE_KEY });
  await client.getFeed();
  const guest = client.userId;
  assert.equal((await problemOf(client.request("GET", "/v1/users/bob/export"))).status, 403);
  assert.equal((await client.getFeed()).who, guest);
});

test("a storage that is forbidden costs memory over a reload and nothing else", async () => {
  const service = new Service();
  const forbidden = new MemoryStorage({ forbidden: true });
  const client = open(service, { siteKey: SITE_KEY, storage: forbidden, guestStorage: forbidden });
  await client.getFeed();
  client.record("click", "of the guest");
  const guest = client.userId;
  await pass(3000);
  assert.deepEqual(service.recorded(guest), ["of the guest"]);
  assert.deepEqual(await client.login(backend(service, "alice")), { userId: "alice", merged: true });
  assert.equal(service.merged.get(guest), "alice");
  await client.logout();
  assert.notEqual(client.userId, guest);
  assert.equal(service.sent("/v1/anonymous").length, 2);
});

test("what is stored as a guest but is none is forgotten", async () => {
  const service = new Service();
  const guestStorage = new MemoryStorage();
  for (const nonsense of ["{", "7", '{"owner": "guest x", "token": "nonsense"}']) {
    guestStorage.setItem("feed-client-guest", nonsense);
    const client = open(service, { siteKey: SITE_KEY, guestStorage });
    assert.match((await client.getFeed()).who, /^anon-/);
  }
});

test("a limit on new guests is respected for as long as the service says", async () => {
  const service = new Service();
  service.once("/v1/anonymous", 429, { "Retry-After": "60" });
  const client = open(service, { siteKey: SITE_KEY });
  client.record("click", "kept");
  assert.equal((await problemOf(client.getFeed())).retryAfterS, 60);
  await problemOf(client.getFeed());
  await pass(30_000);
  assert.equal((await problemOf(client.getTrending())).status, 429);
  assert.equal(service.sent("/v1/anonymous").length, 1);
  await pass(31_000);
  await client.getFeed();
  assert.deepEqual(service.recorded(client.userId), ["kept"]);
});

test("what the page knows of the reader goes with every feed request", async () => {
  const service = new Service();
  const client = open(service, { siteKey: SITE_KEY });
  await client.getFeed();
  client.attributes = { subscriber: true, region: "north", plan: null, visits: 0, city: "" };
  await client.getFeed();
  const sent = service.sent("/v1/feed").map(({ query }) => query.attributes);
  assert.deepEqual(sent, [undefined, "subscriber:true,region:north,visits:0"]);
});

// Events

test("events wait while the service is away, and none is sent twice for that", async () => {
  const service = new Service();
  const client = open(service, { siteKey: SITE_KEY });
  await client.getFeed();
  service.down = true;
  client.record("click", "first");
  assert.equal(await client.flush(), false);
  client.record("like", "second");
  service.down = false;
  await pass(6000);
  assert.deepEqual(service.recorded(client.userId), ["first", "second"]);
  assert.ok(client.told.problems.every((problem) => problem.offline));
});

test("a pause that the service asks for holds for events, whoever wants to send them", async () => {
  const service = new Service();
  const client = open(service, { siteKey: SITE_KEY });
  await client.getFeed();
  service.once("/v1/events", 429, { "Retry-After": "20" });
  client.record("click", "kept");
  await client.flush();
  await client.flush();
  await client.getFeed();
  assert.equal(service.sent("/v1/events").length, 1);
  await pass(21_000);
  assert.deepEqual(service.recorded(client.userId), ["kept"]);
});

test("events that were refused for good are told, one by one", async () => {
  const service = new Service();
  const client = open(service, { siteKey: SITE_KEY });
  await client.getFeed();
  service.once("/v1/events", 422, {}, "no such kind");
  client.record("click", "wrong");
  await client.flush();
  assert.deepEqual(client.told.rejected, [["wrong", "no such kind"]]);
  assert.equal(await client.flush(), true);
  assert.equal(service.sent("/v1/events").length, 1);
});

test("a custom event is queued, sent again and answered for as any other", async () => {
  const service = new Service();
  const client = open(service, { siteKey: SITE_KEY, context: { platform: "web" } });
  service.down = true;
  const event = client.track("subscribed", { value: 9.5, articleId: "wall", context: { plan: "y" } });
  client.track("registered");
  await client.flush();
  service.down = false;
  await pass(6000);
  const [{ body }] = service.sent("/v1/events").filter(({ status }) => status === 202);
  assert.deepEqual(body.events, [
    {
      event_id: event.event_id, kind: "custom", name: "subscribed", value: 9.5,
      article_id: "wall", occurred_at: event.occurred_at, context: { platform: "web", plan: "y" },
    },
    {
      event_id: body.events[1].event_id, kind: "custom", name: "registered",
      occurred_at: event.occurred_at, context: { platform: "web" },
    },
  ]);
});

test("a custom event that breaks a rule is told at once and not sent", async () => {
  const service = new Service();
  const client = open(service, { siteKey: SITE_KEY });
  const wrong = [
    ["", {}, "name"], ["Paid", {}, "name"], ["x".repeat(65), {}, "name"], [7, {}, "name"],
    ["paid", { value: "9" }, "value"], ["paid", { value: Number.NaN }, "value"],
    ["paid", { value: -2e12 }, "value"],
  ];
  for (const [name, details, field] of wrong) {
    assert.throws(
      () => client.track(name, details),
      (error) => error instanceof FeedProblem && error.errors[0].field === field,
    );
  }
  await client.getFeed();
  assert.equal(service.sent("/v1/events").length, 0);
});

test("unsent events of a guest survive a reload, and go as that guest", async () => {
  const service = new Service();
  const stores = { storage: new MemoryStorage(), guestStorage: new MemoryStorage() };
  const before = open(service, { siteKey: SITE_KEY, ...stores });
  await before.getFeed();
  service.down = true;
  before.record("click", "kept");
  await before.flush();
  before.close();
  service.down = false;
  const after = open(service, { siteKey: SITE_KEY, ...stores });
  await after.getFeed();
  assert.deepEqual(service.recorded(before.userId), ["kept"]);
  assert.equal(after.userId, before.userId);
});

test("without tokens the page names the reader, with the headers it was given", async () => {
  const service = new Service();
  const token = service.mint("reader-1"); // stands in for what a proxy would accept
  const headers = { Authorization: `Bearer ${token}` };
  const client = open(service, { userId: "reader-1", headers });
  client.record("click", "an-article");
  await client.getFeed();
  assert.equal(service.sent("/v1/feed")[0].query.user_id, "reader-1");
  assert.equal(service.sent("/v1/events")[0].body.events[0].user_id, "reader-1");
  client.userId = "reader-2";
  await client.getFeed();
  assert.equal(service.sent("/v1/feed")[1].query.user_id, "reader-2");
  assert.equal(service.sent("/v1/anonymous").length, 0);
});

test("a service that wants a key keeps no events back once it has one", async () => {
  const service = new Service();
  const client = open(service, { userId: "reader-1" });
  client.record("click", "kept");
  assert.equal((await problemOf(client.getFeed())).status, 401);
  client.headers = { Authorization: `Bearer ${service.mint("reader-1")}` };
  await client.getFeed();
  assert.deepEqual(service.recorded("reader-1"), ["kept"]);
});

// Signing in and out

test("signing in merges the guest and loses no event", async () => {
  const service = new Service();
  const client = open(service, { siteKey: SITE_KEY });
  await client.getFeed();
  const guest = client.userId;
  client.record("click", "waiting");
  const result = await client.login(backend(service, "alice"));
  assert.deepEqual(result, { userId: "alice", merged: true });
  client.record("click", "afterwards");
  await client.flush();
  assert.equal(service.merged.get(guest), "alice");
  assert.deepEqual(service.recorded(guest), ["waiting"]);
  assert.deepEqual(service.recorded("alice"), ["afterwards"]);
  assert.deepEqual(client.told.readers, [[guest, true], ["alice", false]]);
  assert.equal(client.isGuest, false);
});

test("what a guest did while signing in goes on is the reader's", async () => {
  const service = new Service();
  const client = open(service, { siteKey: SITE_KEY });
  await client.getFeed();
  service.once("/v1/events", 503);
  client.record("click", "before");
  const signingIn = client.login(backend(service, "alice"));
  client.record("click", "meanwhile");
  await signingIn;
  await pass(6000);
  assert.deepEqual(service.recorded("alice"), ["before", "meanwhile"]);
});

test("what was done before there was a guest is the reader's who signs in", async () => {
  const service = new Service();
  const client = open(service, { siteKey: SITE_KEY });
  service.once("/v1/anonymous", 503, { "Retry-After": "30" });
  client.record("click", "early");
  await client.flush();
  await client.login(backend(service, "alice"));
  await pass(31_000);
  assert.deepEqual(service.recorded("alice"), ["early"]);
});

test("requests wait for a reader who is signing in", async () => {
  const service = new Service();
  const client = open(service, { siteKey: SITE_KEY });
  await client.getFeed();
  const signingIn = client.login(backend(service, "alice"));
  assert.equal((await client.getFeed()).who, "alice");
  await signingIn;
});

test("signing in without a connection merges later, also after a reload", async () => {
  for (const reload of [false, true]) {
    const service = new Service();
    const stores = { storage: new MemoryStorage(), guestStorage: new MemoryStorage() };
    let client = open(service, { siteKey: SITE_KEY, ...stores });
    await client.getFeed();
    const guest = client.userId;
    service.down = true;
    client.record("click", "of the guest");
    assert.deepEqual(await client.login(service.mint("alice")), { userId: "alice", merged: false });
    client.record("click", "of alice");
    await client.flush();
    service.down = false;
    if (reload) {
      client.close();
      client = open(service, { siteKey: SITE_KEY, token: service.mint("alice"), ...stores });
    }
    await pass(31_000);
    assert.equal((await client.getFeed()).who, "alice");
    assert.equal(service.merged.get(guest), "alice");
    assert.deepEqual(service.recorded(guest), ["of the guest"]);
    assert.deepEqual(service.recorded("alice"), ["of alice"]);
  }
});

test("a guest whose merging failed never becomes the next reader's", async () => {
  const service = new Service();
  const client = open(service, { siteKey: SITE_KEY });
  await client.getFeed();
  const guest = client.userId;
  service.down = true;
  await client.login(service.mint("alice"));
  await client.logout();
  service.down = false;
  await client.login(service.mint("bob"));
  await client.getFeed();
  assert.equal(service.merged.has(guest), false);
  await client.login(service.mint("alice"));
  await pass(31_000);
  await client.getFeed();
  assert.equal(service.merged.get(guest), "alice");
});

test("a reader who is signed in from the start takes over the guest of earlier pages", async () => {
  const service = new Service();
  const guestStorage = new MemoryStorage();
  const earlier = open(service, { siteKey: SITE_KEY, guestStorage });
  await earlier.getFeed();
  const client = open(service, { siteKey: SITE_KEY, getToken: backend(service, "alice"), guestStorage });
  assert.equal((await client.getFeed()).who, "alice");
  assert.equal(service.merged.get(earlier.userId), "alice");
  assert.deepEqual(client.told.readers, [["alice", false]]);
});

test("a guest who was merged into somebody else is let go", async () => {
  const service = new Service();
  const client = open(service, { siteKey: SITE_KEY });
  await client.getFeed();
  service.merged.set(client.userId, "bob");
  const result = await client.login(backend(service, "alice"));
  assert.deepEqual(result, { userId: "alice", merged: false });
  assert.equal((await client.getFeed()).who, "alice");
  assert.equal(service.requests.filter(({ path }) => path.endsWith("/merge")).length, 1);
});

test("a sign-in that fails changes nothing", async () => {
  const service = new Service();
  const client = open(service, { siteKey: SITE_KEY });
  await client.getFeed();
  const guest = client.userId;
  await problemOf(client.login(async () => ""));
  await problemOf(client.login(async () => { throw new TypeError("fetch failed"); }));
  assert.equal(client.userId, guest);
  service.once("/v1/users/alice/preferences", 403);
  assert.equal((await problemOf(client.login(service.mint("alice")))).status, 403);
  assert.equal((await client.getFeed()).who, guest);
  assert.equal(service.merged.size, 0);
});

test("a token that the service refuses signs nobody in", async () => {
  const service = new Service();
  const client = open(service, { siteKey: SITE_KEY });
  await client.getFeed();
  const guest = client.userId;
  const forged = makeToken({ sub: "alice", exp: service.now() / 1000 + 3600 });
  assert.equal((await problemOf(client.login(forged))).status, 401);
  assert.equal(client.userId, guest);
  assert.equal((await client.getFeed()).who, guest);
});

test("a token that has ended costs a waiting guest nothing", async () => {
  const service = new Service();
  const guestStorage = new MemoryStorage();
  const earlier = open(service, { siteKey: SITE_KEY, guestStorage });
  await earlier.getFeed();
  const token = service.mint("alice", 5 * MINUTE);
  await pass(10 * MINUTE);
  const client = open(service, { siteKey: SITE_KEY, token, guestStorage });
  assert.equal((await problemOf(client.getFeed())).status, 401);
  await client.login(service.mint("alice"));
  assert.equal(service.merged.get(earlier.userId), "alice");
});

test("signing in twice does nothing twice", async () => {
  const service = new Service();
  const client = open(service, { siteKey: SITE_KEY });
  await client.getFeed();
  await client.login(backend(service, "alice"));
  assert.deepEqual(await client.login(backend(service, "alice")), { userId: "alice", merged: false });
  assert.equal(service.requests.filter(({ path }) => path.endsWith("/merge")).length, 1);
  assert.equal(client.told.readers.length, 2);
});

test("signing out makes a stranger", async () => {
  const service = new Service();
  const guestStorage = new MemoryStorage();
  const client = open(service, { siteKey: SITE_KEY, guestStorage });
  await client.getFeed();
  const guest = client.userId;
  await client.login(backend(service, "alice"));
  const stranger = await client.logout();
  assert.match(stranger, /^anon-/);
  assert.notEqual(stranger, guest);
  assert.equal((await client.getFeed()).who, stranger);
  assert.deepEqual(client.told.readers.at(-1), [stranger, true]);
  const reloaded = open(service, { siteKey: SITE_KEY, guestStorage });
  assert.equal((await reloaded.getFeed()).who, stranger);
});

test("a guest can be forgotten by this browser, and their events are not lost", async () => {
  const service = new Service();
  const client = open(service, { siteKey: SITE_KEY });
  await client.getFeed();
  const guest = client.userId;
  service.once("/v1/events", 503);
  client.record("click", "of the first");
  const stranger = await client.logout();
  assert.notEqual(stranger, guest);
  await pass(6000);
  assert.deepEqual(service.recorded(guest), ["of the first"]);
  assert.deepEqual(service.recorded(stranger), []);
});

test("without a site key nobody reads after signing out", async () => {
  const service = new Service();
  const client = open(service, { getToken: backend(service, "alice") });
  await client.getFeed();
  assert.equal(await client.logout(), "");
  const asked = service.requests.length;
  assert.equal((await problemOf(client.getFeed())).status, 401);
  client.record("click", "by nobody");
  await client.flush();
  assert.equal(service.requests.length, asked);
});

test("no event ever goes with another reader's token", async () => {
  const service = new Service();
  const stores = { storage: new MemoryStorage(), guestStorage: new MemoryStorage() };
  let client = open(service, { siteKey: SITE_KEY, ...stores });
  const expected = {};
  const act = (who, article) => {
    client.record("click", article);
    (expected[who] ??= []).push(article);
  };
  await client.getFeed();
  const first = client.userId;
  act(first, "1");
  await client.logout();
  const second = client.userId;
  service.down = true;
  act(second, "2"); // nobody signs in as this one: it stays a guest's
  await client.logout();
  service.down = false;
  await client.login(service.mint("alice"));
  service.down = true;
  act("alice", "3");
  client.close();
  client = open(service, { siteKey: SITE_KEY, token: service.mint("bob"), ...stores });
  act("bob", "4");
  await client.flush();
  service.down = false;
  await pass(6000);
  await client.getFeed();
  assert.deepEqual(service.recorded("alice"), []); // she is not here
  await client.login(service.mint("alice"));
  await client.flush();
  for (const [who, articles] of Object.entries(expected)) {
    assert.deepEqual(service.recorded(who), articles, who);
  }
  for (const whose of service.events.values()) assert.equal(whose.length, 1);
});

test("erasing a reader drops their unsent events and nobody else's", async () => {
  const service = new Service();
  const client = open(service, { siteKey: SITE_KEY });
  await client.getFeed();
  service.down = true;
  client.record("click", "of the guest");
  await client.logout();
  service.down = false;
  await client.login(service.mint("alice"));
  client.record("click", "of alice");
  await client.eraseReader();
  await pass(6000);
  assert.deepEqual(service.recorded("alice"), []);
  assert.equal([...service.events.values()].length, 1);
});
