// Every public name of the package, used as a strict TypeScript project would use it.

import { FeedClient, FeedProblem, newEventId } from "feed-client";
import type { Article, Feed, FeedClientOptions, FeedEvent, Preferences } from "feed-client/api";
import { DwellTimer, ImpressionTracker } from "feed-client/attention";

const options: FeedClientOptions = {
  baseUrl: "https://feed.example",
  siteKey: "site-key",
  context: { platform: "web", device: "phone" },
  attributes: { subscriber: true, region: "north", visits: 3, plan: null },
  headers: { "X-Trace": "1" },
  storage: null,
  guestStorage: { getItem: () => null, setItem: () => {}, removeItem: () => {} },
  fetch: (input, init) => fetch(input, init),
  onReader: (userId: string, { guest }: { guest: boolean }) => console.log(userId, guest),
  onProblem: (problem: FeedProblem) => console.log(problem.status, problem.retryAfterS),
  onRejected: (event: FeedEvent, detail: string) => console.log(event.event_id, detail),
};

export async function read(): Promise<string[]> {
  const client = new FeedClient(options);
  const { userId, merged }: { userId: string; merged: boolean } = await client.login(
    async () => (await fetch("/my-backend/feed-token")).text(),
  );
  const feed: Feed = await client.getFeed({ limit: 20, mode: "personalized", cursor: null });
  const [first] = feed.items;
  if (first) {
    const event: FeedEvent = client.record("read", first.article.article_id, {
      requestId: feed.request_id,
      position: first.position,
      dwellS: 12.5,
      context: { page: "front" },
    });
    console.log(event.occurred_at, first.labels, first.reasons[0]?.text, first.my_reaction);
  }
  const custom: FeedEvent = client.track("subscribed", { value: 9.5, articleId: "an-article" });
  console.log(custom.name, custom.value, client.track("registered").article_id);
  const delivered: boolean = await client.flush();
  const article: Article = await client.getArticle("an-article");
  const { items } = await client.getRelated(article.article_id);
  const trending = await client.getTrending({ section: "sport" });
  const preferences: Preferences = await client.getPreferences();
  await client.putPreferences({ ...preferences, personalization: true });
  console.log((await client.follow({ sections: ["sport"] })).followed_sections);
  console.log((await client.exportReader()).archive, (await client.eraseReader()).store);
  console.log(userId, merged, delivered, client.isGuest, client.userId, newEventId());
  console.log(items[0]?.source, trending.items[0]?.lift, await client.request("GET", "/v1/feed"));
  const stranger: string = await client.logout();
  client.close();
  return [stranger];
}

export function watch(client: FeedClient, card: Element): number {
  const tracker = new ImpressionTracker(client, { share: 0.5, forMs: 1000 });
  tracker.observe(card, { articleId: "an-article", requestId: "request", position: 0 });
  tracker.setPaused(true);
  tracker.unobserve(card);
  tracker.clear();
  const timer = new DwellTimer();
  timer.start();
  return timer.stop();
}

export function explain(error: unknown): string {
  if (!(error instanceof FeedProblem)) return "";
  if (error.offline || error.temporary) return "later";
  return error.errors.map(({ field, rule }) => `${field} ${rule}`).join() || error.title;
}

// @ts-expect-error -- there is no such kind of event
new FeedClient({ userId: "reader-1" }).record("stare", "an-article");
// @ts-expect-error -- a custom event has a name: track() makes it
new FeedClient({ userId: "reader-1" }).record("custom", "an-article");
// @ts-expect-error -- a token function gives a token
new FeedClient({ getToken: () => 7 });
