#!/usr/bin/env python3
"""Post recorded events to the gateway as one batch, the way a well-behaved server-side sender does.

Python 3.11 or newer, nothing to install. What to copy from it into a sender of your own:

* The message ids are made once, before the first attempt. A resend repeats them, so that the gateway recognises it
  and delivers nothing twice.
* After 429 and 503 it waits for the time in `Retry-After`; a lost connection is retried with growing pauses.
* Any other 4xx is final: a resend would be refused again.
"""

from __future__ import annotations

import argparse
import base64
import email.utils
import http.client
import json
import os
import random
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

JsonObject = dict[str, Any]

SHOP_TRAFFIC = Path(__file__).with_name("shop.ndjson")
RESEND_ON = frozenset({408, 429, 500, 502, 503, 504})
TIMEOUT_S = 15
LONGEST_BACKOFF_S = 60.0
BETWEEN_EVENTS = timedelta(seconds=20)


class SendError(Exception):
    """Ends the run; its text is what the user reads."""


@dataclass(frozen=True)
class Answer:
    """The gateway's answer to one attempt, or the reason why there is none (status 0)."""

    status: int
    text: str
    retry_after: str | None = None


class RefuseRedirects(urllib.request.HTTPRedirectHandler):
    """urllib would follow a redirect with a GET and lose the events; a redirect means a wrong URL."""

    def redirect_request(self, *_args: object, **_kwargs: object) -> None:
        """Follow nothing: the 3xx is then raised as an HTTPError."""


def read_events(path: Path) -> list[JsonObject]:
    """Read one event per line; blank lines are skipped."""
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")  # splitlines() would also cut at U+2028
    except (OSError, UnicodeDecodeError) as error:
        raise SendError(f"Cannot read {path}: {error}") from error
    events = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            event = json.loads(line)
        except json.JSONDecodeError as error:
            raise SendError(f"{path}, line {number}: not JSON ({error})") from error
        if not isinstance(event, dict) or not isinstance(event.get("type"), str):
            raise SendError(f'{path}, line {number}: an event is a JSON object with a "type"')
        events.append(event)
    if not events:
        raise SendError(f"{path} holds no events")
    return events


def stamp(events: list[JsonObject], *, now: datetime) -> JsonObject:
    """Turn recorded events into a batch of now: fresh ids, and times that lead up to `now` in the file's order."""
    last = len(events) - 1
    batch = [
        {**event, "messageId": str(uuid.uuid4()), "timestamp": iso(now - BETWEEN_EVENTS * (last - index))}
        for index, event in enumerate(events)
    ]
    return {"batch": batch, "sentAt": iso(now)}


