"""Settings: where they come from, and one readable line, without any secret in it, for each mistake."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from pydantic import SecretStr, ValidationError

from app.config.bad_settings import BadSettings
from app.config.topology import Topology
from app.config.values import ATTENTIVE_URL
from app.identity.extract import IdentityRules
from app.mapping.attributes import AttributeRules
from app.pipeline import Plan
from app.segment.paths import EventPath
from app.settings import Settings, load_settings
from app.wiring.gateway import all_senders, plan_of
from app.wiring.shared import all_lanes

TOKEN: Final = "tk_9f3a-very-secret"
KEY: Final = "wk_51c0-very-secret"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing set but what a test sets."""
    for name in Settings.model_fields:
        for variable in (f"GATEWAY_{name.upper()}", f"GATEWAY_{name.upper()}_FILE", name.upper()):
            monkeypatch.delenv(variable, raising=False)
    for variable in ("ATTENTIVE_API_TOKEN", "ATTENTIVE_API_TOKEN_FILE", "ATTENTIVE_BASE_URL"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str]], None]:
    """Sets environment variables."""

    def set_all(variables: dict[str, str]) -> None:
        for variable, value in variables.items():
            monkeypatch.setenv(variable, value)

    return set_all


Environment = Callable[[dict[str, str]], None]


def assert_one_readable_line(mistake: BadSettings, *named: str) -> None:
    """It names what is wrong, on one line, and shows no secret and no library's jargon."""
    text = str(mistake)
    assert [name for name in named if name not in text] == []
    assert "\n" not in text
    assert "secret" not in text
    assert "pydantic" not in text


class TestTheEnvironment:
    def test_may_be_empty(self) -> None:
        settings = load_settings()
        assert (settings.host, settings.port, settings.base_url) == ("127.0.0.1", 8080, ATTENTIVE_URL)
        assert settings.redis_url.get_secret_value() == "redis://127.0.0.1:6379/0"

    def test_names_every_setting(self, environment: Environment) -> None:
        environment(
            {
                "GATEWAY_REDIS_URL": "rediss://redis.example:6380/1",
                "GATEWAY_WRITE_KEY": KEY,
                "ATTENTIVE_API_TOKEN": TOKEN,
                "ATTENTIVE_BASE_URL": "https://attentive.example/",
                "GATEWAY_DEFAULT_REGION": "gb",
                "GATEWAY_HOST": "::",
                "GATEWAY_PORT": "9000",
                "GATEWAY_REQUIRE_DURABLE_REDIS": "true",
                "GATEWAY_JOURNAL_HOURS": "1.5",
                "GATEWAY_LOG_LEVEL": "DEBUG",
            }
        )
        settings = load_settings()
        assert settings.redis_url.get_secret_value() == "rediss://redis.example:6380/1"
        assert settings.write_key == SecretStr(KEY)
        assert settings.api_token == SecretStr(TOKEN)
        assert (settings.base_url, settings.default_region) == ("https://attentive.example", "GB")
        assert (settings.host, settings.port, settings.require_durable_redis) == ("::", 9000, True)
        assert (settings.journal_hours, settings.log_level) == (1.5, "DEBUG")

    def test_is_overruled_by_the_command_line(self, environment: Environment) -> None:
        environment({"GATEWAY_PORT": "9000"})
        assert load_settings(port=9001).port == 9001

    @pytest.mark.parametrize(
        ("variable", "value", "field"),
        [
            pytest.param("BASE_URL", "https://elsewhere.example", "base_url", id="BASE_URL"),
            pytest.param("API_TOKEN", TOKEN, "api_token", id="API_TOKEN"),
            pytest.param("PORT", "9999", "port", id="PORT"),
            pytest.param("HOST", "elsewhere.example", "host", id="HOST"),
            pytest.param("WRITE_KEY", KEY, "write_key", id="WRITE_KEY"),
        ],
    )
    def test_of_other_programs_is_left_alone(
        self, variable: str, value: str, field: str, environment: Environment
    ) -> None:
        """A BASE_URL that somebody set for another program must not carry the API token to that host."""
        expected = getattr(load_settings(), field)
        environment({variable: value})
        assert getattr(load_settings(), field) == expected

    @pytest.mark.parametrize("value", ["", "   "])
    def test_may_hold_an_empty_secret_which_is_none(self, value: str, environment: Environment) -> None:
        environment({"GATEWAY_WRITE_KEY": value, "ATTENTIVE_API_TOKEN": value})
        settings = load_settings()
        assert (settings.write_key, settings.api_token) == (None, None)

    @pytest.mark.parametrize("variable", ["GATEWAY_WRITE_KEY", "ATTENTIVE_API_TOKEN"])
    @pytest.mark.parametrize("value", ["…", "s3cr\net"], ids=["no ASCII", "two lines"])
    def test_may_not_hold_a_secret_that_no_header_can_carry(
        self, variable: str, value: str, environment: Environment
    ) -> None:
        environment({"GATEWAY_WRITE_KEY": KEY, "ATTENTIVE_API_TOKEN": TOKEN, variable: value})
        with pytest.raises(BadSettings) as mistake:
            load_settings().topology()
        assert str(mistake.value) == f"{variable}: must be printable ASCII on one line"

    def test_cannot_be_changed_afterwards(self) -> None:
        settings = load_settings()
        with pytest.raises(ValidationError):
            settings.port = 1  # type: ignore[misc]


