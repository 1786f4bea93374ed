"""What wrk prints is read right, and a failed request never passes for a fast one."""

import pytest

from benchmarks.event import CONNECTIONS
from benchmarks.failure import BenchmarkFailed
from benchmarks.measure import check_kept
from benchmarks.wrk import Load, read_output

FIGURES = (
    'figures {"requests":%d,"micros":4000000,"p50_us":6200,"p99_us":9800,'
    '"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d}'
)


def output(requests: int = 40_000, *failures: int) -> str:
    figures = FIGURES % (requests, *(failures or (0, 0, 0, 0, 0)))
    return f"Running 4s test @ http://127.0.0.1:9999\n  1 threads and 64 connections\n{figures}\n"


def test_the_figures_are_those_that_the_script_prints_at_the_end() -> None:
    load = read_output(output())

    assert load == Load(requests=40_000, seconds=4.0, p50_ms=6.2, p99_ms=9.8)
    assert load.per_second == 10_000


@pytest.mark.parametrize(
    ("printed", "said"),
    [
        pytest.param(output(40_000, 3, 0, 0, 0, 0), "3 failed connects", id="a connection was refused"),
        pytest.param(output(40_000, 0, 3, 0, 0, 0), "3 failed reads", id="a connection was cut"),
        pytest.param(output(40_000, 0, 0, 3, 0, 0), "3 failed writes", id="a request was not sent"),
        pytest.param(output(40_000, 0, 0, 0, 3, 0), "3 answers other than 200", id="a request was refused"),
        pytest.param(output(40_000, 0, 0, 0, 0, 3), "3 requests without an answer", id="a request was forgotten"),
        pytest.param(output(0), "no request was answered", id="nothing was answered"),
        pytest.param("unable to connect to 127.0.0.1:9999", "unable to connect", id="wrk gave up"),
        pytest.param("", "it printed nothing", id="wrk said nothing"),
    ],
)
def test_a_run_with_failures_gives_no_figures(printed: str, said: str) -> None:
    with pytest.raises(BenchmarkFailed, match=said):
        read_output(printed)


@pytest.mark.parametrize("kept", [1_000, 1_000 + CONNECTIONS])
def test_requests_under_way_at_the_end_may_be_kept_too(kept: int) -> None:
    check_kept("this gateway", 1_000, kept)


@pytest.mark.parametrize("kept", [999, 1_001 + CONNECTIONS])
def test_a_server_that_keeps_fewer_or_more_than_it_answered_fails(kept: int) -> None:
    with pytest.raises(BenchmarkFailed, match="this gateway: 1,000 events were answered"):
        check_kept("this gateway", 1_000, kept)
