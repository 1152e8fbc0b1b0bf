/**
 * Readers that a page can speak for.
 * @module session
 */

import { newEventId } from "./ids.js";
import { FeedProblem } from "./problem.js";
import { TokenKeeper } from "./token.js";

/**
 * @typedef {object} Session
 * @property {string} owner  whose events these are, in the queue: the user id, or a name of its
 *   own where the id is not known yet
 * @property {boolean} guest  an anonymous reader, whose id the service has made
 * @property {TokenKeeper|null} keeper  null where API keys or an open service need no token
 */

/** A reader named by the page itself. @param {string} userId @returns {Session} */
export function namedReader(userId) {
  return { owner: userId, guest: false, keeper: null };
}

/**
 * A reader who is signed in at the newsroom.
 * @param {string|import("./api.js").TokenFunction} given  a token, or what fetches one
 * @param {import("./http.js").ServiceClock} clock
 * @returns {Session}
 */
export function signedInReader(given, clock) {
  const renew = typeof given === "function" ? () => ask(given) : null;
  const keeper = new TokenKeeper({ renew, clock, token: renew ? null : String(given) });
  return { owner: keeper.userId ?? `reader ${newEventId()}`, guest: false, keeper };
}

/** @param {import("./api.js").TokenFunction} getToken */
async function ask(getToken) {
  let token;
  try {
    token = await getToken();
  } catch (cause) {
    if (cause instanceof FeedProblem) throw cause;
    const title = "The reader's token could not be fetched.";
    throw new FeedProblem({ status: 0, title, cause });
  }
  if (typeof token === "string" && token) return token.trim();
  throw new FeedProblem({ status: 401, title: "There is no token: nobody is signed in." });
}