def iso(moment: datetime) -> str:
    """Write a time the way trackers do: UTC, milliseconds, `Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def pause_s(attempt: int, retry_after: str | None, *, now: datetime) -> float:
    """How many seconds to wait after failed attempt number `attempt`, counted from 1.

    The gateway's wish comes first: `Retry-After` in seconds or as a date. Without it, exponential backoff with jitter,
    so that many senders do not come back at once.
    """
    if retry_after is not None:
        if retry_after.strip().isdecimal():
            return float(retry_after)
        try:
            due = email.utils.parsedate_to_datetime(retry_after)
        except ValueError:
            pass  # neither form: fall back to our own pause
        else:
            return max(0.0, (due.replace(tzinfo=due.tzinfo or UTC) - now).total_seconds())
    return min(LONGEST_BACKOFF_S, 2.0 ** (attempt - 1)) * random.uniform(0.5, 1)


def post(url: str, write_key: str, body: bytes) -> Answer:
    """Make one attempt. A network failure is an answer too: the caller decides whether to try again."""
    credentials = base64.b64encode(f"{write_key}:".encode()).decode()
    headers = {"Content-Type": "application/json", "Authorization": f"Basic {credentials}"}
    request = urllib.request.Request(url, data=body, headers=headers, method="POST")
    opener = urllib.request.build_opener(RefuseRedirects)
    try:
        try:
            response = opener.open(request, timeout=TIMEOUT_S)
        except urllib.error.HTTPError as refusal:
            response = refusal  # urllib raises on 4xx and 5xx; it reads like any other response
        with response:
            text = response.read().decode("utf-8", "replace")
            return Answer(response.status, text, response.headers.get("Retry-After"))
    except (OSError, http.client.HTTPException) as error:
        return Answer(0, f"no answer: {getattr(error, 'reason', error)}")


def deliver(url: str, write_key: str, body: bytes, *, attempts: int, longest_wait_s: float) -> Answer:
    """Post until the gateway takes the batch, refuses it finally, or the attempts are used up."""
    for attempt in range(1, attempts + 1):
        answer = post(url, write_key, body)
        if 200 <= answer.status < 300:
            return answer
        if answer.status and answer.status not in RESEND_ON:
            raise SendError(f"Refused with {answer.status}; a resend would be refused too.\n{pretty(answer.text)}")
        seen = f"{answer.status} {pretty(answer.text)}" if answer.status else answer.text
        if attempt == attempts:
            raise SendError(f"Gave up after {attempts} attempts. The last one: {seen}")
        wait_s = pause_s(attempt, answer.retry_after, now=datetime.now(UTC))
        if wait_s > longest_wait_s:
            raise SendError(f"Asked to wait {wait_s:.0f} s, longer than --longest-wait {longest_wait_s:.0f}: {seen}")
        print(f"Attempt {attempt}: {seen}\nTrying again in {wait_s:.1f} s", file=sys.stderr)
        time.sleep(wait_s)
    raise SendError("--attempts must be at least 1")


def pretty(text: str) -> str:
    """Indent JSON; show anything else as it is, shortened."""
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except json.JSONDecodeError:
        return text.strip()[:500] or "(empty body)"


def arguments(environ: Mapping[str, str]) -> argparse.ArgumentParser:
    """Describe the command line; the defaults suit a gateway started with `make run`."""
    parser = argparse.ArgumentParser(
        description="Post a file of recorded events to the gateway as one batch, stamped with fresh ids and times.",
        epilog="Exit status: 0 accepted, 1 not accepted, 2 wrong usage.",
    )
    parser.add_argument(
        "file", nargs="?", type=Path, default=SHOP_TRAFFIC, help="one JSON event per line (default: shop.ndjson)"
    )
    parser.add_argument(
        "--url",
        default=environ.get("BASE_URL", "http://127.0.0.1:8080"),
        help="address of the gateway (default: $BASE_URL, else http://127.0.0.1:8080)",
    )
    parser.add_argument(
        "--write-key", default=environ.get("WRITE_KEY", "dev"), help="key of the source (default: $WRITE_KEY, else dev)"
    )
    parser.add_argument("--attempts", type=int, default=6, help="how often to try at the most (default: 6)")
    parser.add_argument(
        "--longest-wait", type=float, default=300, metavar="SECONDS", help="never wait longer than this (default: 300)"
    )
    parser.add_argument("--dry-run", action="store_true", help="print the batch instead of posting it")
    return parser


def main() -> int:
    """Read, stamp, post, and print the gateway's answer."""
    parser = arguments(os.environ)
    args = parser.parse_args()
    if not args.url.startswith(("http://", "https://")):
        parser.error(f"--url must start with http:// or https://, not {args.url!r}")
    if args.attempts < 1:
        parser.error("--attempts must be at least 1")
    try:
        batch = stamp(read_events(args.file), now=datetime.now(UTC))
        if args.dry_run:
            print(json.dumps(batch, indent=2, ensure_ascii=False))
            return 0
        url = args.url.rstrip("/") + "/v1/batch"
        body = json.dumps(batch, separators=(",", ":"), ensure_ascii=False).encode()
        print(f"POST {url}: {len(batch['batch'])} events, {len(body):,} bytes", file=sys.stderr)
        answer = deliver(url, args.write_key, body, attempts=args.attempts, longest_wait_s=args.longest_wait)
    except SendError as failure:
        print(failure, file=sys.stderr)
        return 1
    print(f"{answer.status} {pretty(answer.text)}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
