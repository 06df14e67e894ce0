// A reader's cryptography from docs/format.md alone, with nothing but Node: every message of the published rows.
import assert from "node:assert/strict";
import { createDecipheriv, hkdfSync, timingSafeEqual } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const RECORDS = JSON.parse(readFileSync(process.env.RECORDS, "utf8"));
const LABEL = Buffer.from("AWSKMSEncryptionClient Final Frame");
const LARGEST = 131_072;
const counted = (bytes) => Buffer.concat([uint(2, bytes.length), bytes]);
const canonical = (context) => JSON.stringify(Object.entries(context).sort());

function uint(size, number) {
  const bytes = Buffer.alloc(size);
  bytes.writeUIntBE(number, Math.max(0, size - 6), Math.min(size, 6));
  return bytes;
}

/** The context's bytes. Its names are ASCII, so that sorting them sorts their bytes. */
function serialized(context) {
  const pairs = Object.entries(context).sort(([one], [other]) => (one < other ? -1 : 1));
  const texts = pairs.flat().map((each) => counted(Buffer.from(each)));
  return Buffer.concat([uint(2, pairs.length), ...texts]);
}

function decrypt(encryptedDataKey, keyArn, context) {
  const wanted = encryptedDataKey.toString("base64");
  const found = RECORDS.kms.find((each) => each.encrypted_data_key === wanted && each.key_arn === keyArn);
  assert.ok(found && canonical(found.context) === canonical(context), "InvalidCiphertextException");
  return Buffer.from(found.data_key, "base64");
}

function aesGcm(key, nonce, associated, content, tag) {
  const cipher = createDecipheriv("aes-256-gcm", key, nonce).setAAD(associated).setAuthTag(tag);
  return Buffer.concat([cipher.update(content), cipher.final()]);
}

function opened(message, context, keyArn) {
  let place = 0;
  const take = (length) => {
    assert.ok(place + length <= message.length, "truncated");
    return message.subarray(place, (place += length));
  };
  const expect = (bytes, what) => assert.ok(take(bytes.length).equals(bytes), what);
  assert.ok(message.length <= LARGEST);
  expect(Buffer.from("020478", "hex"), "version, suite");
  const id = take(32);
  expect(counted(serialized(context)), "context");
  expect(Buffer.concat([uint(2, 1), counted(Buffer.from("aws-kms")), counted(Buffer.from(keyArn))]), "key");
  const encryptedDataKey = take(take(2).readUInt16BE());
  expect(Buffer.from([2]), "content type");
  const frameLength = take(4).readUInt32BE();
  const commitment = take(32);
  const header = message.subarray(0, place);
  const headerTag = take(16);
  expect(Buffer.from("ffffffff00000001", "hex"), "one final frame");
  const nonce = take(12);
  const length = take(4).readUInt32BE();
  assert.ok(length <= Math.min(frameLength, 65_536), "length");
  const [content, tag] = [take(length), take(16)];
  assert.equal(place, message.length, "bytes behind the end");

  const dataKey = decrypt(encryptedDataKey, keyArn, context);
  const derived = (info) => Buffer.from(hkdfSync("sha512", dataKey, id, info, 32));
  assert.ok(timingSafeEqual(derived(Buffer.from("COMMITKEY")), commitment), "commitment");
  const key = derived(Buffer.concat([Buffer.from("0478", "hex"), Buffer.from("DERIVEKEY")]));
  aesGcm(key, Buffer.alloc(12), header, Buffer.alloc(0), headerTag);
  return aesGcm(key, nonce, Buffer.concat([id, LABEL, uint(4, 1), uint(8, length)]), content, tag);
}

for (const { name, tenant, connection, item, message, outcome, token } of RECORDS.cases.filter((each) => each.message))
  test(name, () => {
    const sealed = Buffer.from(item.access_token.B, "base64");
    const open = () => opened(sealed, { tenant, connection, field: "access_token" }, RECORDS.access_key);
    if (message !== "opens") return assert.throws(open);
    const content = open();
    if (outcome === "token") assert.equal(content.toString(), token.access_token);
  });
