"""When syncs run: at the times of their schedule, each once, and never for times before the process began."""

from datetime import UTC, datetime, timedelta

from app.rows.schedule import Schedule

START = datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC)
HOURLY = {"hourly": "0 * * * *"}


def test_a_sync_is_due_once_at_each_of_its_times() -> None:
    schedule = Schedule(START)
    assert schedule.due(HOURLY, START) == []
    assert schedule.due(HOURLY, START + timedelta(minutes=59)) == []
    assert schedule.due(HOURLY, START + timedelta(hours=1)) == ["hourly"]
    assert schedule.due(HOURLY, START + timedelta(hours=1, seconds=1)) == []


def test_times_that_passed_while_the_process_slept_count_once() -> None:
    schedule = Schedule(START)
    assert schedule.due(HOURLY, START) == []
    assert schedule.due(HOURLY, START + timedelta(hours=5)) == ["hourly"]
    assert schedule.due(HOURLY, START + timedelta(hours=5, minutes=10)) == []


def test_a_new_schedule_begins_when_it_is_read() -> None:
    schedule = Schedule(START)
    later = START + timedelta(minutes=10)
    assert schedule.due(HOURLY, later) == []
    assert schedule.due({"hourly": "20 * * * *"}, later) == []
    assert schedule.due({"hourly": "20 * * * *"}, START + timedelta(minutes=20)) == ["hourly"]


def test_it_sleeps_until_the_next_time_and_at_most_a_minute() -> None:
    schedule = Schedule(START)
    schedule.due(HOURLY, START)
    assert schedule.wait(HOURLY, START) == timedelta(minutes=1)
    assert schedule.wait(HOURLY, START + timedelta(minutes=59)) == timedelta(seconds=30)
    assert schedule.wait({}, START) == timedelta(minutes=1)
