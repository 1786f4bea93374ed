"""The YAML file: each mistake is reported with its line, its key and what was expected, but never with the value."""

import hashlib
from pathlib import Path
from typing import Final

import pytest

from app.config.document import BadFile, Mistake
from app.config.topology import load_file

GOOD: Final = """\
destinations:
  acme:
    api_token: very-secret-token
    default_region: NO
    limits: {identity: 20}
sources:
  web:
    write_keys:
      - key: very-secret-1
      - {key: very-secret-2, retiring: yes}
    destination: acme
    origins: ["https://shop.example"]
  hook:
    write_key: very-secret-3
    destination: acme
    signing: {scheme: header, header: X-Token, secrets: [very-secret-4]}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "gateway.yaml"


def mistakes_in(file: Path, content: str | bytes) -> tuple[Mistake, ...]:
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(BadFile) as found:
        load_file(file)
    assert "very-secret" not in str(found.value)
    assert "\n" not in str(found.value)
    return found.value.mistakes


def test_words_are_words(file: Path) -> None:
    """Norway is no `false`, and a key that says `yes` is true where true or false is asked for."""
    file.write_text(GOOD)
    topology = load_file(file).topology
    assert topology.destinations["acme"].default_region == "NO"
    assert topology.sources["web"].write_keys[1].retiring is True


MISTAKES: Final = [
    pytest.param(
        "default_region: NO",
        "identifiers: {secondary_attribute: mail}",
        4,
        "identifiers.secondary_attribute",
        "needs `primary",
        id="another contact where none is primary",
    ),
    pytest.param(
        "default_region: NO", "deliver: test_people", 4, "acme.deliver", "is empty", id="test people without any"
    ),
    pytest.param(
        "default_region: NO", "test_people: [a@b.co, nobody]", 4, "test_people.1", "must be an e-mail", id="no person"
    ),
    pytest.param("default_region: NO", "regoin: NO", 4, "destinations.acme.regoin", "unknown here", id="unknown"),
    pytest.param(
        "default_region: NO", "defaultregion: NO", 4, "acme.defaultregion", "mean default_region?", id="a misspelt key"
    ),
    pytest.param(
        "api_token:", "api_tokn_file:", 3, "acme.api_tokn_file", "did you mean api_token_file?", id="another form of it"
    ),
    pytest.param("default_region: NO", "default_region: Norway", 4, "acme.default_region", "two-letter", id="a value"),
    pytest.param("{identity: 20}", "{identity: .inf}", 5, "acme.limits.identity", "finite", id="a rate without end"),
    pytest.param("{identity: 20}", "{identity: .nan}", 5, "acme.limits.identity", "", id="a rate that is no number"),
    pytest.param(
        "limits: {identity: 20}",
        "unknown_outcomes: {purchase: panic}",
        5,
        "unknown_outcomes.purchase",
        "give_up",
        id="no policy",
    ),
    pytest.param(
        "limits: {identity: 20}",
        "unknown_outcomes: {puchase: review}",
        5,
        "unknown_outcomes.puchase",
        "mean purchase?",
        id="a policy of nothing",
    ),
    pytest.param(
        "limits: {identity: 20}",
        "unknown_outcomes: {subscribe: send_again}",
        5,
        "unknown_outcomes.subscribe",
        "must be one of verify, review, give_up: a repeated call texts the person again",
        id="a policy that texts people twice",
    ),
    pytest.param(
        "limits: {identity: 20}",
        "subscriptions: {opt_in: [{event: Joined}]}",
        5,
        "opt_in.0",
        "give exactly one of sign_up_source and locale",
        id="no source",
    ),
    pytest.param(
        "limits: {identity: 20}",
        "subscriptions: {opt_in: [{event: J, sign_up_source: '1', locale: {language: en, country: US}}]}",
        5,
        "opt_in.0",
        "exactly one",
        id="two sources",
    ),
    pytest.param(
        "limits: {identity: 20}",
        "subscriptions: {opt_in: [{event: J, sign_up_source: 123}]}",
        5,
        "opt_in.0.sign_up_source",
        "must be text",
        id="a source that is no text",
    ),
    pytest.param(
        "limits: {identity: 20}",
        "subscriptions: {opt_in: [{sign_up_source: '1'}]}",
        5,
        "opt_in.0",
        "give either event",
        id="no occasion",
    ),
    pytest.param(
        "limits: {identity: 20}",
        "subscriptions: {opt_in: [{event: J, trait: sms, is: true, sign_up_source: '1'}]}",
        5,
        "opt_in.0",
        "give either",
        id="two occasions",
    ),
    pytest.param(
        "limits: {identity: 20}",
        "subscriptions: {opt_in: [{trait: sms, sign_up_source: '1'}]}",
        5,
        "opt_in.0",
        "is: belongs to",
        id="a trait without its value",
    ),
    pytest.param(
        "limits: {identity: 20}",
        "subscriptions: {opt_in: [{event: J, locale: {language: EN, country: US}}]}",
        5,
        "locale.language",
        "two lower-case letters",
        id="a language in capitals",
    ),
    pytest.param(
        "limits: {identity: 20}",
        "subscriptions: {opt_in: [{event: J, singleOptIn: true, sign_up_source: '1'}]}",
        5,
        "opt_in.0.singleOptIn",
        "unknown here",
        id="single opt-in",
    ),
    pytest.param(
        "limits: {identity: 20}",
        "subscriptions: {opt_in: [{event: J, chanels: text, sign_up_source: '1'}]}",
        5,
        "opt_in.0.chanels",
        "did you mean channels?",
        id="a misspelt key of a rule",
    ),
    pytest.param(
        "limits: {identity: 20}",
        "subscriptions: {opt_out: [{event: J, channels: []}]}",
        5,
        "opt_out.0.channels",
        "at least 1",
        id="no channel",
    ),
    pytest.param(
        "limits: {identity: 20}", f"erasure: {{receipt_days: {10**30}}}", 5, "receipt_days", "36500", id="for ever"
    ),
    pytest.param(
        "limits: {identity: 20}",
        f"delivery: {{starvation_seconds: {10**30}}}",
        5,
        "starvation_seconds",
        "31536000",
        id="an endless limit",
    ),
    pytest.param("{identity: 20}", "{identities: 2}", 5, "acme.limits.identities", "mean identity?", id="an endpoint"),
    pytest.param("destination: acme\n    or", "destination: acne\n    or", 11, "web.destination", "acme", id="a name"),
    pytest.param("    destination: acme\n    or", "    or", 7, "sources.web.destination", "is required", id="missing"),
    pytest.param("very-secret-2", "very-secret-1", 10, "web.write_keys.1.key", "also a write key of web", id="twice"),
    pytest.param("very-secret-3", "very-secret-1", 14, "hook.write_key", "also a write key of web", id="of two"),
    pytest.param('"https://shop', '"shop', 12, "web.origins.0", "scheme and a host", id="an origin without scheme"),
    pytest.param("shop.example", "shop.example/", 12, "web.origins.0", "no path", id="an origin with a path"),
    pytest.param("shop.example", "shop.example:443", 12, "web.origins.0", "without :443", id="an origin's usual port"),
    pytest.param(
        "shop.example", "shop.example:", 12, "web.origins.0", "scheme and a host", id="an origin's empty port"
    ),
    pytest.param("shop.example", "schön.example", 12, "web.origins.0", "punycode", id="an origin in other letters"),
    pytest.param("X-Token", "X Token", 16, "hook.signing.header", "HTTP header", id="a header that is none"),
    pytest.param("scheme: header,", "scheme: md5,", 16, "hook.signing.scheme", "'segment'", id="one of several"),
    pytest.param("[very-secret-4]", "very-secret-4", 16, "hook.signing.secrets", "must be a list", id="no list"),
    pytest.param("  web:", "  Web Shop:", 7, "sources.Web Shop", "lower-case", id="a name in capitals"),
    pytest.param("write_key: very", "write_key_env: very", 14, "hook.write_key_env", "in capitals", id="no variable"),
    pytest.param("write_key: very", "write_key_file: very", 14, "write_key_file", "cannot read the file", id="no file"),
    pytest.param("write_key: very-secret-3", "write_key: ''", 14, "hook.write_key", "must not be empty", id="empty"),
    pytest.param("retiring: yes", "retiring: soon", 10, "web.write_keys.1.retiring", "boolean", id="true or false"),
    pytest.param("  hook:", "  web:", 13, "sources.web", "is repeated; it is first in line 7", id="a name twice"),
    pytest.param(
        "{identity: 20}", "{identity: 20, identity: 3}", 5, "acme.limits.identity", "line 5", id="a key twice"
    ),
    pytest.param("very-secret-token", "very: secret", 3, "", "not YAML: it has two colons", id="two colons in a line"),
    pytest.param("very-secret-token", "!very-secret", 3, "", "not YAML", id="a tag"),
    pytest.param("very-secret-token", "*very-secret", 3, "", "not YAML", id="an alias of nothing"),
    pytest.param("very-secret-token", "a\x07b", 3, "", "characters that YAML forbids", id="a bell"),
    pytest.param("    api_token:", "\tapi_token:", 3, "", r"it is indented with a tab", id="a tab"),
]


@pytest.mark.parametrize(("old", "new", "line", "where", "expected"), MISTAKES)
def test_a_mistake_is_told_with_its_line(old: str, new: str, line: int, where: str, expected: str, file: Path) -> None:
    assert GOOD.count(old) == 1
    (mistake,) = (each for each in mistakes_in(file, GOOD.replace(old, new)) if "is required, or" not in each.expected)
    assert mistake.line == line
    assert mistake.where.endswith(where)
    assert expected in mistake.expected


def test_what_is_missing_is_told_with_its_other_forms(file: Path) -> None:
    (mistake,) = mistakes_in(file, GOOD.replace("    write_key: very-secret-3\n", ""))
    assert str(mistake) == "sources.hook.write_keys: is required, or write_key or write_key_env or write_key_file"


def test_all_mistakes_are_told_at_once_by_line(file: Path) -> None:
    found = mistakes_in(file, GOOD.replace("NO", "N").replace("X-Token", "X Token").replace("acme\n", "acne\n"))
    assert [mistake.line for mistake in found] == [4, 16]
    found = mistakes_in(file, GOOD.replace("acme\n", "acne\n"))
    assert [mistake.line for mistake in found] == [11, 15]


def test_a_file_in_other_letters_names_the_line(file: Path) -> None:
    (mistake,) = mistakes_in(file, GOOD.encode() + b"# caf\xe9\n")
    assert (mistake.line, mistake.expected) == (17, "not text in UTF-8")


def test_a_mapping_in_itself_is_no_endless_loop(file: Path) -> None:
    assert mistakes_in(file, "destinations: &all\n  acme: *all\nsources: *all\n")


def test_one_mapping_may_be_used_twice(file: Path) -> None:
    file.write_text(GOOD.replace("destination: acme\n    or", "<<: &rest {destination: acme}\n    or", 1))
    assert load_file(file).topology.sources["web"].destination == "acme"


def test_a_mistake_in_what_is_used_twice_is_told_where_it_is_written(file: Path) -> None:
    content = GOOD.replace("destination: acme\n    or", "<<: &rest {destination: acne}\n    or", 1)
    assert [mistake.line for mistake in mistakes_in(file, content)] == [11]


class TestWithoutItsSecrets:
    """In CI, say."""

    def test_a_file_is_checked_all_the_same(self, file: Path) -> None:
        content = GOOD.replace("api_token: very-secret-token", "api_token_env: NOT_SET_HERE")
        file.write_text(content.replace("write_key: very-secret-3", "write_key_file: /run/secrets/not-here"))
        loaded = load_file(file, secrets_needed=False)
        assert loaded.unknown_secrets == 2
        assert [*loaded.files] == [file, Path("/run/secrets/not-here")]

    def test_one_secret_for_two_is_a_mistake_all_the_same(self, file: Path) -> None:
        content = GOOD.replace("very-secret-1", "{env: NOT_SET_HERE}").replace("very-secret-2", "{env: NOT_SET_HERE}")
        file.write_text(content)
        with pytest.raises(BadFile, match="also a write key"):
            load_file(file, secrets_needed=False)


def test_nothing_in_it_is_a_mistake(file: Path) -> None:
    (mistake,) = mistakes_in(file, "")
    assert (mistake.line, mistake.where, mistake.expected) == (1, "", "must be a mapping of keys to values")


def test_what_runs_is_known_by_the_files_own_digest(file: Path) -> None:
    file.write_bytes(GOOD.encode())
    assert load_file(file).sha256 == hashlib.sha256(GOOD.encode()).hexdigest()
