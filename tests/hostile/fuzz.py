"""What hostile events and requests are generated from. The whole number of them differs from run to run."""

import gzip
from typing import Final

import orjson
from hypothesis import settings
from hypothesis import strategies as st

from app.ingest.paths import BY_PATH
from tests.generated import WHOLE, share_of

FUZZ: Final = settings(max_examples=share_of(300), derandomize=not WHOLE)

PIECES: Final = (
    *("4111111111111111", "4111 1111 1111 1111", "123-45-6789", "DE89370400440532013000", "4", "1", "0,", "12."),
    *(
        "pin=",
        "password",
        "=",
        ":",
        '"',
        "\\",
        "\\\\",
        "&",
        ";",
        "%20",
        "%2D",
        "&nbsp;",
        " ",
        "\t",
        "\n",
        "-",
        "/",
        ".",
    ),
    *("https://", "gid://", "urn:", "order ", "no. ", "card ", "visa-", "SO-", "#", "+", "@", "?variant=", "x"),
    *(
        "\uff14\uff11",
        "\u0664",
        "\u00a0",
        "\u2212",
        "\u200b",
        "\u00ad",
        "\u0000",
        "\U0001f600",
        "\u017f",
        "\u0130",
        "\u00df",
        "\u00b2",
    ),
    *("9f3e1c50-0b1d-4d2e-a9f3-411111111111", "9400 1000 0000 0000 0000 00", "(", "[", "]", "{", "|", "REDACTED"),
)
TEXTS: Final = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=12).map("".join)
NAMES: Final = (
    st.sampled_from(["value", "name", "token", "order_id", "note", "pin", "iban", "_", "", "device", "traits", "email"])
    | TEXTS
)
NUMBERS: Final = st.integers(-(2**63), 2**64 - 1) | st.sampled_from([4111111111111111, 4111111111111111.0, 1e300])
VALUES: Final = st.recursive(
    st.none()
    | st.booleans()
    | NUMBERS
    | TEXTS
    | st.tuples(TEXTS, st.integers(1, 40)).map(lambda pair: pair[0] * pair[1]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=8,
)
OBJECTS: Final = st.dictionaries(NAMES, VALUES, max_size=6)
EVENTS: Final = st.builds(
    lambda properties, context, rest: {
        **rest, "type": "track", "event": "Hostile", "messageId": "m-1", "userId": "u-1",
        "properties": properties, "context": context,
    },
    OBJECTS,
    OBJECTS,
    OBJECTS,
)  # fmt: skip


CONTENTS: Final = (
    EVENTS.map(orjson.dumps)
    | st.lists(EVENTS, max_size=3).map(lambda events: orjson.dumps({"batch": events}))
    | VALUES.map(orjson.dumps)
    | st.sampled_from([b"", b"{", b"[" * 400, b'{"batch":[[],NaN]}', b'{"a":1e400}', b"\xff\xfe{", b"null"])
    | st.binary(max_size=40)
)
HEADERS: Final = st.sampled_from(
    [
        *(b"Content-Encoding: gzip", b"Content-Encoding: br", b"Transfer-Encoding: chunked", b"Content-Length: 7"),
        *(b"Content-Length: -1", b"Content-Length: 99999999999999999999", b"Expect: 100-continue", b"Host: x"),
        *(b"Connection: close", b"Connection: Upgrade", b"Upgrade: h2c", b"Transfer-Encoding: gzip, chunked"),
        *(
            b"Authorization: Basic %%%",
            b"Authorization: Basic d2tfc2hvcDo=",
            b"X-Write-Key: wk_shop",
            b"X-Write-Key: \xff",
        ),
        *(
            b"Origin: null",
            b"Origin: https://shop.example",
            b"Content-Type: text/plain;charset=\xff",
            b"X: " + b"x" * 9_000,
        ),
        *(
            b"Access-Control-Request-Method: POST",
            b"X-Signature: 00",
            b"Forwarded: for=1",
            b": nameless",
            b"folded:\r\n 1",
        ),
    ]
)
TARGETS: Final = st.sampled_from(
    [
        *(path.encode() for path in BY_PATH),
        b"/",
        b"*",
        b"/v1/track?writeKey=wk_shop",
        b"/v1//track",
        b"/v1/%00",
        b"x" * 9_000,
    ]
)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """One request, which is in order but for what was drawn otherwise."""
    body = draw(CONTENTS)
    if draw(st.booleans()):
        body = gzip.compress(body, mtime=0)
    headers = draw(st.lists(HEADERS, max_size=3))
    if draw(st.sampled_from([True, True, True, False])):
        headers += [b"Content-Length: %d" % len(body), b"X-Write-Key: wk_shop"]
    method = draw(st.sampled_from([b"POST", b"POST", b"POST", b"GET", b"OPTIONS", b"PRI", b"\x16\x03"]))
    version = draw(st.sampled_from([b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b""]))
    return b"\r\n".join([b"%b %b %b" % (method, draw(TARGETS), version), *headers, b"", body])


@st.composite
def conversations(draw: st.DrawFn) -> list[bytes]:
    """What comes over one connection, in the pieces in which it comes: some requests, damaged here and there."""
    sent = bytearray(b"".join(draw(st.lists(requests(), min_size=1, max_size=3))))
    for _ in range(draw(st.integers(0, 3))):
        sent[draw(st.integers(0, len(sent) - 1))] = draw(st.integers(0, 255))
    ends = sorted(draw(st.lists(st.integers(0, len(sent)), max_size=3)))
    return [bytes(sent[start:end]) for start, end in zip([0, *ends], [*ends, len(sent)], strict=True)]
