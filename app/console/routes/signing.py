"""Signing in and out, in each way."""

import hmac
from typing import Annotated, Final
from urllib.parse import urlsplit

import structlog
from fastapi import APIRouter, Form, Request
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from app.config.console import Oidc
from app.console.oidc import STATE_LIFE_S, OidcFailed
from app.console.passwords import FAILURES_LIFE_S, TooManyFailures
from app.console.rendering import render
from app.console.sessions import LONGEST, digest_of
from app.console.sign_in import ADMIN
from app.console.visit import NotSignedIn, Parts, cookie_name, needs_https, parts_of, who

router = APIRouter()
log = structlog.get_logger()
_CALLBACK: Final = "/sign-in/oidc/callback"


@router.get("/sign-in")
async def sign_in(request: Request, after: str = "/", token: str | None = None) -> Response:
    """The form or the button; with a token, the end of a link."""
    parts = parts_of(request)
    if token is not None:
        return await _by_link(request, parts, token)
    try:
        await who(request, parts)
    except NotSignedIn:
        return _form(request, parts, after)
    return RedirectResponse(_here(after), 303)


@router.post("/sign-in")
async def check_password(
    request: Request,
    user: Annotated[str, Form(max_length=200)],
    password: Annotated[str, Form(max_length=1000)],
    after: Annotated[str, Form(max_length=2000)] = "/",
) -> Response:
    """A user and a password."""
    parts, user = parts_of(request), user.strip()
    way = parts.sign_ins.now
    if way.way != "password":
        raise HTTPException(404)
    try:
        good = await parts.passwords.check(user, password, way.hashes)
    except TooManyFailures:
        problem = f"Too many failed sign-ins of this user. Try again in {FAILURES_LIFE_S // 60} minutes."
        return _form(request, parts, after, user=user, problem=problem, status=429)
    if not good:
        # What was typed may be a password in the wrong field: only names that exist are written down.
        await parts.audit.add(user if user in way.hashes else "(unknown)", "sign-in failed", way="password")
        problem = "The user or the password is wrong."
        return _form(request, parts, after, user=user, problem=problem, status=401)
    return await _begin(request, parts, user, (), "password", after)


@router.get("/sign-in/oidc")
async def ask_provider(request: Request, after: str = "/") -> Response:
    """Send the browser to the identity provider."""
    parts = parts_of(request)
    oidc, callback = _provider(parts)
    try:
        address, state = await parts.oidc.begin(oidc, callback)
    except OidcFailed as failure:
        return _form(request, parts, after, problem=str(failure), status=502)
    response = RedirectResponse(address, 303)  # of a link: after a form, the CSP would forbid it
    _set_cookie(request, response, "state", f"{state}|{_here(after)}", STATE_LIFE_S)
    return response


@router.get(_CALLBACK)
async def from_provider(request: Request) -> Response:
    """The browser comes back with a code."""
    parts = parts_of(request)
    oidc, callback = _provider(parts)
    state, _, after = request.cookies.get(cookie_name(request, "state"), "").partition("|")
    try:
        user = await parts.oidc.finish(oidc, callback, request.query_params, state)
    except OidcFailed as failure:
        log.warning("console.oidc_failed", reason=str(failure))
        await parts.audit.add("(unknown)", "sign-in failed", way="oidc")
        return _form(request, parts, after, problem=str(failure), status=401)
    response = await _begin(request, parts, user.name, user.groups, "oidc", after or "/")
    response.delete_cookie(cookie_name(request, "state"), path="/", secure=needs_https(request), httponly=True)
    return response


@router.post("/sign-out")
async def sign_out(request: Request) -> Response:
    """End the session."""
    parts = parts_of(request)
    if session_id := request.cookies.get(cookie_name(request)):
        session = await parts.sessions.find(session_id)
        if session is not None and await parts.sessions.revoke(digest_of(session_id)):
            await parts.audit.add(session.user, "sign-out")
    response = RedirectResponse("/sign-in", 303)
    response.delete_cookie(cookie_name(request), path="/", secure=needs_https(request), httponly=True)
    return response


def _provider(parts: Parts) -> tuple[Oidc, str]:
    """The identity provider, and where it sends browsers back to. Raises HTTPException 404 where there is none."""
    way = parts.sign_ins.now
    if way.way != "oidc" or way.console is None or way.console.oidc is None or way.console.url is None:
        raise HTTPException(404)
    return way.console.oidc, way.console.url + _CALLBACK


async def _by_link(request: Request, parts: Parts, token: str) -> Response:
    expected = parts.sign_ins.now.token
    if expected is None or not hmac.compare_digest(token.encode(), expected.encode()):
        await parts.audit.add("(unknown)", "sign-in failed", way="link")
        problem = "This link is not valid any more. Use the one that was printed last."
        return _form(request, parts, "/", problem=problem, status=401)
    return await _begin(request, parts, ADMIN, (), "link", "/")


async def _begin(request: Request, parts: Parts, user: str, groups: tuple[str, ...], way: str, after: str) -> Response:
    if not parts.sign_ins.now.access(user, groups, way).grants:
        await parts.audit.add(user, "sign-in failed", way=way, reason="no rights")
        problem = "You are known, but have no rights here. Ask an admin of the console."
        return _form(request, parts, after, problem=problem, status=403)
    if old := request.cookies.get(cookie_name(request)):
        await parts.sessions.revoke(digest_of(old))
    session_id = await parts.sessions.begin(user, groups, way, parts.sign_ins.now.proof(user, way))
    await parts.audit.add(user, "sign-in", way=way)
    response = RedirectResponse(_here(after), 303)
    _set_cookie(request, response, "session", session_id, int(LONGEST.total_seconds()))
    return response


def _form(
    request: Request, parts: Parts, after: str, *, user: str = "", problem: str = "", status: int = 200
) -> Response:
    way = parts.sign_ins.now.way
    if way == "proxy" and status == 200:
        status = 401
    return render(request, "sign_in.html", status=status, way=way, after=_here(after), user=user, problem=problem)


def _set_cookie(request: Request, response: Response, name: str, value: str, life_s: int) -> None:
    response.set_cookie(
        cookie_name(request, name),
        value,
        max_age=life_s,
        path="/",
        httponly=True,
        secure=needs_https(request),
        samesite="lax",
    )


def _here(after: str) -> str:
    """An address of the console itself, so that no link leads elsewhere."""
    parts = urlsplit(after)
    good = after.startswith("/") and not after.startswith(("//", "/\\")) and not (parts.scheme or parts.netloc)
    return after if good and after.isprintable() and "\\" not in after else "/"
