"""`attentive-gateway mapping`: shown, checked, tried and compared, as an operator sees it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from typer.testing import CliRunner, Result

from app.cli import cli
from tests.builders import Raw, identify, track

CONFIG: Final = """\
destinations:
  acme:
    api_token_env: NOT_SET_HERE
    base_url: https://attentive.example
    other_events: [Store Visited]
    mapping:
      item: {productId: code}
      events:
        Quiz Finished: {type: {constant: Quiz}, drop: [ip], rename: {score: points}, priority: low}
        Product Clicked: {send: false}
  beta:
    api_token_file: /run/secrets/not-here
sources:
  web: {write_key_env: NOT_SET_HERE_EITHER, destination: acme}
  app: {write_key: very-secret, destination: beta}
"""
QUIZ: Final = track("Quiz Finished", {"score": 1, "ip": "10.0.0.7"}, timestamp=None)
Run = Callable[..., Result]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "gateway.yaml"
    file.write_text(CONFIG)
    return file


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `attentive-gateway mapping` with nothing in the environment."""
    for name in ("GATEWAY_CONFIG", "GATEWAY_WRITE_KEY", "ATTENTIVE_API_TOKEN", "ATTENTIVE_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: object, event: Any = None) -> Result:
        given = None if event is None else event if isinstance(event, str | bytes) else json.dumps(event)
        return CliRunner().invoke(cli, ["mapping", *map(str, arguments)], input=given)

    return run


class TestShow:
    def test_marks_what_is_not_the_catalogues(self, run: Run, config: Path) -> None:
        shown = run("show", "--config", config, "--destination", "acme").stdout
        marked = [line.split()[1:3] for line in shown.splitlines() if line.startswith(" *")]
        assert ["Quiz", "Finished"] in marked
        assert ["Product", "Viewed"] in marked
        assert ["Product", "Clicked"] in marked
        assert ["productId", "code"] in marked
        assert not [line for line in marked if line == ["Coupon", "Entered"]]
        assert "points ← score" in shown
        assert "without ip" in shown

    def test_has_every_row_for_every_destination_as_json(self, run: Run, config: Path) -> None:
        acme, beta = map(json.loads, run("show", "--config", config, "--json").stdout.splitlines())
        assert (acme["destination"], beta["destination"]) == ("acme", "beta")
        assert [row for row in beta["rows"] if row["changed"]] == []
        assert {row["event"]: row["endpoint"] for row in acme["rows"] if row["changed"]} == {
            "Quiz Finished": "custom-event",
            "Product Viewed": "product-view",
            "Product Added": "add-to-cart",
            "Order Completed": "purchase",
            "Product Clicked": None,
        }
        assert len(acme["rows"]) == len(beta["rows"]) + 1
        (items,) = acme["products"]
        assert (items["fields"]["productId"], items["changed"]) == ("code", ["productId", "productVariantId"])

    def test_needs_no_file(self, run: Run) -> None:
        shown = run("show")
        assert shown.exit_code == 0
        assert "attentive" in shown.stdout
        assert " *" not in shown.stdout
        assert "_seldom" not in shown.stdout, "what is worked out from the rules is none of them"

    def test_is_of_one_destination(self, run: Run, config: Path) -> None:
        assert run("show", "--config", config, "--destination", "gamma").exit_code == 2


class TestCheck:
    def test_finds_a_good_file_good_without_its_secrets(self, run: Run, config: Path) -> None:
        found = run("check", config)
        good = "good, 2 destinations, 2 sources, 2 events mapped its own way; 3 secrets not at hand"
        assert (found.exit_code, found.stdout) == (0, f"{config}: {good}\n")

    def test_says_every_mistake_on_a_line_of_its_own(self, run: Run, config: Path) -> None:
        config.write_text(
            CONFIG.replace("send: false", "sent: false").replace("write_key: very-secret", "write_keys: x")
        )
        found = run("check", config)
        assert (found.exit_code, found.stdout.splitlines()) == (
            1,
            [
                f"{config}:10: destinations.acme.mapping.events.Product Clicked.sent: "
                "is unknown here; did you mean send?",
                f"{config}:15: sources.app.write_keys: must be a list",
            ],
        )

    def test_points_out_a_name_that_is_nearly_the_catalogues(self, run: Run, config: Path) -> None:
        config.write_text(CONFIG.replace("Product Clicked", "Product Cliked"))
        place = "destinations.acme.mapping.events.Product Cliked"
        warning = f'{config}:10: warning: {place}: is a new event. Did you mean "Product Clicked"?'
        found, strict = run("check", config), run("check", "--strict", config)
        assert (found.exit_code, strict.exit_code) == (0, 1)
        assert found.stdout.splitlines()[0] == strict.stdout.splitlines()[0] == warning

    def test_explains_a_wrong_indentation(self, run: Run, config: Path) -> None:
        config.write_text("destinations:\n  acme:\n    api_token: x\n   default_region: NO\n")
        found = run("check", config)
        assert (found.exit_code, found.stdout) == (
            1,
            f"{config}:4: not YAML: it is indented by 3 spaces, which fits no line above it. "
            "Indent it by 4, as line 3 or 2, as line 2\n",
        )

    def test_says_that_there_is_no_file(self, run: Run, tmp_path: Path) -> None:
        found = run("check", tmp_path / "nowhere.yaml")
        assert found.exit_code != 0
        assert "cannot be read" in str(found.exception) + found.output


class TestTry:
    def test_says_what_attentive_is_asked_first(self, run: Run, tmp_path: Path) -> None:
        file = tmp_path / "consent.yaml"
        rule = "{trait: sms, is: true, channels: text, sign_up_source: '1'}"
        file.write_text(CONFIG.replace("other_events: [Store Visited]", f"subscriptions: {{opt_in: [{rule}]}}"))
        event = identify({"phone": "+14155550132", "sms": True}, timestamp=None)
        found = run("try", "--config", file, "--source", "web", event=event).stdout
        assert "/v1/subscriptions   priority high, unless Attentive already has that state (checked by phone)" in found

    def tried(self, run: Run, *arguments: object, event: Any) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(run("try", *arguments, "--json", event=event).stdout)
        return found

    def test_prints_the_exact_call(self, run: Run, config: Path) -> None:
        found = self.tried(run, "--config", config, "--source", "web", event=QUIZ)
        (call,) = found.pop("calls")
        assert (call["method"], call["url"], call["priority"]) == (
            "POST",
            "https://attentive.example/v1/events/custom",
            "low",
        )
        assert call["body"]["properties"] == {"points": 1}
        assert found == {
            "event": "Quiz Finished",
            "message_id": "message-1",
            "destination": "acme",
            "identity": {"email": "ada@example.com"},
            "rules": ["Quiz Finished → custom-event"],
            "decision": "forward",
            "detail": "",
            "notes": [],
        }

    def test_prints_every_call_of_an_event(self, run: Run) -> None:
        found = self.tried(run, event=identify({"email": "ada@example.com", "vip": 1}, userId="7", timestamp=None))
        urls = [call["url"] for call in found["calls"]]
        assert [url.removeprefix("https://api.attentivemobile.com") for url in urls] == [
            "/v1/identity-resolution/user-identifiers",
            "/v2/user/attributes",
        ]

    @pytest.mark.parametrize(
        ("event", "decision", "detail"),
        [
            pytest.param(track("Anything"), "drop: event_not_allowed", "", id="an event that is not let through"),
            pytest.param(track("Store Visited", context={}, anonymousId="a"), "drop: no_identity", "", id="nobody"),
            pytest.param(
                track("Product Added", {"code": "A"}, timestamp=None),
                "dead letter: unmappable",
                "item_incomplete: properties.price",
                id="an event that cannot be mapped",
            ),
            pytest.param(
                track("Store Visited", timestamp="2020-01-01"),
                "dead letter: too_old",
                "occurred too long before it arrived to be of use",
                id="an old event",
            ),
        ],
    )
    def test_says_why_there_is_no_call(self, event: Raw, decision: str, detail: str, run: Run, config: Path) -> None:
        found = self.tried(run, "--config", config, "--destination", "acme", event=event)
        assert (found["decision"], found["detail"], found["calls"]) == (decision, detail, [])

    def test_may_leave_the_age_aside(self, run: Run) -> None:
        old = track("Store Visited", timestamp="2020-01-01")
        assert self.tried(run, "--ignore-age", event=old)["decision"] == "forward"

    def test_reads_for_people_too(self, run: Run, config: Path, tmp_path: Path) -> None:
        file = tmp_path / "event.json"
        file.write_text(json.dumps(QUIZ | {"userId": "ada@example.com"}))
        shown = run("try", file, "--config", config, "--source", "web").stdout
        for line in (
            "Event        Quiz Finished (track), message id message-1",
            "Identity     email ada@example.com",
            "Filter       passes",
            "Rules        Quiz Finished → custom-event  (changed by the configuration)",
            "Notes        userId: an e-mail address or phone number, not sent as clientUserId",
            "Decision     forward",
            "POST https://attentive.example/v1/events/custom   priority low",
        ):
            assert line in shown

    def test_takes_the_guards_word(self, run: Run) -> None:
        found = self.tried(run, event=track("Paid", {"card": "4111 1111 1111 1111"}, timestamp=None))
        assert "4111" not in json.dumps(found)
        assert len(found["notes"]) == 1

    def test_takes_a_batch_and_an_event_of_few_words(self, run: Run) -> None:
        few = {"event": "x", "userId": "7"}
        lines = run("try", "--json", event={"batch": [few, few]}).stdout.splitlines()
        assert [json.loads(line)["decision"] for line in lines] == ["forward", "forward"]

    @pytest.mark.parametrize(
        ("arguments", "event", "status", "said"),
        [
            pytest.param([], {"event": "x"}, 1, "refused with a 400: userId", id="an event that is refused"),
            pytest.param([], "{", 2, "no JSON", id="no JSON"),
            pytest.param(["/nowhere.json"], None, 2, "Cannot read", id="no file"),
            pytest.param(["--config", "CONFIG"], QUIZ, 2, "Add --destination or --source", id="one of several"),
            pytest.param(
                ["--config", "CONFIG", "--source", "tv"], QUIZ, 2, "The sources are: web, app.", id="no such source"
            ),
            pytest.param(
                ["--source", "web"], QUIZ, 2, "Name the YAML file with --config", id="a source without a file"
            ),
            pytest.param(
                ["--destination", "acme"], QUIZ, 2, "The destinations are: attentive.", id="no such destination"
            ),
        ],
    )
    def test_says_what_is_wrong(
        self, arguments: list[str], event: Any, status: int, said: str, run: Run, config: Path
    ) -> None:
        found = run("try", *(each.replace("CONFIG", str(config)) for each in arguments), event=event)
        assert found.exit_code == status
        assert said in found.output

    @pytest.mark.parametrize(("source", "decision"), [("web", "drop: erasure_not_allowed"), ("crm", "erasure")])
    def test_an_erasure_is_what_its_source_may_ask_for(
        self, source: str, decision: str, run: Run, config: Path
    ) -> None:
        config.write_text(CONFIG + "  crm: {write_key: crm-key, destination: acme, trust: server, erasures: true}\n")
        event = {"type": "delete", "userId": "u-1", "messageId": "m"}
        tried = run("try", "--config", config, "--source", source, "--json", event=event)
        assert json.loads(tried.stdout)["decision"] == decision


EVENTS: Final = [
    QUIZ,
    QUIZ | {"context": {"traits": {"email": "ada@example.com", "phone": "+14155550132"}}},
    track("Product Clicked"),
    track("Store Visited", {"store": 7}),
    track("Order Completed", {"products": [{"code": "A", "price": 1}, {"code": "B", "price": 2}]}),
    {"event": "nobody"},
]


class TestDiff:
    @pytest.fixture
    def events(self, tmp_path: Path) -> Path:
        file = tmp_path / "events.ndjson"
        file.write_text("\n".join(map(json.dumps, EVENTS)) + "\n\nno JSON\n")
        return file

    def changed(self, config: Path, *changes: tuple[str, str]) -> Path:
        content = CONFIG
        for old, new in changes:
            assert old in content
            content = content.replace(old, new)
        file = config.with_name("new.yaml")
        file.write_text(content)
        return file

    def found(self, run: Run, config: Path, events: Path, *changes: tuple[str, str]) -> dict[str, Any]:
        found = run("diff", config, self.changed(config, *changes), events, "--json", "--destination", "acme")
        facts: dict[str, Any] = json.loads(found.stdout)
        assert found.exit_code == (1 if facts["changed"] else 0)
        return facts

    def test_of_the_same_is_nothing(self, run: Run, config: Path, events: Path) -> None:
        facts = self.found(run, config, events)
        assert (facts["events"], facts["refused"], facts["changed"]) == (7, 2, 0)
        assert facts["destinations"] == {"acme": {"the same": 5}}

    @pytest.mark.parametrize(
        ("old", "new", "kinds"),
        [
            pytest.param("constant: Quiz", "constant: Test", {"other custom-event call": 2}, id="another body"),
            pytest.param("priority: low", "priority: high", {"other priority of custom-event": 2}, id="priority"),
            pytest.param(
                "send: false", "send: true", {"drop: event_not_allowed → forward": 1}, id="an event that is let through"
            ),
            pytest.param(
                "[Store Visited]", "false", {"forward → drop: event_not_allowed": 1}, id="an event that no longer is"
            ),
            pytest.param(
                "productId: code",
                "productId: sku",
                {"forward → dead letter: unmappable": 1},
                id="no longer mapped",
            ),
            pytest.param(
                "{productId: code}\n      events:",
                "{productId: code}\n      events:\n        Store Visited: {to: user-attributes}",
                {"forward → drop: no_content": 1, "custom-event → user-attributes": 0},
                id="another endpoint",
            ),
        ],
    )
    def test_counts_by_kind(
        self, old: str, new: str, kinds: dict[str, int], run: Run, config: Path, events: Path
    ) -> None:
        facts = self.found(run, config, events, (old, new))
        found = facts["destinations"]["acme"]
        assert {kind: found.get(kind, 0) for kind in kinds} == kinds
        assert facts["changed"] == sum(kinds.values())

    def test_shows_what_is_other_in_the_calls(self, run: Run, config: Path, events: Path) -> None:
        facts = self.found(run, config, events, ("rename: {score: points}", "rename: {score: result}"))
        first = facts["examples"][0]
        assert (first["line"], first["event"]) == (1, "Quiz Finished")
        assert first["differences"] == [
            {"at": "custom-event.properties.points", "old": 1, "new": None},
            {"at": "custom-event.properties.result", "old": None, "new": 1},
        ]

    def test_tells_two_calls_to_one_endpoint_apart(self, run: Run, config: Path, events: Path) -> None:
        rules = "subscriptions: {opt_in: [{event: Quiz Finished, sign_up_source: 'a'}, {event: Quiz Finished, "
        rules += "sign_up_source: 'b'}]}\n    other_events:"
        old = self.changed(config, ("other_events:", rules)).rename(config.with_name("old.yaml"))
        new = self.changed(config, ("other_events:", rules.replace("'a'", "'c'")))
        facts = json.loads(run("diff", old, new, events, "--json", "--destination", "acme").stdout)
        assert facts["destinations"]["acme"]["other subscribe call"] == 2
        assert facts["examples"][0]["differences"] == [{"at": "subscribe.signUpSourceId", "old": "a", "new": "c"}]

    def test_shows_no_person_unless_asked(self, run: Run, config: Path, events: Path) -> None:
        new = self.changed(config, ("other_events:", "identifiers: {phone: []}\n    other_events:"))
        masked = run("diff", config, new, events, "--destination", "acme").stdout
        assert '- custom-event.user.phone: "***"' in masked
        assert "4155550132" not in masked
        assert "4155550132" in run("diff", config, new, events, "--reveal", "--destination", "acme").stdout

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            pytest.param("other_events:", "attributes: {endpoint: v1}\n    other_events:", id="v1 attributes"),
            pytest.param(
                "other_events:", "identifiers: {custom: {n: traits.plan}}\n    other_events:", id="custom ids"
            ),
        ],
    )
    def test_shows_no_person_whatever_the_call(
        self, old: str, new: str, run: Run, config: Path, tmp_path: Path
    ) -> None:
        events = tmp_path / "people.ndjson"
        person = {"email": "ada@example.com", "username": "countess", "plan": "gold-4711", "firstName": "Augusta"}
        events.write_text(json.dumps(identify(person, userId="u-1")))
        masked = run("diff", config, self.changed(config, (old, new)), events, "--destination", "acme")
        assert (masked.exit_code, "***" in masked.stdout) == (1, True)
        assert [trace for trace in person.values() if trace in masked.stdout] == []

    def test_names_destinations_that_are_in_one_file_alone(self, run: Run, config: Path, events: Path) -> None:
        new = self.changed(config, ("beta", "gamma"))
        found = run("diff", config, new, events)
        assert found.exit_code == 1
        assert "Destinations added: gamma" in found.stdout
        assert "Destinations removed: beta" in found.stdout

    def test_takes_what_a_dead_letter_holds(self, run: Run, config: Path, tmp_path: Path) -> None:
        events = tmp_path / "letters.ndjson"
        events.write_text(json.dumps({"id": "1-0", "reason": "http_400", "event": "Quiz Finished", "original": QUIZ}))
        facts = self.found(run, config, events, ("constant: Quiz", "constant: Test"))
        assert facts["changed"] == 1

    def test_says_mistakes_with_their_lines(self, run: Run, config: Path, events: Path) -> None:
        new = self.changed(config, ("priority: low", "priority: urgent"))
        found = run("diff", config, new, events)
        assert found.exit_code == 2
        assert f"{new}:9: destinations.acme.mapping.events.Quiz Finished.priority" in found.output
