"""`helm test`: the gateway is ready and takes an event in. It is about nobody, so it is dropped: nothing is sent.

Usage: post_event.py URL [SOURCE]
"""

import sys
import uuid

import httpx

from app.config.bad_settings import BadSettings
from app.settings import load_settings


def main(url: str, wanted: str = "") -> str | None:
    """None when all is well, else what is not."""
    try:
        sources = load_settings().topology().sources
    except BadSettings as problem:
        return str(problem)
    usable = {name: source for name, source in sources.items() if wanted == name or not (wanted or source.signing)}
    if not usable:
        return f"there is no source {wanted!r}" if wanted else "every source wants a signature: set tests.source"
    name, source = next(iter(usable.items()))
    key = source.write_keys[0].key.get_secret_value()
    event = {"event": "Helm Test", "anonymousId": "helm-test", "messageId": f"helm-test-{uuid.uuid4()}"}
    try:
        ready = httpx.get(f"{url}/readyz", timeout=10)
        answer = httpx.post(f"{url}/v1/track", json=event, auth=(key, ""), timeout=10)
    except httpx.HTTPError as failure:
        return f"{url} does not answer: {failure}"
    print(f"GET /readyz: {ready.status_code} {ready.text}")
    print(f"POST /v1/track as {name}: {answer.status_code} {answer.text}")
    return None if ready.status_code == answer.status_code == 200 else "the gateway did not take the event in"


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
