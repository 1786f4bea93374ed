"""Every address as every role: nothing is open by mistake, and nothing is shut to those who may."""

import re
from collections.abc import Iterator
from typing import Final

import pytest
from fastapi.routing import APIRoute
from redis.asyncio import Redis

from app.console.access import Right
from app.console.routes import (
    access,
    alerts,
    dead_letters,
    events,
    mapping,
    mapping_edit,
    operations,
    overview,
    people,
    signing,
    syncs,
)
from app.console.visit import Needs
from tests.console.opened import EMAIL, USERS, Opened, keep_letter

OPEN: Final = {route.path for route in signing.router.routes if isinstance(route, APIRoute)}
PARTS: Final = (access, alerts, events, dead_letters, mapping, mapping_edit, operations, overview, people, syncs)
ROUTES: Final = [
    (method, route)
    for part in PARTS
    for route in part.router.routes
    if isinstance(route, APIRoute)
    for method in sorted(route.methods or ())
]
NEEDED: Final = {  # of what is not a page to look at
    "POST /dead-letters/replay": Right.OPERATE,
    "POST /dead-letters/delete": Right.ADMINISTER,
    "POST /dead-letters/{destination}/{dead_letter_id}/replay": Right.OPERATE,
    "POST /dead-letters/{destination}/{dead_letter_id}/reveal": Right.REVEAL,
    "POST /dead-letters/{destination}/{dead_letter_id}/delete": Right.ADMINISTER,
    "POST /dead-letters/{destination}/{dead_letter_id}/edit": Right.OPERATE,
    "POST /dead-letters/{destination}/{dead_letter_id}/save": Right.OPERATE,
    "POST /unknown-outcomes/replay": Right.OPERATE,
    "POST /unknown-outcomes/discard": Right.OPERATE,
    "POST /unknown-outcomes/{destination}/{dead_letter_id}/replay": Right.OPERATE,
    "POST /unknown-outcomes/{destination}/{dead_letter_id}/reveal": Right.REVEAL,
    "POST /unknown-outcomes/{destination}/{dead_letter_id}/discard": Right.OPERATE,
    "POST /jobs/{job_id}/stop": Right.OPERATE,
    "POST /destinations/{name}/resume": Right.OPERATE,
    "POST /destinations/{name}/test": Right.OPERATE,
    "POST /destinations/{name}/keep": Right.ADMINISTER,
    "POST /destinations/{name}/discard": Right.ADMINISTER,
    "POST /syncs/{name}/plan": Right.OPERATE,
    "POST /syncs/{name}/run": Right.OPERATE,
    "POST /syncs/{name}/resume": Right.OPERATE,
    "POST /syncs/{name}/approve": Right.ADMINISTER,
    "POST /syncs/{name}/stop": Right.OPERATE,
    "POST /alerts/mute": Right.OPERATE,
    "POST /alerts/unmute": Right.OPERATE,
    "POST /alerts/test": Right.OPERATE,
    "POST /people/erase": Right.ADMINISTER,
    "POST /sessions/{digest}/revoke": Right.ADMINISTER,
    "POST /people": Right.SEE,
    "POST /events": Right.SEE,
    "POST /mapping/try": Right.SEE,
    "POST /mapping/edit": Right.ADMINISTER,
    "POST /mapping/draft": Right.ADMINISTER,
    "POST /mapping/use": Right.ADMINISTER,
    "POST /mapping/patch": Right.ADMINISTER,
}
RIGHTS: Final = {
    "vera": {Right.SEE},
    "otto": {Right.SEE, Right.OPERATE},
    "rita": {Right.SEE, Right.REVEAL},
    "adam": set(Right),
    "udo": set(Right),  # for acme-uk alone
}


def needed(route: APIRoute) -> Needs:
    """What a route asks for."""
    (needs,) = [each.call for each in route.dependant.dependencies if isinstance(each.call, Needs)]
    return needs


def address(route: APIRoute, destination: str = "acme-uk") -> str:
    """An address of a route, about something that does not exist."""
    filled = re.sub(r"{(destination|name)}", destination, route.path)
    return re.sub(r"{[a-z_:]+}", "1-1", filled)


def walked(user: str) -> Iterator[tuple[str, str, bool]]:
    """Each method and address, and whether this user may."""
    for method, route in ROUTES:
        needs = needed(route)
        yield method, address(route), needs.right in RIGHTS[user] and not (needs.everywhere and user == "udo")


