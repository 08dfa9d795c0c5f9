"""A browser signs in with a link that works once."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import httpx
import pytest

from migctl.access.caller import OWNER
from migctl.access.identity.sessions import LINK_LIFETIME, MOST_SESSIONS, SESSION_LIFETIME
from migctl.objects import Role
from tests.migctl.api.tcp.conftest import Tcp

pytestmark = pytest.mark.anyio

KEY = {"name": "key", "role": "viewer"}


@contextlib.asynccontextmanager
async def signed_in(tcp: Tcp, user: str = "root", owner: bool = True) -> AsyncIterator[httpx.AsyncClient]:
    """A client with the cookies of a browser."""
    secret = tcp.sign_in.sessions.link(user, OWNER if owner else ())
    async with httpx.AsyncClient(base_url=tcp.listener.url) as client:
        answer = await client.get("/login", params={"key": secret})
        assert (answer.status_code, answer.headers["location"]) == (303, "/docs")
        yield client


async def test_a_link_gives_a_cookie_that_scripts_cannot_read(tcp: Tcp) -> None:
    answer = await tcp.http.get("/login", params={"key": tcp.sign_in.sessions.link("root", OWNER)})
    session = next(c for c in answer.headers.get_list("set-cookie") if c.startswith("migctl_session="))
    assert "HttpOnly" in session
    assert "SameSite=strict" in session
    assert "Secure" not in session
    assert answer.headers["referrer-policy"] == "no-referrer"


async def test_a_link_works_once_and_for_two_minutes(tcp: Tcp) -> None:
    secret, late = tcp.sign_in.sessions.link("root", OWNER), tcp.sign_in.sessions.link("root", OWNER)
    codes = [(await tcp.http.get("/login", params={"key": secret})).status_code for _ in range(2)]
    tcp.clock.advance(LINK_LIFETIME.total_seconds())
    codes.append((await tcp.http.get("/login", params={"key": late})).status_code)
    codes.append((await tcp.http.get("/login", params={"key": "guess"})).status_code)
    assert codes == [303, 401, 401, 401]


async def test_a_change_needs_the_header_that_only_our_page_can_send(tcp: Tcp) -> None:
    async with signed_in(tcp) as browser:
        assert (await browser.get("/api/v1/me")).json()["through"] == "login link"
        assert (await browser.post("/api/v1/access-keys", json=KEY)).status_code == 403
        assert (await browser.post("/api/v1/access-keys", json=KEY, headers={"X-CSRF-Token": "x"})).status_code == 403
        csrf = {"X-CSRF-Token": browser.cookies["migctl_csrf"]}
        assert (await browser.post("/api/v1/access-keys", json=KEY, headers=csrf)).status_code == 201


async def test_logout_ends_the_session(tcp: Tcp) -> None:
    async with signed_in(tcp) as browser:
        cookies = dict(browser.cookies)
        assert (await browser.post("/logout")).status_code == 403
        assert (await browser.post("/logout", headers={"X-CSRF-Token": cookies["migctl_csrf"]})).status_code == 204
        assert not browser.cookies
    async with httpx.AsyncClient(base_url=tcp.listener.url, cookies=cookies) as again:
        assert (await again.get("/api/v1/me")).status_code == 401


async def test_a_session_ends_by_itself(tcp: Tcp) -> None:
    async with signed_in(tcp) as browser:
        tcp.clock.advance(SESSION_LIFETIME.total_seconds())
        assert (await browser.get("/api/v1/me")).status_code == 401


async def test_another_user_has_what_he_was_granted_until_it_is_revoked(tcp: Tcp) -> None:
    rule = await tcp.rule("ada", Role.VIEWER, project="team-a")
    async with signed_in(tcp, "ada", owner=False) as browser:
        roles = (await browser.get("/api/v1/me")).json()["roles"]
        assert roles == [{"role": "viewer", "project": "team-a", "department": ""}]
        await tcp.admitting.delete(rule)
        assert (await browser.get("/api/v1/me")).json()["roles"] == []


async def test_sessions_are_bounded(tcp: Tcp) -> None:
    cookies = [tcp.sign_in.sessions.redeem(tcp.sign_in.sessions.link("u", ()))[0] for _ in range(MOST_SESSIONS + 1)]
    for cookie, code in ((cookies[0], 401), (cookies[-1], 200)):
        headers = {"Cookie": f"migctl_session={cookie}"}
        assert (await tcp.http.get("/api/v1/me", headers=headers)).status_code == code


async def test_a_token_cannot_make_a_link(tcp: Tcp) -> None:
    headers = await tcp.as_("root", Role.ADMIN)
    assert (await tcp.http.post("/api/v1/login-links", json={}, headers=headers)).status_code == 403


@pytest.mark.parametrize("cookie", ["migctl_session=", "migctl_session=x", "migctl_session=\x01", ";;;", "a=b"])
async def test_what_is_no_cookie_of_ours_is_a_401(tcp: Tcp, cookie: str) -> None:
    async with httpx.AsyncClient(base_url=tcp.listener.url) as client:
        request = client.build_request("GET", "/api/v1/me")
        request.headers["cookie"] = cookie.replace("\x01", "%01")
        assert (await client.send(request)).status_code == 401
