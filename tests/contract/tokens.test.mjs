// The reader for Node on the published rows, and what it asks of AWS. The table and the clock are played; the
// Encryption SDK is AWS's own. Run by test_node_reader.py, in a copy of the example with its packages.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { inspect } from "node:util";
import { buildClient, CommitmentPolicy, KmsKeyringNode } from "@aws-crypto/client-node";
import { TokenError, Tokens } from "./tokens.mjs";

const RECORDS = JSON.parse(readFileSync(process.env.RECORDS, "utf8"));
const ENVELOPES = JSON.parse(readFileSync(process.env.ENVELOPES, "utf8"));
const CACHE_SECONDS = 300;
const ALLOWED = process.env.ATTRIBUTES.split(" ");
const bytes = (base64) => new Uint8Array(Buffer.from(base64, "base64"));
const fault = (name) => Object.assign(new Error("CNRY-words-of-aws"), { name });
const named = (name) => RECORDS.cases.find((each) => each.name === name);
const ACTIVE = named("an active connection");

function itemOf(item) {
  const sealed = item?.access_token?.B;
  return sealed === undefined ? item : { ...item, access_token: { B: bytes(sealed) } };
}

/** The one row, the published keys, and a clock; `failing` are errors by operation. */
class Aws {
  calls = [];
  failing = {};
  now = RECORDS.now;

  constructor(item) {
    this.item = itemOf(item);
  }

  async getItem(request) {
    this.#called("GetItem", request);
    return { Item: this.stale && !request.ConsistentRead ? this.stale : this.item };
  }

  async decrypt(request) {
    this.#called("Decrypt", request);
    const blob = Buffer.from(request.CiphertextBlob).toString("base64");
    const found = RECORDS.kms.find((each) => each.encrypted_data_key === blob);
    if (!found || !sameContext(found.context, request.EncryptionContext)) throw fault("InvalidCiphertextException");
    if (found.key_arn !== request.KeyId) throw fault("IncorrectKeyException");
    return { Plaintext: bytes(found.data_key), KeyId: found.key_arn };
  }

  #called(name, request) {
    this.calls.push({ name, request });
    if (this.failing[name]) throw this.failing[name];
  }

  tokens() {
    const now = () => this.now;
    return new Tokens({ table: "connections", accessKey: RECORDS.access_key, dynamodb: this, kms: this, now });
  }

  get names() {
    return this.calls.map(({ name }) => name);
  }
}

const sameContext = (one, other) => inspect(Object.entries(one).sort()) === inspect(Object.entries(other).sort());

/** The row's metadata with numbers as text where JavaScript cannot hold them. */
function metadataOf({ metadata = { M: {} } }) {
  const value = ({ S, N }) => S ?? (Number.isSafeInteger(+N) ? +N : N);
  return Object.fromEntries(Object.entries(metadata.M).map(([name, each]) => [name, value(each)]));
}

/** Whether KMS, if it was asked, was asked for this row's token and for no other. */
function isOfTheRow({ EncryptionContext: context }, { tenant, connection }) {
  return context === undefined || sameContext(context, { tenant, connection, field: "access_token" });
}

async function ending(reading) {
  const error = await reading.then(
    () => assert.fail("it opened"),
    (each) => each,
  );
  assert.ok(error instanceof TokenError, error.stack);
  assert.doesNotMatch(inspect(error, { depth: 9 }), /CNRY-/);
  return error;
}

for (const vector of RECORDS.cases)
  test(`row: ${vector.name}`, async () => {
    const [integration, name] = vector.connection.split("#");
    const aws = new Aws(vector.seen);
    const tokens = aws.tokens();
    aws.now = RECORDS.now - CACHE_SECONDS;
    if (vector.seen) await tokens.token(vector.tenant, integration, name);
    aws.item = itemOf(vector.item);
    aws.now = RECORDS.now;
    const reading = tokens.token(vector.tenant, integration, name);
    if (vector.outcome !== "token" && vector.message !== "may open") {
      assert.equal((await ending(reading)).code, vector.outcome);
      return assert.ok(aws.calls.every(({ request }) => isOfTheRow(request, vector)));
    }
    const { authorization, ...told } = await reading;
    if (vector.message === "may open") return; // AWS's SDK does not look behind the end
    const { access_token: secret, token_type: _, expires_at: expiresAt, ...others } = vector.token;
    assert.equal(authorization, `Bearer ${secret}`);
    const expected = { ...others, expiresAt, metadata: metadataOf(vector.item) };
    assert.deepEqual({ ...told, expiresAt: told.expiresAt ?? null }, expected);
  });

