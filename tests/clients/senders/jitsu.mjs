// @jitsu/js on a server. It sends each event once and never again.
import { jitsuAnalytics } from "@jitsu/js";
import { url, user, visit, writeKey } from "./visit.mjs";

const client = jitsuAnalytics({ host: url, writeKey, s2s: true });

await visit(
  ({ type, event, name, properties, traits }) => {
    if (type === "identify") return client.identify(user, traits);
    return type === "page" ? client.page({ name, ...properties }) : client.track(event, properties);
  },
  async () => {},
);
