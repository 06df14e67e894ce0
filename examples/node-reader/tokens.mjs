// Reads access tokens that Consentry keeps fresh: one GetItem, one Decrypt, then from memory until shortly before the
// token ends. What it checks, and why, is in docs/format.md of Consentry.
import { buildClient, CommitmentPolicy, KmsKeyringNode } from "@aws-crypto/client-node";
import { DynamoDB } from "@aws-sdk/client-dynamodb";
import { KMS } from "@aws-sdk/client-kms";
import { unmarshall } from "@aws-sdk/util-dynamodb";

const IDENTIFIER = /^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/;
const KEY_ARN = /^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key\/[A-Za-z0-9-]+$/;
const HEADER_TOKEN = /^[\x21-\x7e]+$/;
const CACHE_SECONDS = 300; // a disconnect is felt this soon
const CACHE_ENTRIES = 1000;
const OUTAGE_PAUSE_SECONDS = 30; // while a valid token is at hand, AWS in trouble is not asked again at once
const QUICK = {
  maxAttempts: 3,
  requestHandler: { connectionTimeout: 2000, requestTimeout: 3000, throwOnRequestTimeout: true },
};
const SETTINGS =
  "CONSENTRY_CONNECTIONS_TABLE to the stack's output ConnectionsTableName, CONSENTRY_ACCESS_KEY to AccessKeyArn";
// All that the policy `read` allows; a request for any other attribute is denied.
const ATTRIBUTES = [
  ...["tenant", "connection", "v", "status", "status_cause", "gen", "access_token"],
  ...["token_type", "expires_at", "refreshed_at", "scopes", "metadata", "account"],
];
const { decrypt } = buildClient({
  commitmentPolicy: CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT,
  maxEncryptedDataKeys: 1,
});

/** `code` is one of Consentry's; the message says what to do, may be shown to anyone, and holds no secret. */
export class TokenError extends Error {
  constructor(code, message) {
    super(message);
    Object.assign(this, { name: "TokenError", code });
  }
}

/** An access token that stays out of logs: only `authorization` (the header's value) has it. */
export class Token {
  #secret;

  constructor(secret, { gen, expires_at: expiresAt, scopes, metadata, account }) {
    this.#secret = secret;
    Object.assign(this, { generation: gen, expiresAt, scopes, metadata, account });
    Object.freeze(this);
  }

  get authorization() {
    return `Bearer ${this.#secret}`;
  }
}

/** One for each process. `accessKey` is the key's ARN; clients and the clock (epoch seconds) may be your own. */
export class Tokens {
  #kept = new Map();
  #reading = new Map();

  constructor({
    table = process.env.CONSENTRY_CONNECTIONS_TABLE,
    accessKey = process.env.CONSENTRY_ACCESS_KEY,
    dynamodb = new DynamoDB(QUICK),
    kms = new KMS(QUICK),
    now = () => Date.now() / 1000,
  } = {}) {
    Object.assign(this, { table, accessKey, dynamodb, kms, now });
  }

  /** Return a `Token` that has not ended. Callers at the same time share one read. Throws `TokenError`. */
  async token(tenant, integration, name = "default") {
    if (![tenant, integration, name].every((each) => typeof each === "string" && IDENTIFIER.test(each)))
      throw new TokenError("invalid_identifier", "Tenant, integration and name have 1 to 63 letters, digits, - or _.");
    if (!this.table || !KEY_ARN.test(this.accessKey)) throw misconfigured(`Set ${SETTINGS}.`);
    const row = { tenant, connection: `${integration}#${name}` };
    const place = `${tenant}/${row.connection}`;
    const kept = this.#kept.get(place);
    if (kept && this.now() < kept.until) return kept.token;
    if (!this.#reading.has(place)) {
      const reading = this.#renewed(place, row, kept).finally(() => this.#reading.delete(place));
      this.#reading.set(place, reading);
    }
    return this.#reading.get(place);
  }

  async #renewed(place, row, kept) {
    try {
      const record = await this.#record(row, kept, false);
      const token = new Token(await this.#opened(row, record.access_token), record);
      const until = Math.min(record.servedUntil, this.now() + CACHE_SECONDS);
      this.#kept.delete(place);
      this.#kept.set(place, { token, until, servedUntil: record.servedUntil, refreshedAt: record.refreshed_at });
      if (this.#kept.size > CACHE_ENTRIES) this.#kept.delete(this.#kept.keys().next().value);
      return token;
    } catch (error) {
      if (error.code === "not_connected") this.#kept.delete(place);
      if (error.code !== "token_unavailable" || !(this.now() < kept?.servedUntil)) throw error;
      kept.until = Math.min(kept.servedUntil, this.now() + OUTAGE_PAUSE_SECONDS);
      return kept.token; // still valid, whatever else is broken
    }
  }

  /** Read the row, never back in time: eventually consistent first, at half the price. */
  async #record(row, kept, ConsistentRead) {
    const request = {
      TableName: this.table,
      Key: { tenant: { S: row.tenant }, connection: { S: row.connection } },
      ConsistentRead,
      ProjectionExpression: ATTRIBUTES.map((each) => `#${each}`).join(", "),
      ExpressionAttributeNames: Object.fromEntries(ATTRIBUTES.map((each) => [`#${each}`, each])),
    };
    const { Item } = await this.dynamodb.getItem(request).catch((error) => {
      throw explained(error, "dynamodb:GetItem");
    });
    const record = checked(Item, row);
    const older = kept && record.gen < kept.token.generation && record.refreshed_at <= kept.refreshedAt;
    if (older && !ConsistentRead) return this.#record(row, kept, true);
    if (older) throw new TokenError("record_rolled_back", "The record is older than one read before it.");
    return usable(record, row, this.now());
  }