class TestSecretsFromFiles:
    @pytest.mark.parametrize(
        ("variable", "field", "content"),
        [
            pytest.param("GATEWAY_WRITE_KEY_FILE", "write_key", KEY, id="a write key"),
            pytest.param("ATTENTIVE_API_TOKEN_FILE", "api_token", TOKEN, id="an API token"),
            pytest.param("GATEWAY_REDIS_URL_FILE", "redis_url", "redis://:pw@redis.example/0", id="a Redis URL"),
        ],
    )
    def test_are_read_without_the_line_feed_at_their_end(
        self, variable: str, field: str, content: str, environment: Environment, tmp_path: Path
    ) -> None:
        file = tmp_path / "content"
        file.write_text(content + "\n", encoding="utf-8")
        environment({variable: str(file)})
        assert getattr(load_settings(), field).get_secret_value() == content

    @pytest.mark.parametrize("variable", ["GATEWAY_WRITE_KEY", "ATTENTIVE_API_TOKEN", "GATEWAY_REDIS_URL"])
    def test_that_are_missing_are_named(self, variable: str, environment: Environment, tmp_path: Path) -> None:
        environment({f"{variable}_FILE": str(tmp_path / "nowhere")})
        with pytest.raises(BadSettings) as mistake:
            load_settings()
        assert_one_readable_line(mistake.value, f"{variable}_FILE", "nowhere")

    def test_are_not_given_twice(self, environment: Environment, tmp_path: Path) -> None:
        file = tmp_path / "key"
        file.write_text(KEY, encoding="utf-8")
        environment({"GATEWAY_WRITE_KEY": KEY, "GATEWAY_WRITE_KEY_FILE": str(file)})
        with pytest.raises(BadSettings) as mistake:
            load_settings()
        assert_one_readable_line(mistake.value, "GATEWAY_WRITE_KEY", "GATEWAY_WRITE_KEY_FILE")

    def test_that_are_no_text_are_named(self, environment: Environment, tmp_path: Path) -> None:
        file = tmp_path / "key"
        file.write_bytes(b"\xff\xfe\x00")
        environment({"GATEWAY_WRITE_KEY_FILE": str(file)})
        with pytest.raises(BadSettings) as mistake:
            load_settings()
        assert_one_readable_line(mistake.value, "GATEWAY_WRITE_KEY_FILE")


