"""The examples are the first thing a newcomer runs: they are complete and harmless, and match their README."""

import base64
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import phonenumbers
import pytest

from app.config.topology import load_file
from app.pipeline import Forward
from app.rows.bulk import member_of
from app.rows.comparing import compare
from app.rows.events import RowEvents
from app.rows.outcomes import Op
from app.rows.state import State
from app.wiring.gateway import plan_of_rows
from tests.waiting import patient

EXAMPLES = Path(__file__).parents[2] / "examples"
LINES = (EXAMPLES / "shop.ndjson").read_text(encoding="utf-8").splitlines()
EVENTS: list[dict[str, Any]] = [json.loads(line) for line in LINES]

# Every row of the mapping catalogue by its Segment name. "Back In Stock Requested" stands for any other track event.
CATALOGUE_EVENTS = {
    "Product Viewed",
    "Product Added",
    "Order Completed",
    "Checkout Started",
    "Order Updated",
    "Order Refunded",
    "Order Cancelled",
    "Order Canceled",
    "Cart Viewed",
    "Payment Info Entered",
    "Product Removed",
    "Coupon Entered",
    "Product Added to Wishlist",
    "Product List Viewed",
    "Products Searched",
    "Product Clicked",
    "Promotion Viewed",
    "Promotion Clicked",
    "Back In Stock Requested",
}
NO_PHONE = "n/a"
RESERVED_DOMAINS = {"example.com", "example.org", "example.net"}
LOCAL_HOST = re.compile(r"127\.0\.0\.1|localhost|([a-z0-9-]+\.)*example")


def traits_of(event: dict[str, Any]) -> dict[str, Any]:
    traits: dict[str, Any] = event.get("traits") or event["context"].get("traits") or {}
    return traits


def hosts_in(text: str) -> set[str]:
    return set(re.findall(r"https?://([^/\s\"'`<>:?]+)", text))


# --- shop.ndjson ---


@pytest.mark.parametrize("number", range(1, len(LINES) + 1), ids=lambda number: f"line {number}")
def test_each_line_is_one_small_call_that_the_sender_can_stamp(number: int) -> None:
    event = EVENTS[number - 1]
    assert len(LINES[number - 1].encode()) < 4096
    assert event["type"] in {"track", "identify", "page"}
    assert ("event" in event) == (event["type"] == "track")
    assert event.get("userId") or event.get("anonymousId")
    assert event["context"]["library"]["name"]
    assert event.keys().isdisjoint({"messageId", "timestamp", "originalTimestamp", "sentAt", "receivedAt", "writeKey"})


def test_every_catalogue_row_is_covered() -> None:
    assert {event["type"] for event in EVENTS} == {"identify", "page", "track"}
    assert {event["event"] for event in EVENTS if event["type"] == "track"} >= CATALOGUE_EVENTS


def test_identify_brings_known_traits_and_the_shops_own() -> None:
    known = {"email", "phone", "username", "firstName", "lastName", "birthday", "address", "language"}
    identifies = [event for event in EVENTS if event["type"] == "identify"]
    assert identifies
    for event in identifies:
        assert known | {"loyalty_tier", "lifetime_value"} <= event["traits"].keys()


def test_every_order_names_itself_and_several_products() -> None:
    orders = [event["properties"] for event in EVENTS if event.get("event") == "Order Completed"]
    assert all(order["order_id"] and len(order["products"]) > 1 for order in orders)
    assert len({order["order_id"] for order in orders}) == len(orders) > 1


def test_every_phone_number_but_the_one_that_is_none_is_valid() -> None:
    phones = [traits["phone"] for event in EVENTS if "phone" in (traits := traits_of(event))]
    assert phones.count(NO_PHONE) == 1
    for phone in set(phones) - {NO_PHONE}:
        assert phonenumbers.is_valid_number(phonenumbers.parse(phone, "US")), phone


def test_every_email_address_is_at_a_reserved_domain() -> None:
    # A domain has a dot: "@segment/analytics-node" is a library.
    domains = {domain.lower() for line in LINES for domain in re.findall(r"@([\w-]+\.[\w.-]+)", line)}
    assert domains
    assert domains <= RESERVED_DOMAINS


def test_every_web_address_is_at_a_reserved_domain() -> None:
    assert all(LOCAL_HOST.fullmatch(host) for line in LINES for host in hosts_in(line))


