"""A server's library that posts to a public source is a hint in the log, once a day, and changes nothing else."""

import pytest
from structlog.testing import capture_logs

from app.ingest.auth import Sender
from app.ingest.server_library import HINT_EVERY_S, ServerLibraryHint
from app.pipeline import Plan
from tests.builders import track
from tests.fakes import WRITE_KEY, open_intake


@pytest.mark.parametrize(
    ("agent", "library"),
    [
        pytest.param("analytics-python/2.4.0", "analytics-python", id="python"),
        pytest.param("analytics-node-next/latest", "analytics-node-next", id="node"),
        pytest.param("analytics-go (version: 3.0.0)", "analytics-go", id="go"),
        pytest.param("analytics-java/3.5.5", "analytics-java", id="java"),
        pytest.param("python-requests/2.32", "python-requests", id="an old python"),
        pytest.param("Mozilla/5.0 analytics-python/2.4.0", None, id="a browser"),
        pytest.param("analytics-ios/1.9.4", None, id="a phone"),
        pytest.param("analytics-kotlin/1.24.1", None, id="another phone"),
        pytest.param("", None, id="none"),
    ],
)
def test_libraries_of_servers_are_known_by_their_user_agent(agent: str, library: str | None) -> None:
    with capture_logs() as logged:
        ServerLibraryHint().see("web", {b"user-agent": agent.encode()})
    assert [each["library"] for each in logged] == ([] if library is None else [library])


def test_a_hint_is_logged_once_a_day_for_each_source() -> None:
    moments = [0.0]
    hint = ServerLibraryHint(clock=lambda: moments[-1])
    agent = {b"user-agent": b"analytics-python/2.4.0"}
    with capture_logs() as logged:
        for moment in (0.0, 10.0, HINT_EVERY_S + 1):
            moments.append(moment)
            for source in ("web", "app"):
                hint.see(source, agent)
    assert [each["source"] for each in logged] == ["web", "app"] * 2


@pytest.mark.parametrize("public", [True, False], ids=["public", "trusted"])
async def test_the_intake_looks_at_public_sources_alone(public: bool) -> None:
    intake = open_intake(senders={WRITE_KEY: Sender("web", "acme", Plan(public=public))})
    intake.http.headers["user-agent"] = "analytics-python/2.4.0"
    with capture_logs() as logged:
        async with intake.http:
            answer = await intake.post("/v1/track", track("x", timestamp=None))
    assert answer.status_code == 200
    assert [each["event"] for each in logged if each["event"].startswith("source.")] == (
        ["source.server_library"] if public else []
    )
