// @rudderstack/rudder-sdk-node, with all retries at their defaults.
import Analytics from "@rudderstack/rudder-sdk-node";
import { url, user, visit, writeKey } from "./visit.mjs";

const client = new Analytics(writeKey, { dataPlaneUrl: url, errorHandler: () => {} });

await visit(
  async ({ type, ...event }) => client[type]({ userId: user, ...event }),
  () => client.flush(),
);
