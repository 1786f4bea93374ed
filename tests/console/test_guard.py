"""What every request and answer of the console passes: other sites, other names, large forms, and headers."""

from pathlib import Path

import pytest
import yaml
from redis.asyncio import Redis

from app.config.bad_settings import BadSettings
from app.console.app import create_console
from app.console.guard import MOST_BODY_BYTES
from app.settings import load_settings
from tests.console.opened import Opened, configuration, opened

FORM = {"user": "vera", "password": "wrong"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({"sec-fetch-site": "same-origin"}, 401, id="of the console itself"),
        pytest.param({"sec-fetch-site": "none"}, 401, id="of nobody but the user"),
        pytest.param({"sec-fetch-site": "cross-site"}, 403, id="of another site"),
        pytest.param({"sec-fetch-site": "same-site"}, 403, id="of a sister site"),
        pytest.param({"origin": "http://127.0.0.1:8083"}, 401, id="of the console, in an older browser"),
        pytest.param({"origin": "http://127.0.0.1:9999"}, 403, id="of another port, in an older browser"),
        pytest.param({"origin": "null"}, 403, id="of a file or a frame, in an older browser"),
        pytest.param({}, 401, id="of no browser"),
    ],
)
async def test_a_form_is_taken_from_the_console_alone(console: Opened, headers: dict[str, str], status: int) -> None:
    assert (await console.client().post("/sign-in", data=FORM, headers=headers)).status_code == status


@pytest.mark.parametrize("path", ["/sign-in", "/", "/static/console.css", "/no-such-page", "/healthz"])
async def test_every_answer_has_the_headers(console: Opened, path: str) -> None:
    headers = (await console.client().get(path)).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    assert "*" not in policy
    assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "no-referrer")
    assert headers["cache-control"] == ("no-store" if "static" not in path else "public, max-age=31536000, immutable")


async def test_a_large_form_is_refused(console: Opened) -> None:
    answer = await console.client().post("/sign-in", content=b"a" * (MOST_BODY_BYTES + 1))
    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("host", "status"),
    [
        pytest.param("127.0.0.1:8083", 200, id="this machine"),
        pytest.param("localhost:8083", 200, id="this machine by name"),
        pytest.param("[::1]:8083", 200, id="this machine in IPv6"),
        pytest.param("evil.example:8083", 421, id="a name that another site points here"),
        pytest.param("", 421, id="no name"),
    ],
)
async def test_without_a_sign_in_only_this_machine_is_served(
    tmp_path: Path, url: str, redis: Redis, host: str, status: int
) -> None:
    async with opened(tmp_path, url, configuration(sign_in="none")) as console:
        assert (await console.client().get("/", headers={"host": host})).status_code == status


@pytest.mark.parametrize(
    ("host", "console", "environment"),
    [
        pytest.param("0.0.0.0", {"sign_in": "none"}, {}, id="a file that asks for none"),
        pytest.param("10.0.0.7", None, {}, id="nothing at all"),
    ],
)
def test_no_console_without_a_sign_in_listens_to_others(
    tmp_path: Path, host: str, console: dict[str, str] | None, environment: dict[str, str]
) -> None:
    file = tmp_path / "gateway.yaml"
    content = configuration()
    del content["console"]
    file.write_text(yaml.safe_dump(content | ({"console": console} if console else {})))
    with pytest.raises(BadSettings, match=r"loopback|without a sign-in"):
        create_console(load_settings(config=file, **environment), host=host)


async def test_a_redis_that_is_away_is_told_on_a_page(tmp_path: Path) -> None:
    async with opened(tmp_path, "redis://127.0.0.1:1/0", configuration(sign_in="none")) as console:
        answer, ready = await console.client().get("/"), await console.client().get("/readyz")
    assert (answer.status_code, ready.status_code) == (503, 503)
    assert "redis_unreachable" in answer.text


async def test_a_console_with_its_redis_is_ready(console: Opened) -> None:
    assert (await console.client().get("/readyz")).json() == {"status": "ready"}
