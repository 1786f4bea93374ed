"""Sources as the YAML file describes them, and what the intake makes of that; one readable line for each mistake."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
import yaml

from app.config.bad_settings import BadSettings
from app.config.privacy import Privacy
from app.ingest.admission import RateLimit
from app.ingest.auth import Sender
from app.ingest.signatures import Scheme
from app.privacy.policy import BY_DEFAULT, Check
from app.settings import Settings, load_settings
from app.wiring.gateway import all_origins, all_senders

ORIGIN: Final = "https://shop.example"
Source = dict[str, Any]
Senders = dict[str, Sender]


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"GATEWAY_{name.upper()}", raising=False)
    for name, value in {"APP_KEY": "wk_app", "SECRET": "very-secret-1", "BLANK": " ", "EMPTY": ""}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., Settings]:
    """Settings whose file describes these sources."""
    (tmp_path / "key").write_text("wk_file\n", encoding="utf-8")
    (tmp_path / "empty").write_text("\n", encoding="utf-8")

    def describe(destination: dict[str, Any] | None = None, /, **sources: Source) -> Settings:
        acme = {"api_token": "very-secret", **(destination or {})}
        named = {name.replace("_", "-"): {"destination": "acme"} | source for name, source in sources.items()}
        content = yaml.safe_dump({"destinations": {"acme": acme}, "sources": named})
        file = tmp_path / "gateway.yaml"
        file.write_text(content.replace("FOLDER", str(tmp_path)), encoding="utf-8")
        return load_settings(config=file)

    return describe


Describe = Callable[..., Settings]


def senders(settings: Settings) -> Senders:
    return all_senders(settings.topology())


class TestTrust:
    """Safe unless stated otherwise: a source is public by default."""

    def test_of_a_source_is_public_by_default(self, settings: Describe) -> None:
        plan = senders(settings(web={"write_key": "k"}))["k"].plan
        assert (plan.attributes.defines, plan.erasures) == (False, False)

    @pytest.mark.parametrize(
        "source",
        [{"trust": "server"}, {"trust": "signed", "signing": {"scheme": "bearer", "secrets": ["s3cret-s3cret"]}}],
    )
    def test_of_a_server_gives_all_rights(self, settings: Describe, source: Source) -> None:
        plan = senders(settings(web={"write_key": "k", "erasures": True, **source}))["k"].plan
        assert (plan.attributes.defines, plan.erasures) == (True, True)

    def test_has_exceptions(self, settings: Describe) -> None:
        rights = {"define_attributes": True}
        assert senders(settings(web={"write_key": "k", "rights": rights}))["k"].plan.attributes.defines is True

    @pytest.mark.parametrize(
        ("source", "mistake"),
        [
            ({"erasures": True}, "trust: server or trust: signed"),
            ({"trust": "signed"}, "needs `signing`"),
            ({"trust": "everybody"}, "trust"),
            ({"rights": {"everything": True}}, "everything"),
        ],
    )
    def test_that_cannot_be_is_a_mistake(self, settings: Describe, source: Source, mistake: str) -> None:
        with pytest.raises(BadSettings, match=mistake):
            settings(web={"write_key": "k", **source}).topology()

    def test_named_by_a_rule_is_that_of_a_known_source(self, settings: Describe) -> None:
        rules = {"subscriptions": {"opt_out": [{"event": "Left", "sources": ["wbe"]}]}}
        with pytest.raises(BadSettings, match=r"must be the name of a source of this destination.*web"):
            settings(rules, web={"write_key": "k"}).topology()

    @pytest.mark.parametrize(("variables", "defines"), [({}, False), ({"GATEWAY_TRUST": "server"}, True)])
    def test_of_the_only_source_is_a_variable(
        self, variables: dict[str, str], defines: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, value in {"GATEWAY_WRITE_KEY": "k", "ATTENTIVE_API_TOKEN": "t", **variables}.items():
            monkeypatch.setenv(name, value)
        assert senders(load_settings())["k"].plan.attributes.defines is defines


class TestWriteKeys:
    def test_may_be_several_from_several_places(self, settings: Describe) -> None:
        keys = [{"key": "wk_plain"}, {"key": {"env": "APP_KEY"}}, {"key": {"file": "FOLDER/key"}, "retiring": True}]
        found = senders(settings(app={"write_keys": keys}))
        assert {key: (sender.source, sender.key_number, sender.retiring) for key, sender in found.items()} == {
            "wk_plain": ("app", 1, False),
            "wk_app": ("app", 2, False),
            "wk_file": ("app", 3, True),
        }

    @pytest.mark.parametrize(
        ("source", "key"),
        [
            pytest.param({"write_key": "wk_plain"}, "wk_plain", id="as it is"),
            pytest.param({"write_key_env": "APP_KEY"}, "wk_app", id="in a variable"),
            pytest.param({"write_key_file": "FOLDER/key"}, "wk_file", id="in a file"),
            pytest.param({"write_key": {"env": "APP_KEY"}}, "wk_app", id="in a variable, written the other way"),
        ],
    )
    def test_may_be_one(self, source: Source, key: str, settings: Describe) -> None:
        ((found, sender),) = senders(settings(app=source)).items()
        assert (found, sender.key_number, sender.retiring) == (key, 1, False)

    def test_of_one_source_share_its_rate(self, settings: Describe) -> None:
        keys = [{"key": "wk_1"}, {"key": "wk_2"}]
        described = settings(
            app={"write_keys": keys, "events_per_second": 5}, web={"write_key": "wk_3", "trust": "server"}
        )
        found = all_senders(described.topology(), lambda _source, rate: RateLimit(rate, clock=lambda: 0.0))
        limit = found["wk_1"].limit
        assert limit is not None
        assert found["wk_2"].limit is limit
        assert found["wk_3"].limit is None
        assert (limit.take(10), limit.take(1) > 0) == (0, True)

    @pytest.mark.parametrize(
        ("source", "per_second"),
        [
            pytest.param({}, 2000, id="public, as by default"),
            pytest.param({"events_per_second": 50}, 50, id="public, with its own rate"),
            pytest.param({"events_per_second": 10_000}, 10_000, id="public, with a higher one"),
            pytest.param({"trust": "server"}, None, id="of servers"),
            pytest.param({"trust": "server", "events_per_second": 50}, 50, id="of servers, with a rate"),
        ],
    )
    def test_of_a_public_source_have_a_rate(
        self, settings: Describe, source: dict[str, Any], per_second: float | None
    ) -> None:
        rates: list[float] = []

        def rate_limit(_source: str, rate: float) -> RateLimit:
            rates.append(rate)
            return RateLimit(rate)

        all_senders(settings(web={"write_key": "wk", **source}).topology(), rate_limit)
        assert rates == ([] if per_second is None else [per_second])

    def test_know_whether_another_source_sends_to_their_destination(self, settings: Describe) -> None:
        assert senders(settings(web={"write_key": "wk"}))["wk"].alone
        assert not senders(settings(web={"write_key": "wk"}, app={"write_key": "wk_2"}))["wk"].alone


class TestOrigins:
    def test_are_all_when_nothing_is_said(self, settings: Describe) -> None:
        described = settings(app={"write_key": "wk_app"})
        assert senders(described)["wk_app"].origins is None
        assert all_origins(described.topology()).allow("https://anything.example")

    def test_are_each_sources_own_and_together_those_of_the_gateway(self, settings: Describe) -> None:
        described = settings(
            web={"write_key": "wk_web", "origins": [ORIGIN, "https://*.shop.example"]},
            server={"write_key": "wk_server", "origins": []},
        )
        found, together = senders(described), all_origins(described.topology())
        web, server = found["wk_web"].origins, found["wk_server"].origins
        assert web is not None
        assert server is not None
        assert [each.allow(ORIGIN) for each in (web, server, together)] == [True, False, True]
        assert not together.allow("https://evilshop.example")


class TestSigning:
    @pytest.mark.parametrize("scheme", [*Scheme])
    def test_is_of_a_scheme_with_secrets_from_several_places(self, scheme: Scheme, settings: Describe) -> None:
        header = {"header": "X-Hook-Token"} if scheme is Scheme.HEADER else {}
        signing = {"scheme": scheme.value, "secrets": ["plain", {"env": "SECRET"}, {"file": "FOLDER/key"}]} | header
        found = senders(settings(hook={"write_key": "wk_hook", "signing": signing}))["wk_hook"].signing
        assert found is not None
        assert (found.scheme, found.secrets) == (scheme, ("plain", "very-secret-1", "wk_file"))
        assert found.header == header.get("header", "")


MISTAKES: Final = [
    pytest.param({}, ["app", "write_key"], id="no write key"),
    pytest.param({"write_keys": []}, ["app.write_keys", "at least 1"], id="no write keys in the list"),
    pytest.param({"write_keys": "wk_very-secret"}, ["app.write_keys"], id="text in place of the list"),
    pytest.param({"write_keys": ["wk_very-secret"]}, ["app.write_keys.0"], id="text in the list"),
    pytest.param({"write_keys": [{"retiring": True}]}, ["app.write_keys.0.key"], id="an entry without its key"),
    pytest.param({"write_keys": [{"key": ""}]}, ["app.write_keys.0.key", "empty"], id="an empty key"),
    pytest.param({"write_keys": [{"key": "very-secret\n2"}]}, ["app.write_keys.0.key"], id="a key on two lines"),
    pytest.param({"write_keys": [{"key": "wk", "old": True}]}, ["app.write_keys.0.old"], id="an unknown name"),
    pytest.param({"write_keys": [{"key": "wk", "retiring": "soon"}]}, ["0.retiring"], id="neither true nor false"),
    pytest.param({"write_keys": [{"key": {"env": "NO_KEY"}}]}, ["write_keys.0.key", "NO_KEY"], id="no such variable"),
    pytest.param({"write_keys": [{"key": {"env": "EMPTY"}}]}, ["write_keys.0.key", "EMPTY"], id="an empty variable"),
    pytest.param({"write_keys": [{"key": {"env": "BLANK"}}]}, ["write_keys.0.key"], id="a blank variable"),
    pytest.param({"write_keys": [{"key": {"file": "/no/file"}}]}, ["/no/file"], id="no such file"),
    pytest.param({"write_keys": [{"key": {"file": "FOLDER/empty"}}]}, ["write_keys.0.key"], id="an empty file"),
    pytest.param(
        {"write_keys": [{"key": {"env": "APP_KEY", "file": "FOLDER/key"}}]}, ["0.key", "{env"], id="two places"
    ),
    pytest.param({"write_keys": [{"key": {"vault": "very-secret"}}]}, ["0.key", "{env"], id="a place that is none"),
    pytest.param({"write_key": "wk", "write_key_env": "APP_KEY"}, ["app", "only one"], id="one key twice"),
    pytest.param({"write_keys": [{"key": "wk"}], "write_key": "wk2"}, ["app.write_key"], id="a key and a list"),
    pytest.param({"origins": ORIGIN}, ["app.origins"], id="an origin in place of a list"),
    pytest.param({"origins": [{"host": "x"}]}, ["app.origins.0", "must be text"], id="an origin that is no text"),
    pytest.param({"signing": {"secrets": ["x"]}}, ["app.signing.scheme"], id="signing without a scheme"),
    pytest.param(
        {"signing": {"scheme": "md5", "secrets": ["x"]}}, ["app.signing.scheme", "segment"], id="an unknown scheme"
    ),
    pytest.param({"signing": {"scheme": "segment"}}, ["app.signing.secrets"], id="signing without secrets"),
    pytest.param(
        {"signing": {"scheme": "segment", "secrets": []}}, ["app.signing.secrets"], id="signing with an empty list"
    ),
    pytest.param(
        {"signing": {"scheme": "segment", "secrets": ["a", {"env": "NO_KEY"}]}},
        ["app.signing.secrets.1", "NO_KEY"],
        id="a secret in a variable that is not set",
    ),
    pytest.param(
        {"signing": {"scheme": "header", "secrets": ["x"]}}, ["app.signing", "header"], id="a header that is not named"
    ),
    pytest.param(
        {"signing": {"scheme": "bearer", "secrets": ["x"], "header": "X"}},
        ["app.signing", "header"],
        id="a header that is of no use",
    ),
    pytest.param({"events_per_second": 0}, ["app.events_per_second", "greater than 0"], id="a rate of nothing"),
    pytest.param({"events_per_second": -1}, ["app.events_per_second", "greater than 0"], id="a rate below nothing"),
    pytest.param({"events_per_second": "many"}, ["app.events_per_second", "number"], id="a rate in words"),
    pytest.param({"destination": "amce"}, ["app.destination", "acme"], id="no such destination"),
]


@pytest.mark.parametrize(("changes", "named"), MISTAKES)
def test_a_mistake_is_one_readable_line(changes: Source, named: list[str], settings: Describe) -> None:
    known = {} if "write_key" in str(changes) or not changes else {"write_key": "wk_very-secret"}
    with pytest.raises(BadSettings) as mistake:
        settings(app=known | changes).topology()
    text = str(mistake.value)
    assert [name for name in named if name not in text] == []
    assert "\n" not in text
    assert "very-secret" not in text
    assert "pydantic" not in text


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param({"write_key": "wk_app"}, {"write_key": "wk_app"}, id="as they are"),
        pytest.param(
            {"write_keys": [{"key": "wk_1"}, {"key": "wk_app"}]}, {"write_key_env": "APP_KEY"}, id="in a variable"
        ),
    ],
)
def test_two_sources_with_one_key_are_refused(first: Source, second: Source, settings: Describe) -> None:
    with pytest.raises(BadSettings) as mistake:
        settings(web=first, app=second).topology()
    assert "write_key" in str(mistake.value)
    assert all(name in str(mistake.value) for name in ("app", "web"))
    assert "wk_app" not in str(mistake.value)


class TestPrivacy:
    @staticmethod
    def kept(settings: Describe, properties: dict[str, Any], **privacy: Any) -> tuple[Any, list[str]]:
        described = settings(
            {"privacy": privacy, "identifiers": {"custom": {"loyalty": "traits.loyalty"}}}, app={"write_key": "wk"}
        )
        raw = {"type": "track", "properties": properties, "traits": {"loyalty": "4111111111111111"}}
        found = senders(described)["wk"].plan.guard.inspect(raw, orjson.dumps(raw))
        assert found.event["traits"] == raw["traits"]
        return found.event["properties"], [finding.check for finding in found.findings]

    @pytest.mark.parametrize(
        ("privacy", "properties"),
        [
            pytest.param({}, {"n": "REDACTED", "pin": "REDACTED", "order_id": 4111111111111111}, id="by default"),
            pytest.param({"secret": "drop_field"}, {"n": "REDACTED", "order_id": 4111111111111111}, id="an action"),
            pytest.param(
                {"harmless_names": ["pin"], "id_names": [], "card_number": "off"},
                {"n": "4111 1111 1111 1111", "pin": "1", "order_id": 4111111111111111},
                id="names that are no secrets",
            ),
            pytest.param(
                {"id_names": [], "deny": ["properties.n"], "denied": "redact", "secret_names": ["Order Id"]},
                {"n": "REDACTED", "pin": "REDACTED", "order_id": "REDACTED"},
                id="names that are secrets, and a deny-list",
            ),
            pytest.param({"allow": ["properties.pin"]}, {"pin": "REDACTED"}, id="an allow-list"),
        ],
    )
    def test_is_what_the_guard_does(
        self, privacy: dict[str, Any], properties: dict[str, Any], settings: Describe
    ) -> None:
        given = {"n": "4111 1111 1111 1111", "pin": "1", "order_id": 4111111111111111}
        assert self.kept(settings, given, **privacy)[0] == properties

    def test_has_an_action_for_every_check(self) -> None:
        fields = Privacy.model_fields
        assert {check.value for check in Check} <= fields.keys()
        assert {check: fields[check.value].default for check in Check} == BY_DEFAULT

    @pytest.mark.parametrize(
        ("privacy", "named"),
        [
            pytest.param({"iban": "remove"}, ["acme.privacy.iban", "redact"], id="no such action"),
            pytest.param({"deny": ["health"]}, ["acme.privacy.deny.0", "properties, traits or context"], id="no path"),
            pytest.param({"allow": ["traits"]}, ["acme.privacy.allow.0"], id="a whole part"),
            pytest.param({"allow": ["traits..x"]}, ["acme.privacy.allow.0"], id="a path with a gap"),
            pytest.param({"cards": "off"}, ["acme.privacy.cards"], id="an unknown name"),
        ],
    )
    def test_a_mistake_is_one_readable_line(
        self, privacy: dict[str, Any], named: list[str], settings: Describe
    ) -> None:
        with pytest.raises(BadSettings) as mistake:
            settings({"privacy": privacy}, app={"write_key": "wk"}).topology()
        assert [name for name in named if name not in str(mistake.value)] == []
        assert "\n" not in str(mistake.value)