MISTAKES: Final = [
    pytest.param({"ATTENTIVE_BASE_URL": "http://attentive.example"}, "ATTENTIVE_BASE_URL", "https", id="http"),
    pytest.param({"ATTENTIVE_BASE_URL": "http://10.0.0.7"}, "ATTENTIVE_BASE_URL", "https", id="http to a neighbour"),
    pytest.param({"ATTENTIVE_BASE_URL": "attentive.example"}, "ATTENTIVE_BASE_URL", "scheme", id="a host alone"),
    pytest.param({"ATTENTIVE_BASE_URL": "https://a.example/v1"}, "ATTENTIVE_BASE_URL", "scheme", id="a version in it"),
    pytest.param({"ATTENTIVE_BASE_URL": "ftp://a.example"}, "ATTENTIVE_BASE_URL", "scheme", id="another scheme"),
    pytest.param({"ATTENTIVE_BASE_URL": "https://"}, "ATTENTIVE_BASE_URL", "scheme", id="no host"),
    pytest.param({"ATTENTIVE_BASE_URL": "https://u:secret@a.example"}, "ATTENTIVE_BASE_URL", "password", id="a login"),
    pytest.param({"ATTENTIVE_BASE_URL": "https://u@a.example"}, "ATTENTIVE_BASE_URL", "user", id="a user"),
    pytest.param({"ATTENTIVE_BASE_URL": "https://a.example#v2"}, "ATTENTIVE_BASE_URL", "fragment", id="a fragment"),
    pytest.param({"ATTENTIVE_BASE_URL": "https://a.example:port"}, "ATTENTIVE_BASE_URL", "", id="no port"),
    pytest.param({"ATTENTIVE_BASE_URL": "https://[::1"}, "ATTENTIVE_BASE_URL", "", id="half an address"),
    pytest.param({"GATEWAY_PORT": "http"}, "GATEWAY_PORT", "integer", id="a port in words"),
    pytest.param(
        {"ATTENTIVE_BASE_URL": "https://ann:pw@api.attentivemobile.com"},
        "ATTENTIVE_BASE_URL",
        "only the API token is sent",
        id="a user and a password in an address",
    ),
    pytest.param({"GATEWAY_PORT": "70000"}, "GATEWAY_PORT", "65535", id="a port too high"),
    pytest.param({"GATEWAY_PORT": "-1"}, "GATEWAY_PORT", "0", id="a port too low"),
    pytest.param({"GATEWAY_REDIS_URL": "http://:very-secret@h"}, "GATEWAY_REDIS_URL", "redis://", id="no Redis"),
    pytest.param({"GATEWAY_REDIS_URL": "very-secret@localhost:6379"}, "GATEWAY_REDIS_URL", "redis://", id="no scheme"),
    pytest.param({"GATEWAY_REDIS_URL": "redis://h:very-secret"}, "GATEWAY_REDIS_URL", "", id="a Redis port in words"),
    pytest.param({"GATEWAY_DEFAULT_REGION": "USA"}, "GATEWAY_DEFAULT_REGION", "two-letter", id="a region of three"),
    pytest.param({"GATEWAY_DEFAULT_REGION": "1"}, "GATEWAY_DEFAULT_REGION", "two-letter", id="a calling code"),
    pytest.param({"GATEWAY_LOG_LEVEL": "LOUD"}, "GATEWAY_LOG_LEVEL", "'INFO'", id="a level that is none"),
    pytest.param({"GATEWAY_CONCURRENCY": "0"}, "GATEWAY_CONCURRENCY", "1", id="no concurrency"),
    pytest.param(
        {"GATEWAY_JOURNAL_ENTRIES": "1" + "0" * 20},
        "GATEWAY_JOURNAL_ENTRIES",
        "1000000000",
        id="no Redis counts so far",
    ),
    pytest.param({"GATEWAY_MAX_BODY_BYTES": "1MB"}, "GATEWAY_MAX_BODY_BYTES", "integer", id="a size with a unit"),
    pytest.param({"GATEWAY_JOURNAL_HOURS": "0"}, "GATEWAY_JOURNAL_HOURS", "greater than 0", id="no hours"),
    pytest.param({"GATEWAY_JOURNAL_HOURS": "inf"}, "GATEWAY_JOURNAL_HOURS", "876000", id="hours without end"),
    pytest.param({"GATEWAY_WORKER_CALLS_PER_SECOND": "nan"}, "GATEWAY_WORKER_CALLS_PER_SECOND", "", id="no number"),
    pytest.param({"GATEWAY_REQUIRE_DURABLE_REDIS": "maybe"}, "GATEWAY_REQUIRE_DURABLE_REDIS", "boolean", id="maybe"),
]


def test_servers_listen_on_this_machine_alone_unless_told_otherwise() -> None:
    hosts = {name: value for name, value in load_settings() if name.endswith("host")}
    assert hosts.keys() >= {"host", "admin_host", "worker_host", "console_host"}
    assert set(hosts.values()) == {"127.0.0.1"}


