"""Changing a mapping in the console: a form writes YAML, a draft is compared, and what is put into use is kept."""

import html
import re
import resource
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import orjson
import pytest
import yaml
from redis.asyncio import Redis

from app.console.pages.mapping_edit import places, row_form, row_from
from app.delivery.journal.recorded_call import pack
from app.mapping.catalogue import CATALOGUE
from app.mapping.overrides import Overrides, catalogue_of
from app.operations.mapping_draft import MappingFile, draft, put_into_use
from app.operations.operator import BadRequest, OperationError
from app.store.keys import DestinationKeys
from tests.console.opened import Opened
from tests.console.test_events import Parsed, attack

CATALOGUE_IN_USE = catalogue_of(Overrides(), None)


async def record(redis: Redis, number: int = 0, destination: str = "acme", **properties: Any) -> None:
    """A recorded call of an order, masked."""
    original = {
        "type": "track",
        "event": "Order Completed",
        "messageId": f"m-{number}",
        "timestamp": "2026-11-30T10:00:00Z",
        "context": {"traits": {"email": "***"}},
        "properties": {
            "order_id": f"o-{number}",
            "ref": f"r-{number}",
            "products": [{"product_id": "P-1", "sku": "S-1", "name": "Shirt", "price": 5, "list_price": 7}],
            **properties,
        },
    }
    facts: dict[str, Any] = {
        "source": "shop",
        "message_id": f"m-{number}",
        "event": "Order Completed",
        "endpoint": "purchase",
        "method": "POST",
        "path": "/v1/events/ecommerce/purchase",
        "attempt": 1,
        "outcome": "delivered",
        "reason": "",
        "because": "watched",
        "received_at": 1_764_500_000_000,
        "took_ms": 8.0,
        "original": original,
        "hashes": [],
    }
    await redis.xadd(DestinationKeys(destination).calls, {"d": pack(facts)})


