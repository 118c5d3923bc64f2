// An OpenID provider for the tests: node provider.mjs FOLDER, where FOLDER has node_modules.
// It prints its address. SIGHUP makes it sign with a new key, of another type.
import { generateKeyPairSync, randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

const require = createRequire(resolve(process.argv[2], "package.json"));
const { default: Provider } = await import(pathToFileURL(require.resolve("oidc-provider")));

function newKey(alg, type, options) {
  const jwk = generateKeyPairSync(type, options).privateKey.export({ format: "jwk" });
  return { ...jwk, alg, use: "sig", kid: randomUUID() };
}

function newProvider(issuer, keys) {
  const { alg } = keys[0];
  return new Provider(issuer, {
    jwks: { keys },
    clients: [
      {
        client_id: "studio",
        client_secret: "secret-of-the-studio",
        grant_types: ["client_credentials"],
        response_types: [],
        redirect_uris: [],
        id_token_signed_response_alg: alg,
      },
      {
        client_id: "player",
        application_type: "native",
        token_endpoint_auth_method: "none",
        redirect_uris: ["http://127.0.0.1/callback"],
        id_token_signed_response_alg: alg,
      },
    ],
    cookies: { keys: [randomUUID()] },
    enabledJWA: { idTokenSigningAlgValues: ["RS256", "ES384"] },
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
    scopes: ["openid", "separate", "read"],
    features: {
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_, audience) => ({
          scope: "separate read",
          audience,
          accessTokenFormat: "jwt",
          jwt: { sign: { alg } },
        }),
      },
    },
  });
}

const server = createServer().listen(0, "127.0.0.1");
await once(server, "listening");
const issuer = `http://127.0.0.1:${server.address().port}`;
const keys = [newKey("RS256", "rsa", { modulusLength: 2048 })];
let handle = newProvider(issuer, keys).callback();
server.on("request", (request, response) => handle(request, response));
process.on("SIGHUP", () => {
  keys.unshift(newKey("ES384", "ec", { namedCurve: "P-384" }));
  handle = newProvider(issuer, keys).callback();
  console.log("rotated");
});
console.log(issuer);