const { decrypt } = buildClient(CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT);
for (const vector of ENVELOPES.vectors)
  test(`message: ${vector.name}`, async () => {
    const answer = async () => ({ Plaintext: bytes(vector.data_key), KeyId: vector.key_arn });
    const keyring = new KmsKeyringNode({ keyIds: [vector.key_arn], clientProvider: () => ({ decrypt: answer }) });
    const { plaintext, messageHeader } = await decrypt(keyring, bytes(vector.message));
    assert.equal(plaintext.toString("base64"), vector.plaintext);
    assert.deepEqual({ ...messageHeader.encryptionContext }, vector.context);
  });

test("a miss costs one GetItem and one Decrypt, a hit nothing", async () => {
  const aws = new Aws(ACTIVE.item);
  const tokens = aws.tokens();
  const token = await tokens.token("acme", "hubspot");
  assert.equal(await tokens.token("acme", "hubspot"), token);
  assert.deepEqual(aws.names, ["GetItem", "Decrypt"]);
});

test("it asks for what the policy allows and nothing else, and opens under the row's own context", async () => {
  const aws = new Aws(ACTIVE.item);
  await aws.tokens().token("acme", "hubspot");
  const [{ request: get }, { request: open }] = aws.calls;
  const asked = get.ProjectionExpression.split(", ").map((each) => get.ExpressionAttributeNames[each]);
  assert.deepEqual(asked.sort(), ALLOWED.sort());
  assert.equal(open.KeyId, RECORDS.access_key);
  assert.deepEqual(open.EncryptionContext, { tenant: "acme", connection: "hubspot#default", field: "access_token" });
});

test("callers at the same time share one read", async () => {
  const aws = new Aws(ACTIVE.item);
  const tokens = aws.tokens();
  await Promise.all(Array.from({ length: 20 }, () => tokens.token("acme", "hubspot")));
  assert.deepEqual(aws.names, ["GetItem", "Decrypt"]);
});

test("a token is kept for five minutes, or until shortly before its end", async () => {
  for (const [vector, kept] of [
    [ACTIVE, 300],
    [named("a second before the last minute"), 1],
  ]) {
    const aws = new Aws(vector.item);
    const tokens = aws.tokens();
    await tokens.token("acme", "hubspot");
    aws.item = undefined;
    aws.now = RECORDS.now + kept - 0.001;
    await tokens.token("acme", "hubspot");
    aws.now = RECORDS.now + kept;
    assert.equal((await ending(tokens.token("acme", "hubspot"))).code, "not_connected");
  }
});

test("while AWS is in trouble a valid token is served, asked about twice a minute, and not past its end", async () => {
  const aws = new Aws(ACTIVE.item);
  const tokens = aws.tokens();
  const token = await tokens.token("acme", "hubspot");
  aws.failing = { GetItem: fault("TimeoutError") };
  aws.now += 301;
  for (const pause of [0, 29, 1]) {
    aws.now += pause;
    assert.equal(await tokens.token("acme", "hubspot"), token);
  }
  assert.deepEqual(aws.names, ["GetItem", "Decrypt", "GetItem", "GetItem"]);
  aws.now = RECORDS.now + 1140;
  assert.equal((await ending(tokens.token("acme", "hubspot"))).code, "token_unavailable");
});

test("a token that was disconnected is not served, even while AWS is in trouble", async () => {
  const aws = new Aws(ACTIVE.item);
  const tokens = aws.tokens();
  await tokens.token("acme", "hubspot");
  aws.item = undefined;
  aws.now += 301;
  assert.equal((await ending(tokens.token("acme", "hubspot"))).code, "not_connected");
  aws.failing = { GetItem: fault("TimeoutError") };
  assert.equal((await ending(tokens.token("acme", "hubspot"))).code, "token_unavailable");
});