class TestAMistake:
    @pytest.mark.parametrize(("variables", "named", "expected"), MISTAKES)
    def test_is_named_by_its_variable(
        self, variables: dict[str, str], named: str, expected: str, environment: Environment
    ) -> None:
        environment({"ATTENTIVE_API_TOKEN": TOKEN, "GATEWAY_WRITE_KEY": KEY} | variables)
        with pytest.raises(BadSettings) as mistake:
            load_settings()
        assert str(mistake.value).startswith(named)
        assert_one_readable_line(mistake.value, expected)

    def test_hides_no_other_mistake(self, environment: Environment) -> None:
        environment({"GATEWAY_PORT": "http", "GATEWAY_LOG_LEVEL": "LOUD"})
        with pytest.raises(BadSettings) as mistake:
            load_settings()
        assert_one_readable_line(mistake.value, "GATEWAY_PORT", "GATEWAY_LOG_LEVEL")

    @pytest.mark.parametrize("url", ["http://127.0.0.1:8090", "http://localhost:8090", "http://[::1]:8090/"])
    def test_is_not_to_speak_plain_http_to_this_machine(self, url: str, environment: Environment) -> None:
        environment({"ATTENTIVE_BASE_URL": url})
        assert load_settings().base_url == url.rstrip("/")


class TestOneAccount:
    def test_needs_no_file(self, environment: Environment) -> None:
        environment({"GATEWAY_WRITE_KEY": KEY, "ATTENTIVE_API_TOKEN": TOKEN, "GATEWAY_DEFAULT_REGION": "GB"})
        topology = load_settings().topology()
        (destination,), (source,) = topology.destinations.values(), topology.sources.values()
        assert (destination.api_token, destination.default_region) == (SecretStr(TOKEN), "GB")
        assert topology.destinations[source.destination] is destination
        assert [*all_senders(topology)] == [KEY]
        assert {lane.destination for lane in all_lanes(topology)} == {"attentive"}

    @pytest.mark.parametrize(
        ("variables", "named"),
        [
            pytest.param({"ATTENTIVE_API_TOKEN": TOKEN}, ["GATEWAY_WRITE_KEY"], id="without a write key"),
            pytest.param({"GATEWAY_WRITE_KEY": KEY}, ["ATTENTIVE_API_TOKEN"], id="without a token"),
            pytest.param({}, ["GATEWAY_WRITE_KEY", "ATTENTIVE_API_TOKEN", "GATEWAY_CONFIG"], id="without anything"),
            pytest.param({"GATEWAY_WRITE_KEY": " "}, ["GATEWAY_WRITE_KEY"], id="with a blank key"),
        ],
    )
    def test_is_asked_for(self, variables: dict[str, str], named: list[str], environment: Environment) -> None:
        environment(variables)
        with pytest.raises(BadSettings) as mistake:
            load_settings().topology()
        assert_one_readable_line(mistake.value, *named)


GOOD: Final = """
destinations:
  acme:
    api_token: tk_9f3a-very-secret
    default_region: gb
    identifiers: {primary: phone, email: [traits.email, properties.email], custom: {card: traits.loyalty.card}}
    attributes: {endpoint: v1, lists: drop, most_names: null, types: {postal_code: string}}
    other_events: [Boot Fitting Booked]
  acme-test:
    api_token_env: TEST_TOKEN
    base_url: http://127.0.0.1:8090
    other_events: false
    attributes: {endpoint: off}
sources:
  web: {write_key: wk_web, destination: acme}
  app: {write_key_env: APP_KEY, destination: acme-test}
"""


