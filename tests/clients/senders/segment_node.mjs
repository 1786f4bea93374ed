// @segment/analytics-node, with all retries at their defaults.
import { Analytics } from "@segment/analytics-node";
import { url, user, visit, writeKey } from "./visit.mjs";

const client = new Analytics({ writeKey, host: url });
client.on("error", () => {}); // what it gives up is seen by its absence

await visit(
  async ({ type, ...event }) => client[type]({ userId: user, ...event }),
  () => client.flush(),
);