def test_every_act_needs_the_right_that_it_should() -> None:
    assert {f"{method} {route.path}": needed(route).right for method, route in ROUTES if method != "GET"} == NEEDED
    shut = {route.path: needed(route).right for method, route in ROUTES if method == "GET"}
    assert {path for path, right in shut.items() if right is not Right.SEE} == {
        "/audit",
        "/sessions",
        "/dead-letters/replay",
        "/dead-letters/delete",
        "/dead-letters/{destination}/{dead_letter_id}/edit",
        "/unknown-outcomes/replay",
        "/unknown-outcomes/discard",
        "/destinations/{name}/promote",
        "/mapping/edit",
        "/mapping/draft",
        "/mapping/revisions",
    }


def routes_of(console: Opened) -> list[APIRoute]:
    """All that the console serves, of included routers too."""
    routes = [
        inner
        for route in console.app.app.routes
        for inner in (route.original_router.routes if hasattr(route, "original_router") else [route])
    ]
    return [route for route in routes if isinstance(route, APIRoute)]


async def test_every_route_of_the_console_is_walked(console: Opened) -> None:
    known = {route.path for _, route in ROUTES} | OPEN | {"/healthz", "/readyz"}
    assert {route.path for route in routes_of(console)} == known


async def test_without_a_session_only_the_sign_in_is_open(console: Opened) -> None:
    open_to_all = {"/healthz", "/readyz", *OPEN}
    shut = [route for route in routes_of(console) if route.path not in open_to_all]
    assert len(shut) > len(PARTS)
    for route in shut:
        for method in route.methods or ():
            answer = await console.client().request(method, address(route))
            assert (answer.status_code, answer.headers["location"][:8]) == (303, "/sign-in"), route.path


@pytest.mark.parametrize("user", list(USERS))
async def test_a_role_may_what_it_may_and_nothing_else(console: Opened, user: str) -> None:
    browser = await console.user(user)
    for method, path, may in walked(user):
        if path.endswith(("/test", "/live/stream")):  # they ask Attentive, or never end
            continue
        answer = await browser.request(method, path)
        refused = answer.status_code == 403
        assert refused is not may, f"{user}: {method} {path} is answered with {answer.status_code}"
        assert answer.status_code != 500, f"{method} {path}"


async def test_other_destinations_do_not_exist_for_those_who_may_not_see_them(console: Opened, redis: Redis) -> None:
    letter = await keep_letter(redis, "acme")
    browser = await console.user("udo")
    for path in (f"/dead-letters/acme/{letter}", f"/dead-letters/acme/{letter}/edit", "/destinations/acme"):
        assert (await browser.get(path)).status_code == 404
    for path in (f"/dead-letters/acme/{letter}/replay", f"/dead-letters/acme/{letter}/reveal"):
        assert (await browser.post(path)).status_code == 404
    listed = (await browser.get("/dead-letters")).text
    assert letter not in listed
    assert "acme</" not in listed
    assert (await browser.get("/dead-letters?destination=acme")).status_code == 400


async def test_a_viewer_sees_nobody(console: Opened, redis: Redis) -> None:
    letter = await keep_letter(redis)
    browser = await console.user("vera")
    for path in (f"/dead-letters/acme/{letter}", "/dead-letters", "/dead-letters/export", "/events/m-1"):
        answer = await browser.get(path)
        assert answer.status_code == 200
        assert EMAIL not in answer.text
    assert (await browser.get("/dead-letters/export?reveal=true")).status_code == 403


async def test_revealing_shows_the_person_and_is_an_entry_of_the_audit_log(console: Opened, redis: Redis) -> None:
    letter = await keep_letter(redis)
    browser = await console.user("rita")
    assert EMAIL in (await browser.post(f"/dead-letters/acme/{letter}/reveal")).text
    (entry,) = [each for each in await console.parts.audit.latest(10) if each.act == "reveal"]
    assert (entry.user, entry.destination, entry.ids) == ("rita", "acme", (letter,))


async def test_the_edit_form_of_an_operator_without_reveal_is_masked(console: Opened, redis: Redis) -> None:
    letter = await keep_letter(redis)
    path = f"/dead-letters/acme/{letter}/edit"
    assert EMAIL not in (await (await console.user("otto")).get(path)).text
    assert EMAIL in (await (await console.user("adam")).get(path)).text
