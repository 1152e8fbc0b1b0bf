/** Talks to one feed service on behalf of one reader at a time. */
export class FeedClient {
    /** @param {import("./api.js").FeedClientOptions} options */
    constructor(options: import("./api.js").FeedClientOptions);
    baseUrl: string;
    headers: Record<string, string>;
    context: Record<string, string>;
    attributes: import("./api.js").ReaderAttributes;
    onReader: (userId: string, who: {
        guest: boolean;
    }) => void;
    onProblem: (problem: import("./problem.js").FeedProblem) => void;
    onRejected: (event: import("./api.js").FeedEvent, detail: string) => void;
    /** Name the reader, where the service takes the page's word for it. @param {string} userId */
    set userId(userId: string);
    /** The reader of the feed; "" while that is not known. */
    get userId(): string;
    /** True while the reader is anonymous. */
    get isGuest(): boolean;
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
    login(tokenOrGetToken: string | import("./api.js").TokenFunction): Promise<{
        userId: string;
        merged: boolean;
    }>;
    /**
     * Call this when the reader has signed out. Their token is forgotten, and with a site key a new
     * guest starts. A guest may sign out too, so that this browser forgets them.
     * @returns {Promise<string>} the new guest's id; "" if there is none (yet)
     */
    logout(): Promise<string>;
    /**
     * The reader's feed, or its next page with the `cursor` of the previous one.
     * @param {import("./api.js").FeedQuery} [query]
     * @returns {Promise<import("./api.js").Feed>}
     * @throws {FeedProblem}
     */
    getFeed({ limit, cursor, section, language, mode, signal }?: import("./api.js").FeedQuery): Promise<import("./api.js").Feed>;
    /**
     * The trending articles, with the numbers behind each.
     * @param {import("./api.js").TrendingQuery} [query]
     * @returns {Promise<import("./api.js").Trending>}
     * @throws {FeedProblem}
     */
    getTrending({ section, language, limit, signal }?: import("./api.js").TrendingQuery): Promise<import("./api.js").Trending>;
    /**
     * The articles that tell of one event, newest first.
     * @param {string} storyId  that of `more_on_this`, or the id of any article of the story
     * @returns {Promise<import("./api.js").Story>}
     * @throws {FeedProblem}
     */
    getStory(storyId: string): Promise<import("./api.js").Story>;
    /**
     * @param {string} articleId
     * @returns {Promise<import("./api.js").Article>}
     * @throws {FeedProblem}
     */
    getArticle(articleId: string): Promise<import("./api.js").Article>;
    /**
     * The articles related to one article.
     * @param {string} articleId
     * @returns {Promise<import("./api.js").Related>}
     * @throws {FeedProblem}
     */
    getRelated(articleId: string): Promise<import("./api.js").Related>;
    /**
     * @returns {Promise<import("./api.js").ReaderPreferences>}
     * @throws {FeedProblem}
     */
    getPreferences(): Promise<import("./api.js").ReaderPreferences>;
    /**
     * @param {import("./api.js").Preferences} preferences
     * @returns {Promise<import("./api.js").ReaderPreferences>}
     * @throws {FeedProblem}
     */
    putPreferences(preferences: import("./api.js").Preferences): Promise<import("./api.js").ReaderPreferences>;
    /**
     * Follow sections and sources, beside those that the reader follows. None of them stays muted.
     * @param {{sections?: string[], sources?: string[]}} topics
     * @returns {Promise<import("./api.js").ReaderPreferences>}
     * @throws {FeedProblem}
     */
    follow({ sections, sources }: {
        sections?: string[];
        sources?: string[];
    }): Promise<import("./api.js").ReaderPreferences>;
    /**
     * Everything that is held on the reader.
     * @returns {Promise<import("./api.js").ReaderExport>}
     * @throws {FeedProblem}
     */
    exportReader(): Promise<import("./api.js").ReaderExport>;
    /**
     * Erase everything held on the reader, unsent events too.
     * @returns {Promise<import("./api.js").Erased>}
     * @throws {FeedProblem}
     */
    eraseReader(): Promise<import("./api.js").Erased>;
    /**
     * Note that the reader did something with an article. Returns at once; the event is sent with
     * the next batch. Call `flush()` after it where the reader waits for the effect.
     * @param {Exclude<import("./api.js").EventKind, "custom">} kind
     * @param {string} articleId
     * @param {import("./api.js").EventDetails} [details]
     * @returns {import("./api.js").FeedEvent} the event as it will be sent
     */
    record(kind: Exclude<import("./api.js").EventKind, "custom">, articleId: string, { requestId, position, dwellS, context }?: import("./api.js").EventDetails): import("./api.js").FeedEvent;
    /**
     * Note something of your own that the reader did: a subscription, a comment, a registration ...
     * Experiments can measure it. It is queued and sent as the events of `record` are, and changes
     * nothing in the reader's feed.
     * @param {string} name  1 to 64 lower-case letters, digits and _, starting with a letter
     * @param {import("./api.js").CustomEventDetails} [details]
     * @returns {import("./api.js").FeedEvent} the event as it will be sent
     * @throws {FeedProblem} name or value break a rule; nothing is sent
     */
    track(name: string, { value, articleId, context }?: import("./api.js").CustomEventDetails): import("./api.js").FeedEvent;
    /**
     * Send every waiting event now.
     * @returns {Promise<boolean>} false if some are still waiting (they will be sent again)
     */
    flush(): Promise<boolean>;
    /**
     * One request to the service on behalf of the reader, for routes this class has no method for.
     * @param {string} method
     * @param {string} path
     * @param {import("./api.js").RequestOptions} [options]
     * @returns {Promise<any>} the JSON answer, null if it was empty
     * @throws {FeedProblem}
     */
    request(method: string, path: string, options?: import("./api.js").RequestOptions): Promise<any>;
    /** Stop for good: no more events are sent, and the page is no longer listened to. */
    close(): void;
    #private;
}
import { FeedProblem } from "./problem.js";
import { newEventId } from "./ids.js";
export { FeedProblem, newEventId };