def test_prices_come_as_trackers_send_them() -> None:
    items = [
        item
        for event in EVENTS
        for item in (event.get("properties", {}), *event.get("properties", {}).get("products", ()))
    ]
    prices = [item["price"] for item in items if "price" in item]
    assert any(isinstance(price, (int, float)) for price in prices)
    assert {"39.95", "$1,299.00"} <= {price for price in prices if isinstance(price, str)}
    assert {"usd", "USD", "cad"} <= {item["currency"] for item in items if "currency" in item}


def test_the_odd_lines_are_where_the_readme_says() -> None:
    nobody, email_as_id, free, no_phone = (EVENTS[number - 1] for number in (1, 25, 30, 34))
    assert nobody["type"] == "page"
    assert "userId" not in nobody
    assert not traits_of(nobody)
    assert "@" in email_as_id["userId"]
    assert (free["event"], free["properties"]["price"]) == ("Product Viewed", "free")
    assert traits_of(no_phone)["phone"] == NO_PHONE
    assert traits_of(no_phone)["email"]
    assert EVENTS[22 - 1]["type"] == "track"  # the README posts this line to /v1/track
    assert f"the {len(EVENTS)} lines" in (EXAMPLES / "README.md").read_text(encoding="utf-8")


# --- send.py and curl.sh, against a gateway that answers from a script ---

Reply = tuple[int, dict[str, str]]


