"""rudder-sdk-python, set up as its documentation says, with all retries at their defaults."""

from rudderstack.analytics.client import (  # type: ignore[import-not-found]  # lives in the clients' own environment
    Client,
)

from tests.clients.senders.visit import URL, WRITE_KEY, visit

client = Client(WRITE_KEY, host=URL)
visit(client, client.flush)
