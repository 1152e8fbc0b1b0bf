/**
 * An OpenID Connect provider for the tests of signing in: it lets in whoever names an account of
 * ACCOUNTS, and prints its address. Its first argument is the desk's address for the answer.
 * @module provider
 */

import { createServer } from "node:http";
import { once } from "node:events";

import { Provider } from "oidc-provider";

const ACCOUNTS = {
  anna: { email: "anna@paper.example", email_verified: true, groups: ["editors", "staff"] },
  otto: { email: "otto@paper.example", email_verified: true, groups: ["admins", "editors"] },
  guest: { email: "anna@paper.example", email_verified: false, groups: ["visitors"] },
  twin: { email: "anna@paper.example", email_verified: false, groups: ["editors"] },
};

const server = createServer();
server.listen(0, "127.0.0.1");
await once(server, "listening");
const issuer = `http://127.0.0.1:${server.address().port}`;
const provider = new Provider(issuer, {
  clients: [
    {
      client_id: "the-desk",
      client_secret: "a-secret-of-the-desk",
      redirect_uris: [process.argv[2]],
      response_types: ["code"],
      grant_types: ["authorization_code"],
    },
  ],
  pkce: { required: () => true },
  claims: { openid: ["sub"], profile: ["groups"], email: ["email", "email_verified"] },
  conformIdTokenClaims: process.argv[3] !== "all-in-the-id-token",
  findAccount: (_context, id) =>
    ACCOUNTS[id] && { accountId: id, claims: () => ({ sub: id, ...ACCOUNTS[id] }) },
  cookies: { keys: ["a key of the test"] },
});
server.on("request", provider.callback());
process.stdin.resume().on("end", () => process.exit()); // it ends with the test that started it
console.log(issuer);
