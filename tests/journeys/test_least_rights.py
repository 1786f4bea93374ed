"""The Redis user of docs/security.md may do all that gateway, worker and operator need, and asks for nothing else."""

import re
import shlex
from pathlib import Path
from typing import Final

import pytest
import redis

from app.embedded import RedisBinary
from tests.stack import API_TOKEN, WRITE_KEY, message_id, stack, wait_until

PAGE: Final = Path(__file__).parents[2] / "docs" / "security.md"


@pytest.mark.timeout(120)
def test_all_works_as_the_user_that_the_documents_recommend(redis_binary: RedisBinary, tmp_path: Path) -> None:
    (recommended,) = re.findall(r"^    (ACL SETUSER gateway .+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    with stack(tmp_path, redis_binary) as running:
        for name in ("gateway", "worker"):
            running.stop(name)
        admin = redis.Redis(port=running.redis_port)
        admin.flushall()
        assert admin.execute_command(*shlex.split(recommended))  # type: ignore[no-untyped-call]
        url = f"redis://gateway:PASSWORD@127.0.0.1:{running.redis_port}/0"
        running.environment["GATEWAY_REDIS_URL"] = url
        for name in ("gateway", "worker"):
            running.start(name)

        who = {"userId": "u-1", "context": {"traits": {"email": "ada@example.com"}}}
        events = [
            {"type": "identify", "userId": "u-1", "traits": {"email": "ada@example.com"}},
            {"type": "track", "event": "Signed Up", **who},
            {"type": "track", "event": "Product Viewed", "properties": {"price": "free"}, **who},
        ]
        batch = [{**event, "messageId": message_id()} for event in events]
        assert running.post("/v1/batch", {"batch": batch}).status_code == 200
        wait_until(
            lambda: running.ended("delivered") == 2 and running.ended("dead_lettered", "unmappable") == 1, "all ended"
        )
        for command in (
            ("trace", batch[1]["messageId"]),
            ("destinations", "list"),
            ("destinations", "resume"),
            ("attributes", "list"),
            ("unknown-outcomes", "list"),
            ("dead-letters", "replay", "--all", "--yes"),
            ("dead-letters", "purge", "--all", "--yes"),
            ("forget", "--email", "ada@example.com", "--wait"),
            ("receipts", "list"),
        ):
            answer = running.run(*command)
            assert answer.returncode == 0, answer.stderr
        denied = {entry["object"] for entry in list(admin.acl_log())}  # type: ignore[arg-type]
        assert denied <= {"client"}, "Redis 6.2 denies redis-py to name itself, which does not need it"
        admin.close()
    stored = b"".join(path.read_bytes() for path in tmp_path.rglob("*.aof"))
    assert str(batch[1]["messageId"]).encode() in stored
    for secret in (API_TOKEN, WRITE_KEY):
        assert secret.encode() not in stored, "secrets are in no command that Redis was sent"