class TestAFile:
    @pytest.fixture
    def read(self, tmp_path: Path, environment: Environment) -> Callable[[str | bytes], Topology]:
        """The topology that a file of this content describes."""

        def read(content: str | bytes) -> Topology:
            file = tmp_path / "gateway.yaml"
            file.write_bytes(content if isinstance(content, bytes) else content.encode())
            environment({"GATEWAY_CONFIG": str(file), "TEST_TOKEN": "from env", "APP_KEY": "wk_app"})
            return load_settings().topology()

        return read

    Read = Callable[[str | bytes], Topology]

    def test_describes_sources_and_destinations(self, read: Read) -> None:
        topology = read(GOOD)
        acme, test = topology.destinations["acme"], topology.destinations["acme-test"]
        assert (acme.api_token.get_secret_value(), acme.default_region, acme.base_url) == (TOKEN, "GB", ATTENTIVE_URL)
        assert (test.api_token.get_secret_value(), test.base_url) == ("from env", "http://127.0.0.1:8090")
        senders = all_senders(topology)
        assert [(key, each.source, each.destination) for key, each in senders.items()] == [
            ("wk_web", "web", "acme"),
            ("wk_app", "app", "acme-test"),
        ]
        assert plan_of(acme).identity == IdentityRules(
            default_region="GB",
            primary="phone",
            email=(EventPath("traits.email"), EventPath("properties.email")),
            custom=(("card", (EventPath("traits.loyalty.card"),)),),
        )
        assert plan_of(acme).attributes == AttributeRules(
            identifiers=plan_of(acme).identity.traits,
            join_lists=False,
            most_names=None,
            types={"postal_code": "string"},
        )
        plan = plan_of(test)
        assert plan == replace(Plan(), catalogue=plan.catalogue, guard=plan.guard)
        assert plan_of(acme).catalogue.other_events == frozenset({"Boot Fitting Booked"})
        assert plan_of(test).catalogue.other_events == frozenset()

    @pytest.mark.parametrize(
        ("endpoint", "calls"),
        [
            pytest.param("v2", ["identity", "user-attributes"], id="the second version"),
            pytest.param("v1", ["identity", "custom-attributes"], id="the first version"),
            pytest.param("off", ["identity"], id="none"),
        ],
    )
    def test_names_the_endpoint_of_attributes(self, endpoint: str, calls: list[str], read: Read) -> None:
        acme = read(GOOD.replace("endpoint: v1", f"endpoint: {endpoint}")).destinations["acme"]
        rules = [rule.endpoint.name for rule in plan_of(acme).catalogue.rules if rule.type == "identify"]
        assert rules == calls

    def test_may_name_the_file_of_a_secret(self, read: Read, tmp_path: Path) -> None:
        (tmp_path / "token").write_text(TOKEN + "\n", encoding="utf-8")
        topology = read(GOOD.replace("api_token: tk_9f3a-very-secret", f"api_token_file: {tmp_path / 'token'}"))
        assert topology.destinations["acme"].api_token == SecretStr(TOKEN)

    @pytest.mark.parametrize(
        ("old", "new", "named"),
        [
            pytest.param(
                "destination: acme}",
                "destination: amce}",
                ["sources.web", "did you mean acme?"],
                id="no such destination",
            ),
            pytest.param("write_key: wk_web", "write_key: wk_app", ["write_key", "app", "web"], id="one key twice"),
            pytest.param("api_token_env: TEST_TOKEN", "api_token_env: NO_TOKEN", ["NO_TOKEN"], id="a variable not set"),
            pytest.param("api_token_env: TEST_TOKEN", "api_token_file: /no/file", ["/no/file"], id="a file not there"),
            pytest.param("api_token_env: TEST_TOKEN", "", ["acme-test", "api_token"], id="no token"),
            pytest.param("api_token_env: TEST_TOKEN", 'api_token: ""', ["acme-test", "api_token"], id="an empty token"),
            pytest.param("api_token_env: TEST_TOKEN", "api_token: ' '", ["acme-test", "api_token"], id="a blank token"),
            pytest.param("write_key: wk_web", 'write_key: ""', ["sources.web", "write_key"], id="an empty write key"),
            pytest.param(
                "api_token_env: TEST_TOKEN",
                f"api_token_env: TEST_TOKEN\n    api_token: {TOKEN}",
                ["acme-test", "api_token"],
                id="a token given twice",
            ),
            pytest.param("default_region: gb", "region: gb", ["destinations.acme.region"], id="an unknown name"),
            pytest.param(
                "default_region: gb", "default_region: UK!", ["destinations.acme.default_region"], id="a region"
            ),
            pytest.param("http://127.0.0.1:8090", "http://a.example", ["acme-test.base_url"], id="plain http"),
            pytest.param("  acme:\n", "  Acme Inc:\n", ["Acme Inc"], id="a name with blanks and capitals"),
            pytest.param(
                "other_events: false", "other_events: 7.5", ["acme-test.other_events"], id="neither yes nor list"
            ),
            pytest.param(
                "[traits.email, properties.email]", "email", ["identifiers.email", "traits.email"], id="no path"
            ),
            pytest.param(
                "[traits.email, properties.email]", "[anonymousId]", ["identifiers.email.0"], id="a path out of reach"
            ),
            pytest.param("traits.loyalty.card", "traits..card", ["identifiers.custom.card"], id="a path with a gap"),
            pytest.param(
                "{card: traits.loyalty.card}", "{'': traits.card}", ["identifiers.custom"], id="an identifier unnamed"
            ),
            pytest.param("endpoint: v1", "endpoint: v3", ["attributes.endpoint", "'v1'"], id="an odd endpoint"),
            pytest.param("lists: drop", "list: drop", ["attributes.list", "lists"], id="a misspelt key of attributes"),
            pytest.param("{postal_code: string}", "{postal_code: text}", ["types.postal_code"], id="an odd type"),
            pytest.param("most_names: null", "most_names: 0", ["attributes.most_names", "1"], id="no attribute at all"),
            pytest.param("primary: phone", "primary: userId", ["identifiers.primary", "email"], id="an odd primary"),
            pytest.param("primary: phone", "primary: phone, phone: []", ["primary", "no path"], id="a primary nowhere"),
            pytest.param(
                "{primary: phone, email: [traits.email, properties.email]",
                "{phone: [], email: [], client_user_id: []",
                ["acme.identifiers", "no event could pass"],
                id="a filter that nobody passes",
            ),
            pytest.param("sources:", "senders:", ["sources"], id="no sources"),
        ],
    )
    def test_with_a_mistake_is_refused_by_name(self, old: str, new: str, named: list[str], read: Read) -> None:
        assert old in GOOD
        with pytest.raises(BadSettings) as mistake:
            read(GOOD.replace(old, new, 1))
        assert_one_readable_line(mistake.value, *named)

    @pytest.mark.parametrize(
        "content",
        [
            pytest.param("", id="nothing"),
            pytest.param("[]", id="a list"),
            pytest.param("just text", id="text"),
            pytest.param("destinations: []\nsources: {}", id="a list of destinations"),
            pytest.param("destinations: {}\nsources: {}", id="no destination"),
            pytest.param("destinations: {a: very-secret}\nsources: {}", id="a destination that is text"),
            pytest.param("destinations: {1: {api_token: very-secret}}\nsources: {}", id="a name that is a number"),
        ],
    )
    def test_that_describes_nothing_is_refused(self, content: str, read: Read) -> None:
        with pytest.raises(BadSettings) as mistake:
            read(content)
        assert_one_readable_line(mistake.value, "GATEWAY_CONFIG", "gateway.yaml")

    @pytest.mark.parametrize(
        "content",
        [
            pytest.param("destinations: {acme: [}", id="brackets that do not match"),
            pytest.param("destinations:\n  acme:\n    api_token: very-secret: x\n", id="two colons in a line"),
            pytest.param('destinations:\n  acme:\n    api_token: "very-secret\n', id="a quote that does not end"),
            pytest.param("destinations:\n  acme:\n\tapi_token: very-secret\n", id="a tab"),
            pytest.param("a: !!python/object/apply:os.system ['true']", id="a call of a program"),
            pytest.param(b"api_token: \xff\xfe very-secret", id="bytes that are no text"),
        ],
    )
    def test_that_is_no_yaml_is_refused(self, content: str | bytes, read: Read) -> None:
        with pytest.raises(BadSettings) as mistake:
            read(content)
        assert_one_readable_line(mistake.value, "GATEWAY_CONFIG", "gateway.yaml")

    def test_that_is_not_there_is_named(self, environment: Environment, tmp_path: Path) -> None:
        for path in (tmp_path / "nowhere.yaml", tmp_path):
            environment({"GATEWAY_CONFIG": str(path)})
            with pytest.raises(BadSettings) as mistake:
                load_settings().topology()
            assert_one_readable_line(mistake.value, "GATEWAY_CONFIG", str(path))


class TestSecrets:
    def secrets(self, environment: Environment) -> Any:
        environment(
            {
                "GATEWAY_WRITE_KEY": KEY,
                "ATTENTIVE_API_TOKEN": TOKEN,
                "GATEWAY_REDIS_URL": "redis://:very-secret@redis.example/0",
            }
        )
        return load_settings()

    def test_are_not_shown_when_settings_are_printed(self, environment: Environment) -> None:
        settings = self.secrets(environment)
        shown = [settings, settings.topology(), settings.model_dump(), settings.model_dump_json(), settings.topology()]
        assert [text for text in (*map(repr, shown), *map(str, shown)) if "very-secret" in text] == []

    def test_are_described_like_everything_else(self) -> None:
        fields = Settings.model_fields
        assert [name for name, field in fields.items() if not field.description] == []