test("a stale answer that goes back in time is asked for again, consistently", async () => {
  const rolled = named("rolled back");
  const aws = new Aws(rolled.seen);
  const tokens = aws.tokens();
  await tokens.token("acme", "hubspot");
  aws.stale = itemOf(rolled.item);
  aws.now += 301;
  assert.equal((await tokens.token("acme", "hubspot")).generation, 4);
  assert.deepEqual(
    aws.calls.filter(({ name }) => name === "GetItem").map(({ request }) => request.ConsistentRead),
    [false, false, true],
  );
});

for (const [operation, name, code, words] of [
  ["GetItem", "AccessDeniedException", "misconfigured", /dynamodb:GetItem.*ReadPolicyArn/],
  ["Decrypt", "AccessDeniedException", "misconfigured", /kms:Decrypt.*ReadPolicyArn/],
  ["GetItem", "ResourceNotFoundException", "misconfigured", /CONSENTRY_CONNECTIONS_TABLE/],
  ["Decrypt", "NotFoundException", "misconfigured", /CONSENTRY_ACCESS_KEY/],
  ["Decrypt", "DisabledException", "misconfigured", /enable it/],
  ["GetItem", "ExpiredTokenException", "misconfigured", /credentials/],
  ["GetItem", "CredentialsProviderError", "misconfigured", /credentials/],
  ["Decrypt", "ThrottlingException", "token_unavailable", /try again/],
  ["GetItem", "TimeoutError", "token_unavailable", /try again/],
  ["Decrypt", "InvalidCiphertextException", "unreadable_record", /operator/],
])
  test(`${name} of ${operation} says what to do`, async () => {
    const aws = new Aws(ACTIVE.item);
    aws.failing = { [operation]: fault(name) };
    const error = await ending(aws.tokens().token("acme", "hubspot"));
    assert.equal(error.code, code);
    assert.match(error.message, words);
  });

test("a process without a region is told so", async () => {
  const tokens = new Tokens({ table: "connections", accessKey: RECORDS.access_key });
  const error = await ending(tokens.token("acme", "hubspot"));
  assert.deepEqual([error.code, /no region/.test(error.message)], ["misconfigured", true]);
});

test("a failure is not remembered", async () => {
  const aws = new Aws(ACTIVE.item);
  const tokens = aws.tokens();
  aws.failing = { Decrypt: fault("ThrottlingException") };
  await ending(tokens.token("acme", "hubspot"));
  aws.failing = {};
  assert.equal((await tokens.token("acme", "hubspot")).generation, 3);
});

for (const names of [
  ...[["acme#x", "hubspot"], ["", "hubspot"], [{}, "hubspot"], ["acme"]],
  ...[["acme", "hub/spot"], ["acme", "hubspot", "a#b"], ["acme", "hubspot\n"]],
])
  test(`${inspect(names)} is refused before AWS is asked`, async () => {
    const aws = new Aws(ACTIVE.item);
    assert.equal((await ending(aws.tokens().token(...names))).code, "invalid_identifier");
    assert.deepEqual(aws.names, []);
  });

for (const settings of [{ table: "" }, { accessKey: undefined }, { accessKey: "alias/access" }])
  test(`a reader with ${inspect(settings)} says what to set`, async () => {
    const aws = new Aws(ACTIVE.item);
    const tokens = Object.assign(aws.tokens(), settings);
    const error = await ending(tokens.token("acme", "hubspot"));
    assert.equal(error.code, "misconfigured");
    assert.match(error.message, /CONSENTRY_CONNECTIONS_TABLE.*CONSENTRY_ACCESS_KEY/);
  });

test("neither a token nor its reader shows the secret when it is printed", async () => {
  const tokens = new Aws(ACTIVE.item).tokens();
  const token = await tokens.token("acme", "hubspot");
  const printed = inspect([token, tokens], { depth: 9, showHidden: true }) + JSON.stringify(token) + String(token);
  assert.match(token.authorization, /^Bearer CNRY-/);
  assert.ok(!printed.includes(token.authorization.slice(7)));
});
