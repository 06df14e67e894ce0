// The example for Node as one process: `node read.mjs TENANT` prints what its handler answers, and which token it had.
import { createHash } from "node:crypto";
import { handler } from "./index.mjs";
import { Tokens } from "./tokens.mjs";

const tenant = process.argv[2];
const answer = await handler({ tenant });
const token = answer.error ? {} : await new Tokens().token(tenant, "hubspot-ticketing");
const digest = createHash("sha256").update(token.authorization ?? "").digest("hex");
process.stdout.write(JSON.stringify({ answer, generation: token.generation ?? 0, digest }));
