"""A server of S3's protocol in this process: objects in memory, as far as sources and states use them."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from tests.local import serving_http


@dataclass
class Store:
    """The objects of all buckets, by bucket and key."""

    url: str = ""
    objects: dict[str, bytes] = field(default_factory=dict)
    cut: set[str] = field(default_factory=set)  # objects whose content ends before its promised length

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_MAX_ATTEMPTS": "1",
        }

    def put(self, key: str, content: bytes) -> None:
        self.objects[key] = content


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    store: Store

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    @property
    def _key(self) -> str:
        return unquote(urlsplit(self.path).path).strip("/")

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query, keep_blank_values=True)
        if "/" not in self._key:
            return self._list(query)
        content = self.store.objects.get(self._key)
        if content is None:
            return self._answer(404)
        facts = {"ETag": _etag(content), "Last_Modified": "Mon, 01 Jan 2026 00:00:00 GMT"}
        if self.command == "GET" and self._key in self.store.cut:
            return self._answer(200, content[: len(content) // 2], **facts)
        if (wanted := self.headers.get("Range")) and self.command == "GET":
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            end = min(int(last or len(content) - 1), len(content) - 1)
            part = content[int(first) : end + 1]
            return self._answer(206, part, Content_Range=f"bytes {first}-{end}/{len(content)}", **facts)
        return self._answer(200, content, Content_Length=str(len(content)), **facts)

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        known = self.store.objects.get(self._key)
        wanted = self.headers.get("If-Match")
        if (known is not None and self.headers.get("If-None-Match") == "*") or (
            wanted is not None and (known is None or _etag(known) != wanted)
        ):
            code = b"<Error><Code>PreconditionFailed</Code></Error>"
            return self._answer(412, code)
        self.store.objects[self._key] = content
        return self._answer(200, ETag=_etag(content))

    def _list(self, query: dict[str, list[str]]) -> None:
        prefix, bucket = query.get("prefix", [""])[0], self._key
        keys = [key.removeprefix(f"{bucket}/") for key in sorted(self.store.objects) if key.startswith(f"{bucket}/")]
        entries = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(content)}</Size><ETag>{escape(_etag(content))}</ETag>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified><StorageClass>STANDARD</StorageClass></Contents>"
            for key in keys
            if key.startswith(prefix)
            for content in [self.store.objects[f"{bucket}/{key}"]]
        )
        head = f"<Name>{bucket}</Name><Prefix>{escape(prefix)}</Prefix><IsTruncated>false</IsTruncated>"
        self._answer(200, f"<ListBucketResult>{head}{entries}</ListBucketResult>".encode())


def _etag(content: bytes) -> str:
    return f'"{hashlib.md5(content).hexdigest()}"'


@contextmanager
def s3_server() -> Iterator[Store]:
    """A server on a free port, until the context ends."""
    store = Store()
    with serving_http(type("Handler", (_Handler,), {"store": store})) as store.url:
        yield store
