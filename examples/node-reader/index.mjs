// A Lambda that reads a tenant's HubSpot tickets: {"tenant": "acme"}. Consentry's part is one line.
import { TokenError, Tokens } from "./tokens.mjs";

const tokens = new Tokens();

export async function handler({ tenant, integration = "hubspot-ticketing" }) {
  try {
    const { authorization } = await tokens.token(tenant, integration);
    return await tickets(authorization);
  } catch (error) {
    if (error instanceof TokenError) return { error: error.code, message: error.message };
    throw error;
  }
}

async function tickets(authorization) {
  const answer = await fetch(`${process.env.HUBSPOT_API_BASE}/crm/v3/objects/tickets?limit=10`, {
    headers: { authorization },
    redirect: "error",
    signal: AbortSignal.timeout(10_000),
  });
  if (!answer.ok) return { error: "provider_error", message: `HubSpot answered with status ${answer.status}.` };
  const { results } = await answer.json();
  return { tickets: results.map(({ properties }) => properties.subject) };
}