class Filled(HTMLParser):
    """What each form of a page that is posted would send, by its address."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.forms: dict[str, dict[str, str]] = {}
        self._form: dict[str, str] = {}
        self._open, self._first = "", False  # the select or textarea that is read; no option of it was
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._form = {}
            if given.get("method") == "post":
                self.forms.setdefault(given["action"], self._form)
        elif tag == "input" and "name" in given:
            self._form[given["name"]] = given.get("value", "")
        elif tag in ("select", "textarea"):
            self._open = given["name"]
            self._form[self._open] = ""
            self._first = True
        elif tag == "option" and self._open and ("selected" in given or self._first):
            self._form[self._open], self._first = given.get("value", ""), False

    def handle_data(self, data: str) -> None:
        if self._open and (self.get_starttag_text() or "").startswith("<textarea"):
            self._form[self._open] += data

    def handle_endtag(self, tag: str) -> None:
        if tag in ("select", "textarea"):
            self._open = ""


def fields(answer: httpx.Response, form: str) -> dict[str, str]:
    """What the form that posts to an address would send."""
    return Filled(answer.text).forms[form]


def in_file(console: Opened, destination: str = "acme") -> Any:
    path = console.parts.settings.config
    assert path is not None
    return yaml.safe_load(path.read_text())["destinations"][destination].get("mapping")


async def test_a_row_is_written_compared_put_into_use_and_taken_back(console: Opened, redis: Redis) -> None:
    for number in range(5):
        await record(redis, number)
    browser = await console.user("adam")
    form = await browser.get("/mapping/edit?destination=acme&event=order completed")
    assert '<option value="properties.ref">&#34;r-4&#34;</option>' in form.text
    assert '<option value="list_price">7</option>' in form.text
    sent = fields(form, "/mapping/edit")
    assert sent["orderId:kind"] == ""
    sent |= {"orderId:kind": "path", "orderId:value": "properties.ref", "priority": "low"}
    page = await browser.post("/mapping/edit", data=sent)
    text = html.unescape(page.text)
    assert "other purchase call" in text
    assert "purchase.orderId" in text
    assert re.search(r'<del>"o-4"</del>.*<ins>"r-4"</ins>', text)
    assert "+      events:" in text
    assert in_file(console) is None
    answer = await browser.post("/mapping/use", data=fields(page, "/mapping/use"))
    row = {"order completed": {"priority": "low", "orderId": "properties.ref"}}
    assert in_file(console) == {"events": row}
    assert "The mapping was written" in (await browser.get(answer.headers["location"])).text
    tried = await browser.get("/mapping?destination=acme")
    assert "properties.ref" in tried.text
    history = await browser.get("/mapping/revisions?destination=acme")
    assert "adam" in history.text
    before = fields(history, "/mapping/draft")
    back = await browser.post("/mapping/draft", data=before)
    await browser.post("/mapping/use", data=fields(back, "/mapping/use"))
    assert not in_file(console)
    assert "other purchase call" in (await browser.post("/mapping/edit", data=sent)).text
    acts = [(each.user, each.act, each.destination) for each in await console.parts.audit.latest(10)]
    assert acts.count(("adam", "change the mapping", "acme")) == 2


async def test_a_row_goes_back_to_the_catalogue(console: Opened) -> None:
    browser = await console.user("adam")
    text = "events:\n  Order Completed:\n    send: false\n"
    page = await browser.post("/mapping/draft", data={"destination": "acme", "mapping": text})
    await browser.post("/mapping/use", data=fields(page, "/mapping/use"))
    form = fields(await browser.get("/mapping/edit?destination=acme&event=Order Completed"), "/mapping/edit")
    assert form["send"] == "no"
    page = await browser.post("/mapping/edit", data=form | {"remove": "yes"})
    await browser.post("/mapping/use", data=fields(page, "/mapping/use"))
    assert not (in_file(console) or {}).get("events")


@pytest.mark.parametrize(
    ("mapping", "problem"),
    [
        pytest.param("events:\n  Quiz:\n    priority: soon\n", "Line 3: events.Quiz.priority: ", id="a wrong value"),
        pytest.param("events:\n  Quiz: [\n", "not YAML", id="no YAML"),
        pytest.param("evnts: {}\n", "Line 1: evnts: ", id="an unknown key"),
        pytest.param("- a\n", "Line 1", id="a list"),
        pytest.param("events:\n  Quiz: {type: quiz}\n", "a path begins with properties", id="a path that is none"),
    ],
)
async def test_a_mistake_is_told_with_its_line_and_nothing_is_written(
    console: Opened, mapping: str, problem: str
) -> None:
    browser = await console.user("adam")
    page = await browser.post("/mapping/draft", data={"destination": "acme", "mapping": mapping})
    assert (page.status_code, problem in html.unescape(page.text)) == (422, True), page.text
    assert "/mapping/use" not in page.text
    base = fields(
        await browser.post("/mapping/draft", data={"destination": "acme", "mapping": "page: {}"}), "/mapping/use"
    )
    answer = await browser.post("/mapping/use", data=base | {"mapping": mapping})
    assert answer.status_code == 400
    assert in_file(console) is None


async def test_a_draft_of_a_file_that_has_changed_is_not_written(console: Opened) -> None:
    browser = await console.user("adam")
    page = await browser.post("/mapping/draft", data={"destination": "acme", "mapping": "page: {send: false}"})
    path = console.parts.settings.config
    assert path is not None
    path.write_text(path.read_text() + "# another change\n")
    answer = await browser.post("/mapping/use", data=fields(page, "/mapping/use"))
    assert (answer.status_code, "has changed" in answer.text) == (409, True)
    assert in_file(console) is None


async def test_the_download_is_a_patch_without_any_secret(console: Opened, tmp_path: Path) -> None:
    browser = await console.user("adam")
    data = {"destination": "acme", "mapping": "page:\n  send: false\n"}
    answer = await browser.post("/mapping/patch", data=data)
    assert answer.headers["content-disposition"] == 'attachment; filename="mapping-acme.patch"'
    assert "t1" not in answer.text
    assert [line for line in answer.text.splitlines() if line[0] in "+-"][2:] == [
        "+    mapping:",
        "+      page:",
        "+        send: false",
    ]


async def test_events_that_are_given_are_compared_in_place_of_the_recorded_ones(console: Opened) -> None:
    browser = await console.user("adam")
    event = {"type": "page", "userId": "u-1", "properties": {"title": "Home"}}
    given = "\n".join(orjson.dumps(event).decode() for _ in range(3))
    data = {"destination": "acme", "mapping": "page: {send: false}", "events": given}
    text = html.unescape((await browser.post("/mapping/draft", data=data)).text)
    assert "Tried on 3 events." in text
    assert "forward → drop: not_forwarded" in text
    for wrong, why in (("{", "Line 1 of the events is not JSON"), ("1\n" * 501, "at most 500")):
        answer = await browser.post("/mapping/draft", data=data | {"events": wrong})
        assert (answer.status_code, why in answer.text) == (400, True)


async def test_an_admin_of_one_destination_changes_no_other(console: Opened) -> None:
    browser = await console.user("udo")
    for method, path in (("GET", "/mapping/edit?destination=acme"), ("GET", "/mapping/draft?destination=acme")):
        assert (await browser.request(method, path)).status_code == 400
    for path in ("/mapping/draft", "/mapping/use", "/mapping/patch"):
        data = {"destination": "acme", "mapping": "page: {send: false}", "base": "x"}
        assert (await browser.post(path, data=data)).status_code == 400
    assert in_file(console) is None


async def test_a_file_that_may_not_be_written_is_left_and_the_reason_told(console: Opened) -> None:
    browser = await console.user("adam")
    page = await browser.post("/mapping/draft", data={"destination": "acme", "mapping": "page: {send: false}"})
    assert "Put into use" in page.text
    path = console.parts.settings.config
    assert path is not None
    file = MappingFile(Path("/proc/version"), "acme", path.read_text(), "")
    with pytest.raises(OperationError):
        put_into_use(draft(file, "page: {send: false}"), file.sha256)


async def test_a_file_that_does_not_fit_on_the_disk_is_left_as_it_was(console: Opened) -> None:
    path = console.parts.settings.config
    assert path is not None
    content = path.read_text()
    drafted = draft(MappingFile(path, "acme", content, ""), "page: {send: false}")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(content) // 2, hard))
    try:
        with pytest.raises(OperationError, match="could not be written"):
            put_into_use(drafted, drafted.file.sha256)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_text() == content
    assert [each.name for each in path.parent.iterdir() if each.name.startswith(f".{path.name}")] == []


async def test_what_a_tracker_writes_runs_in_no_form(console: Opened, redis: Redis) -> None:
    for number in range(0, 60, 6):
        await record(redis, number, **{attack(number + each): attack(number + each + 3) for each in range(3)})
    browser = await console.user("adam")
    event = attack(1).replace('"', "")
    pages = [
        await browser.get("/mapping/edit?destination=acme&event=Order Completed"),
        await browser.get(f"/mapping/edit?destination=acme&event={quote(event)}"),
        await browser.post("/mapping/draft", data={"destination": "acme", "mapping": f"{attack(2)}: {attack(3)}"}),
        await browser.post("/mapping/draft", data={"destination": "acme", "mapping": "other: {keep: [a]}"}),
        await browser.post("/mapping/edit", data={"destination": "acme", "event": event, "priority": attack(5)}),
    ]
    for answer in pages:
        page = Parsed()
        page.feed(answer.text)
        assert (page.bad, answer.status_code in (200, 400, 422)) == ([], True), answer.url


@pytest.mark.parametrize(
    "row",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"to": "custom-event", "keep": ["a", "b"], "drop": ["a.c"], "rename": {"a": "d"}}, id="names"),
        pytest.param({"orderId": ["properties.a", {"constant": "none"}], "items": "properties.lines"}, id="a list"),
        pytest.param({"item": {"price": "list_price", "quantity": {"constant": 1}}}, id="products"),
        pytest.param({"to": "custom-event", "properties": {"n": {"constant": 5}, "t": {"constant": "5"}}}, id="types"),
        pytest.param(
            {"to": "custom-event", "type": {"jmespath": "join('-', [event])"}, "types": {"a": "number"}}, id="expr"
        ),
        pytest.param({"send": False, "priority": "low", "horizon_hours": 4}, id="what no field shows"),
        pytest.param({"to": ["purchase", "custom-event"], "orderId": "properties.x"}, id="several endpoints"),
    ],
)
def test_a_form_that_is_sent_as_it_was_shown_changes_nothing(row: dict[str, Any]) -> None:
    page = row_form("acme", "Order Completed", row, "", CATALOGUE_IN_USE, None)
    sent = {"send": "yes" if page.send else "no", "priority": page.priority, "to": page.target, **page.texts}
    for each in (*page.fields, *page.item_fields):
        sent |= {f"{each.name}:kind": each.kind, f"{each.name}:value": each.value}
    for name, each in page.properties:
        sent |= {f"{each.name}:name": name, f"{each.name}:kind": each.kind, f"{each.name}:value": each.value}
    assert row_from(sent, row) == row


def test_a_path_that_is_typed_counts_and_the_catalogue_takes_back_what_was_there() -> None:
    assert row_from({"orderId:kind": "", "orderId:value": "properties.ref"}, {}) == {"orderId": "properties.ref"}
    row = {"orderId": "properties.ref"}
    assert row_from({"orderId:kind": "", "orderId:value": "properties.ref"}, row) == {}


def test_yaml_of_a_form_that_is_none_is_refused_by_name() -> None:
    with pytest.raises(BadRequest, match="orderId"):
        row_from({"orderId:kind": "yaml", "orderId:value": "[a"}, {})


def test_the_paths_of_an_event_lead_through_lists() -> None:
    event = {"properties": {"products": [{"id": 1, "a.b": 2}, {"id": 3}], "total": 4}, "userId": "u"}
    assert [(each.path, each.example) for each in places(event)] == [
        ("properties.products", "a list of 2"),
        ("properties.products.id", "1"),
        ("properties.total", "4"),
        ("userId", '"u"'),
    ]


def test_every_endpoint_that_a_row_may_go_to_has_a_form() -> None:
    for target in {rule.endpoint.name for rule in CATALOGUE}:
        page = row_form("acme", "Quiz", {}, target, CATALOGUE_IN_USE, None)
        assert page.destination == "acme"