  /** Open a ciphertext of exactly this row: KMS is asked with the row's context, whatever the message says. */
  async #opened(row, ciphertext) {
    const context = { tenant: row.tenant, connection: row.connection, field: "access_token" };
    let failure = unreadable();
    const ask = (request) =>
      this.kms.decrypt({ ...request, EncryptionContext: context }).catch((error) => {
        failure = explained(error, "kms:Decrypt");
        throw failure;
      });
    try {
      const keyring = new KmsKeyringNode({ keyIds: [this.accessKey], clientProvider: () => ({ decrypt: ask }) });
      const { plaintext, messageHeader } = await decrypt(keyring, ciphertext);
      const secret = plaintext.toString();
      if (!isExactly(messageHeader.encryptionContext, context) || !HEADER_TOKEN.test(secret)) throw failure;
      return secret;
    } catch {
      throw failure; // the library's own errors stay here
    }
  }
}

/** Numbers that JavaScript cannot hold, such as a long account number in the metadata, stay text. */
const safely = (text) => (Number.isSafeInteger(Number(text)) ? Number(text) : text);

/** Check version and shape. A row of another version may mean something else by the same names. */
function checked(item, row) {
  if (!item) throw notConnected(row);
  const values = unmarshall(item, { wrapNumbers: safely });
  const record = { status_cause: "", refreshed_at: 0, scopes: [], metadata: {}, account: "", ...values };
  if (record.v !== 1) throw misconfigured("The record is of another version of Consentry's; update this reader.");
  const whole = [record.gen, record.refreshed_at, record.expires_at ?? 0].every(Number.isSafeInteger);
  if (!whole || typeof record.status !== "string" || !Array.isArray(record.scopes)) throw unreadable();
  if (record.status === "deleting") throw notConnected(row);
  return record;
}

/** Return a record whose token may be used now: until its own end, whatever the status says. */
function usable(record, { tenant, connection }, now) {
  const { access_token: sealed, expires_at: end, refreshed_at: start } = record;
  const servedUntil = end == null ? Infinity : end - Math.min(60, Math.max(0, end - start) / 10);
  if (sealed?.length && now < servedUntil) return { ...record, servedUntil };
  if (record.status === "active") throw later("The token has ended and its renewal is not done yet");
  const cause = record.status_cause || "unknown";
  throw new TokenError("reauth_required", `${tenant} must connect ${connection} again (${cause}).`);
}

function isExactly(context, expected) {
  const names = Object.keys(expected);
  return Object.keys(context).length === names.length && names.every((name) => context[name] === expected[name]);
}

/** AWS's errors by name; their messages are dropped. */
function explained({ name, message }, action) {
  if (["InvalidCiphertextException", "IncorrectKeyException"].includes(name)) return unreadable();
  if (name === "AccessDeniedException")
    return misconfigured(`AWS denies ${action}: attach the policy in the stack's output ReadPolicyArn to this role.`);
  if (["ResourceNotFoundException", "NotFoundException"].includes(name))
    return misconfigured(`In this region there is no such table or key (${action}). Set ${SETTINGS}.`);
  if (["DisabledException", "KMSInvalidStateException"].includes(name))
    return misconfigured(`The key of access tokens is disabled or about to be deleted; enable it (${action}).`);
  if (/Credentials|Token|Signature/.test(name) || message === "Region is missing")
    return misconfigured(`This process has no valid AWS credentials or no region (${action}); run it with a role.`);
  return later(`Consentry can't be read right now (${action})`);
}

const later = (what) => new TokenError("token_unavailable", `${what}; try again in a few seconds.`);
const misconfigured = (what) => new TokenError("misconfigured", what);
const unreadable = () =>
  new TokenError("unreadable_record", "The stored token does not open for its row; tell the vault's operator.");
const notConnected = ({ tenant, connection }) =>
  new TokenError("not_connected", `${tenant} has not connected ${connection}; send the customer to a connect session.`);
