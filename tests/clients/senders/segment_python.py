"""segment-analytics-python, set up as its documentation says, with all retries at their defaults."""

from segment.analytics.client import Client  # type: ignore[import-not-found]  # lives in the clients' own environment

from tests.clients.senders.visit import URL, WRITE_KEY, visit

client = Client(WRITE_KEY, host=URL)
visit(client, client.flush)