class ScriptedGateway(ThreadingHTTPServer):
    """Gives the scripted replies one after the other, then 200; keeps what was posted."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), ScriptedHandler)
        self.script: list[Reply] = []
        self.posted: list[tuple[str, str, bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class ScriptedHandler(BaseHTTPRequestHandler):
    server: ScriptedGateway

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posted.append((self.path, self.headers["Authorization"], body))
        status, headers = self.server.script.pop(0) if self.server.script else (200, {})
        answer = json.dumps({"success": status == 200, "message": f"scripted {status}"}).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(answer))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def gateway() -> Iterator[ScriptedGateway]:
    with ScriptedGateway() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def run(*command: str, **environ: str) -> subprocess.CompletedProcess[str]:
    # A bare environment: a proxy set in the developer's shell must not come between the sample and the loopback.
    clean = {"PATH": os.environ["PATH"], "PYTHONUTF8": "1", **environ}
    return subprocess.run(command, env=clean, capture_output=True, text=True, timeout=patient(30), check=False)


def send(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return run(sys.executable, str(EXAMPLES / "send.py"), *arguments, **environ)


def test_send_explains_itself() -> None:
    done = send("--help")
    assert done.returncode == 0
    assert "--write-key" in done.stdout


def test_send_posts_the_file_as_one_stamped_batch(gateway: ScriptedGateway) -> None:
    done = send("--write-key", "key-1", BASE_URL=gateway.url)
    assert done.returncode == 0, done.stderr
    assert "200" in done.stdout
    [(path, authorization, body)] = gateway.posted
    batch = json.loads(body)
    times = [event["timestamp"] for event in batch["batch"]]
    assert path == "/v1/batch"
    assert authorization == "Basic " + base64.b64encode(b"key-1:").decode()
    assert len({event["messageId"] for event in batch["batch"]}) == len(EVENTS)
    assert times == sorted(times)
    assert times[-1] == batch["sentAt"]


def test_a_resend_waits_as_asked_and_carries_the_same_ids(gateway: ScriptedGateway) -> None:
    gateway.script = [(503, {"Retry-After": "1"}), (429, {"Retry-After": "0"})]
    started = datetime.now(UTC)
    done = send("--url", gateway.url)
    assert done.returncode == 0, done.stderr
    assert (datetime.now(UTC) - started).total_seconds() >= 1
    assert len(gateway.posted) == 3
    assert len({body for _, _, body in gateway.posted}) == 1


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        pytest.param((400, {}), "scripted 400", id="a refusal is final, and shown"),
        pytest.param((401, {}), "scripted 401", id="so is an unknown write key"),
        pytest.param((307, {"Location": "/elsewhere"}), "307", id="a redirect is not followed"),
        pytest.param((429, {"Retry-After": "900"}), "900 s", id="a wait beyond our patience ends the run"),
    ],
)
def test_send_gives_up_readably(gateway: ScriptedGateway, reply: Reply, said: str) -> None:
    gateway.script = [reply]
    done = send("--url", gateway.url)
    assert done.returncode == 1
    assert len(gateway.posted) == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param('{"type": "page"}\n{"type":\n', "line 2: not JSON", id="broken JSON"),
        pytest.param('{"event": "Product Viewed"}\n', "line 1", id="no type"),
        pytest.param("\n", "holds no events", id="nothing in it"),
    ],
)
def test_send_names_the_line_that_is_wrong(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "events.ndjson"
    file.write_text(text, encoding="utf-8")
    done = send(str(file), "--dry-run")
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("attempt", "retry_after", "at_least", "at_most"),
    [
        pytest.param(1, "7", 7, 7, id="seconds are taken as they are"),
        pytest.param(1, "Wed, 04 Nov 2026 12:00:30 GMT", 30, 30, id="a date is the time until then"),
        pytest.param(1, "Wed, 04 Nov 2026 11:00:00 GMT", 0, 0, id="a date gone by means now"),
        pytest.param(3, "soon", 2, 4, id="nonsense falls back to our own pause"),
        pytest.param(1, None, 0.5, 1, id="the first pause is short"),
        pytest.param(20, None, 30, 60, id="no pause of our own is longer than a minute"),
    ],
)
def test_the_pause_follows_retry_after(attempt: int, retry_after: str | None, at_least: float, at_most: float) -> None:
    pause_s = runpy.run_path(str(EXAMPLES / "send.py"))["pause_s"]
    assert at_least <= pause_s(attempt, retry_after, now=datetime(2026, 11, 4, 12, tzinfo=UTC)) <= at_most


@pytest.mark.skipif(not (shutil.which("sh") and shutil.which("curl")), reason="needs sh and curl")
def test_curl_makes_one_call_of_each_kind_and_a_bad_one(gateway: ScriptedGateway) -> None:
    done = run("sh", str(EXAMPLES / "curl.sh"), BASE_URL=gateway.url)
    assert done.returncode == 0, done.stderr
    paths, authorizations, bodies = zip(*gateway.posted, strict=True)
    assert paths == ("/v1/identify", "/v1/track", "/v1/page", "/v1/batch", "/v1/track")
    assert set(authorizations) == {"Basic " + base64.b64encode(b"dev:").decode()}
    *good, bad = bodies
    assert all(json.loads(body) for body in good)
    with pytest.raises(json.JSONDecodeError):
        json.loads(bad)


# --- shop.html ---


def test_the_shop_page_loads_nothing_from_elsewhere() -> None:
    page = (EXAMPLES / "shop.html").read_text(encoding="utf-8")
    assert all(LOCAL_HOST.fullmatch(host) for host in hosts_in(page.replace("http://www.w3.org/2000/svg", "")))
    assert not re.search(r"""(src|href)=["'](?!#|data:)|@import|url\(""", page)


def test_the_shop_page_asks_for_no_preflight() -> None:
    page = (EXAMPLES / "shop.html").read_text(encoding="utf-8")
    assert '"Content-Type": "text/plain"' in page
    assert "keepalive: true" in page
    assert "writeKey: settings.writeKey" in page
    assert "Authorization" not in page


def test_every_field_of_the_shop_page_has_a_label() -> None:
    page = (EXAMPLES / "shop.html").read_text(encoding="utf-8")
    assert page.count("<input") == len(re.findall(r"<label>[^<]+<input", page))


def test_the_syncs_of_the_examples_send_every_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(EXAMPLES.parent)
    topology = load_file(EXAMPLES / "rows.yaml", secrets_needed=False).topology
    for name, sync in topology.syncs.items():
        plan = plan_of_rows(topology.destinations[sync.destination], sync)
        with State(tmp_path / f"{name}.sqlite") as state:
            state.begin("run", 0)
            compare(sync, state)
            events = RowEvents(name, f"sync:{name}", "run", plan, {})
            for row in state.to_send():
                if sync.object == "audience":
                    assert member_of(row, events, plan)[0] is not None
                else:
                    assert isinstance(events.decided(row, datetime.now(UTC)).decision, Forward)
            assert state.ops()[Op.NEW] >= 2
