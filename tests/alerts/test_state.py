"""The state of one alert, and what channels are told of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time
from itertools import pairwise
from typing import Final
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.alerts.routing import Channel, QuietHours
from app.alerts.rules import Thresholds
from app.alerts.state import CLEAR_MS, FLAP_MS, MOST_MESSAGES, AlertState, Kind, Level, Notice, announce, step
from tests.generated import examples

LIMITS: Final = Thresholds(warning=10, critical=100)
LOOK_MS: Final = 5_000
START: Final = 1_800_000_000_000


@dataclass
class Watch:
    """One alert, looked at every 5 s."""

    channels: Sequence[Channel] = (Channel("team"),)
    thresholds: Thresholds = LIMITS
    now: int = START
    state: AlertState = field(default_factory=AlertState)
    told: list[tuple[int, Notice]] = field(default_factory=list)

    def look(self, *values: float, muted: bool = False) -> str:
        for value in values:
            self.now += LOOK_MS
            self.state, notices = announce(
                step(self.state, value, self.thresholds, self.now), self.channels, self.now, muted=muted
            )
            self.told += [(self.now, notice) for notice in notices]
        return self.state.name

    def hold(self, value: float, seconds: float, *, muted: bool = False) -> str:
        return self.look(*[value] * int(seconds * 1000 // LOOK_MS), muted=muted)

    @property
    def kinds(self) -> list[Kind]:
        return [notice.kind for _, notice in self.told]


class TestTheLevel:
    def test_a_value_above_a_threshold_is_an_alert_at_once_where_no_time_is_stated(self) -> None:
        watch = Watch()
        assert (watch.look(10), watch.look(11), watch.look(101)) == ("ok", "warning", "critical")
        assert watch.kinds == [Kind.TRIGGER, Kind.ESCALATION]

    def test_it_must_last_for_the_time_of_the_rule(self) -> None:
        watch = Watch(thresholds=Thresholds(10, None, for_s=60))
        assert watch.hold(11, 60) == "pending"
        assert watch.look(11) == "warning"
        assert watch.kinds == [Kind.TRIGGER]

    def test_a_condition_that_ends_earlier_is_none(self) -> None:
        watch = Watch(thresholds=Thresholds(10, None, for_s=60))
        watch.hold(11, 55)
        assert watch.look(9) == "ok"
        assert watch.hold(11, 55) == "pending"
        assert watch.told == []

    def test_it_ends_below_80_percent_of_the_threshold(self) -> None:
        watch = Watch()
        watch.look(11)
        assert watch.hold(9, 60) == "warning"
        assert watch.look(8, 8, 8) == "ok"
        assert watch.kinds == [Kind.TRIGGER, Kind.RECOVERY]

    def test_a_critical_alert_stays_critical_until_it_ends(self) -> None:
        watch = Watch()
        watch.look(101)
        assert watch.hold(11, 60) == "critical"
        assert watch.look(0, 0, 0) == "ok"
        assert watch.kinds == [Kind.TRIGGER, Kind.RECOVERY]

    def test_a_look_that_finds_nothing_ends_no_alert(self) -> None:
        watch = Watch()
        watch.look(11, 0, 11, 0, 11)
        assert watch.kinds == [Kind.TRIGGER]

    def test_a_threshold_of_0_is_passed_by_any_number(self) -> None:
        watch = Watch(thresholds=Thresholds(0, None))
        assert watch.look(0) == "ok"
        assert watch.look(1) == "warning"
        assert watch.look(0, 0, 0) == "ok"

    def test_a_rule_without_thresholds_ends_what_it_began(self) -> None:
        watch = Watch()
        watch.look(101)
        watch.thresholds = Thresholds(None, None)
        assert watch.look(0, 0, 0) == "ok"


class TestWhoIsTold:
    def test_a_channel_of_critical_alerts_hears_of_no_warning(self) -> None:
        watch = Watch([Channel("team"), Channel("on-call", Level.CRITICAL)])
        watch.look(11, 0, 0, 0)
        assert {notice.channel for _, notice in watch.told} == {"team"}
        watch.look(101)
        assert [notice.kind for _, notice in watch.told if notice.channel == "on-call"] == [Kind.TRIGGER]

    def test_who_is_asked_second_hears_of_alerts_that_last(self) -> None:
        watch = Watch([Channel("second", after_s=600)])
        assert watch.hold(11, 600) == "warning"
        assert watch.told == []
        watch.look(11)
        assert watch.kinds == [Kind.TRIGGER]

    def test_an_alert_is_repeated_where_that_is_wanted(self) -> None:
        watch = Watch([Channel("team", repeat_s=3600)])
        watch.hold(11, 7300)
        assert watch.kinds == [Kind.TRIGGER, Kind.REMINDER, Kind.REMINDER]

    def test_recoveries_can_be_left_out(self) -> None:
        watch = Watch([Channel("team", recoveries=False)])
        watch.look(11, 0, 0, 0)
        watch.hold(0, FLAP_MS / 1000)
        assert watch.kinds == [Kind.TRIGGER]
        assert watch.state.is_over

    def test_while_it_is_muted_nothing_is_sent_but_that_an_alert_has_ended(self) -> None:
        watch = Watch()
        watch.look(11)
        watch.look(101, muted=True)
        watch.look(0, 0, 0, muted=True)
        assert watch.kinds == [Kind.TRIGGER, Kind.RECOVERY]

    def test_what_is_still_so_after_a_mute_is_sent_then(self) -> None:
        watch = Watch()
        watch.hold(11, 600, muted=True)
        assert watch.told == []
        watch.look(11)
        assert watch.kinds == [Kind.TRIGGER]


@pytest.mark.parametrize(
    ("channel", "rule", "destination", "concerned"),
    [
        pytest.param(Channel("c"), "held", "acme", True, id="it gets everything"),
        pytest.param(Channel("c", destinations=frozenset({"acme"})), "held", "acme", True, id="its destination"),
        pytest.param(Channel("c", destinations=frozenset({"acme"})), "held", "other", False, id="another destination"),
        pytest.param(Channel("c", destinations=frozenset({"acme"})), "redis_memory", None, True, id="of none"),
        pytest.param(Channel("c", rules=frozenset({"held"})), "held", "acme", True, id="its rule"),
        pytest.param(Channel("c", rules=frozenset({"held"})), "redis_memory", None, False, id="another rule"),
    ],
)
def test_a_channel_gets_the_alerts_of_its_destinations_and_rules(
    channel: Channel, rule: str, destination: str | None, concerned: bool
) -> None:
    assert channel.concerns(rule, destination) is concerned


class TestQuietHours:
    NIGHT: Final = QuietHours(time(22), time(7), ZoneInfo("America/New_York"))

    @pytest.mark.parametrize(
        ("utc", "quiet"),
        [
            pytest.param("2026-01-15T02:59", False, id="21:59 in New York"),
            pytest.param("2026-01-15T03:00", True, id="22:00 in New York"),
            pytest.param("2026-01-15T11:59", True, id="06:59 in New York"),
            pytest.param("2026-01-15T12:00", False, id="07:00 in New York"),
            pytest.param("2026-07-15T02:00", True, id="22:00 in summer"),
        ],
    )
    def test_are_by_the_clock_of_their_time_zone(self, utc: str, quiet: bool) -> None:
        moment = datetime.fromisoformat(utc).replace(tzinfo=UTC)
        assert self.NIGHT.include(int(moment.timestamp() * 1000)) is quiet

    def test_hold_warnings_back_and_let_critical_alerts_through(self) -> None:
        began = int(datetime(2026, 1, 15, 4, tzinfo=UTC).timestamp() * 1000)
        watch = Watch([Channel("team", quiet=self.NIGHT)], now=began)
        watch.hold(11, 3600)
        assert watch.told == []
        watch.look(101)
        assert watch.kinds == [Kind.TRIGGER]

    def test_what_is_still_so_in_the_morning_is_sent_then(self) -> None:
        began = int(datetime(2026, 1, 15, 4, tzinfo=UTC).timestamp() * 1000)
        watch = Watch([Channel("team", quiet=self.NIGHT)], now=began)
        watch.hold(11, 8 * 3600 + 60)
        assert watch.kinds == [Kind.TRIGGER]
        assert watch.told[0][0] == int(datetime(2026, 1, 15, 12, tzinfo=UTC).timestamp() * 1000)


def test_a_condition_that_flaps_20_times_in_10_minutes_sends_3_messages_and_then_how_it_ended() -> None:
    watch = Watch()
    for _ in range(10):
        watch.hold(11, 30)
        watch.hold(0, 30)
    assert watch.kinds == [Kind.TRIGGER, Kind.RECOVERY, Kind.TRIGGER]
    assert [notice.flapping for _, notice in watch.told] == [False, False, True]
    watch.hold(0, FLAP_MS / 1000)
    assert watch.kinds[3:] == [Kind.RECOVERY]
    watch.hold(0, FLAP_MS / 1000)
    assert watch.state.is_over


def test_the_first_critical_message_is_sent_however_often_it_flapped() -> None:
    watch = Watch()
    for _ in range(5):
        watch.hold(11, 30)
        watch.hold(0, 30)
    watch.look(101)
    assert watch.told[-1][1].level is Level.CRITICAL


def test_a_state_survives_its_stored_form() -> None:
    watch = Watch()
    watch.look(11, 101)
    assert AlertState.from_json(watch.state.to_json()) == watch.state
    assert AlertState.from_json(b'{"level": "?"}') == AlertState()


values = st.lists(st.sampled_from([0.0, 8.0, 9.0, 11.0, 101.0]), max_size=200)


@examples(100)
@given(values, st.sampled_from([0.0, 12.0]))
def test_triggers_and_recoveries_alternate_and_are_few(looks: list[float], for_s: float) -> None:
    watch = Watch(thresholds=Thresholds(10, 100, for_s))
    watch.look(*looks)
    ends = [kind for kind in watch.kinds if kind is not Kind.ESCALATION]
    assert ends == [(Kind.TRIGGER, Kind.RECOVERY)[place % 2] for place in range(len(ends))]
    times = [at for at, _ in watch.told]
    within = [sum(start <= at < start + FLAP_MS for at in times) for start in times]
    assert max(within, default=0) <= MOST_MESSAGES + 1, "one more for the first critical message"


@examples(100)
@given(values)
def test_once_it_is_quiet_for_long_enough_every_channel_knows_that_it_has_ended(looks: list[float]) -> None:
    watch = Watch()
    watch.look(*looks)
    watch.hold(0, 2 * FLAP_MS / 1000)
    assert watch.state.is_over
    assert watch.kinds[-1:] in ([], [Kind.RECOVERY])


@examples(100)
@given(values)
def test_no_alert_ends_within_less_than_the_time_that_it_must_be_clear(looks: list[float]) -> None:
    watch = Watch()
    levels = []
    for value in looks:
        watch.look(value)
        levels.append((watch.now, watch.state.level, value))
    for (_, before, _), (now, after, _) in pairwise(levels):
        if before and not after:
            since = [value for at, _, value in levels if now - CLEAR_MS <= at <= now]
            assert max(since) <= 8
