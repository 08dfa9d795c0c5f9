"""Programs sign in with a secret, and come with a token of a quarter of an hour."""

from __future__ import annotations

import asyncio
import stat
from datetime import timedelta

import httpx
import jwt
import pytest
from msgspec.structs import replace

from migctl.access.identity import accounts
from migctl.access.identity.attempts import FAILURES_OF_ADDRESS, FAILURES_OF_NAME, Attempts
from migctl.access.identity.signing_keys import LIFETIME, MAX_AGE
from migctl.backends.protocol import RateLimited
from migctl.objects import AccessToken, Project, Role
from tests.fakes.control_plane import ManualClock
from tests.limits import WAIT_S
from tests.migctl.api.tcp.conftest import OBJECTS, Tcp

pytestmark = pytest.mark.anyio


async def test_a_secret_gives_a_jwt_that_says_when_it_ends(tcp: Tcp) -> None:
    await tcp.token("ci", Role.RESEARCHER, user="ada", project="team-a")
    answer = (await tcp.exchange("ci")).json()
    assert (answer["tokenType"], answer["expiresIn"]) == ("Bearer", 900)
    claims = jwt.decode(answer["accessToken"], options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == 900
    me = (await tcp.get("/api/v1/me", {"Authorization": f"Bearer {answer['accessToken']}"})).json()
    assert (me["user"], me["through"]) == ("ada", "token ci")
    assert me["roles"] == [{"role": "researcher", "project": "team-a", "department": ""}]


@pytest.mark.parametrize(
    "body",
    [
        {"grantType": "app_token", "AppId": "ci", "AppSecret": "secret-of-ci"},
        {"granttype": "app_token", "appid": "ci", "APPSECRET": "secret-of-ci"},
        {"grant_type": "client_credentials", "client_id": "ci", "client_secret": "secret-of-ci"},
        {"grantType": "client_credentials", "clientID": "ci", "clientSecret": "secret-of-ci"},
        {"grantType": "app_token", "AppId": "ci", "AppSecret": "secret-of-ci", "realm": None},
    ],
)
async def test_the_names_of_the_fields_are_read_without_regard_to_case(tcp: Tcp, body: dict[str, str]) -> None:
    await tcp.token("ci", Role.VIEWER)
    assert (await tcp.http.post("/api/v1/token", json=body)).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {"grantType": "app_token", "AppId": None, "AppSecret": None},
        {"grantType": None, "AppId": "ci", "AppSecret": "x"},
        {"grantType": "password", "username": "ci", "password": "x"},
        {"grantType": ["app_token"]},
        [],
        {},
    ],
)
async def test_what_is_missing_is_a_400_with_a_text(tcp: Tcp, body: object) -> None:
    answer = await tcp.http.post("/api/v1/token", json=body)
    assert (answer.status_code, bool(answer.json()["message"])) == (400, True)


async def test_an_unknown_name_and_a_wrong_secret_are_answered_the_same(tcp: Tcp) -> None:
    await tcp.token("ci", Role.VIEWER)
    wrong, unknown = await tcp.exchange("ci", "guess"), await tcp.exchange("nobody", "guess")
    assert (wrong.status_code, wrong.json()) == (unknown.status_code, unknown.json()) == (401, wrong.json())


async def test_a_deleted_token_ends_at_once_and_another_of_its_name_is_another(tcp: Tcp) -> None:
    token = await tcp.token("ci", Role.VIEWER)
    headers = await tcp.bearer("ci")
    assert (await tcp.get("/api/v1/me", headers)).status_code == 200
    await tcp.admitting.delete(token)
    assert (await tcp.get("/api/v1/me", headers)).status_code == 401
    await tcp.token("ci", Role.ADMIN)
    assert (await tcp.get("/api/v1/me", headers)).status_code == 401


async def test_an_expired_token_is_refused_and_later_removed(tcp: Tcp) -> None:
    admin = await tcp.as_("root", Role.ADMIN)
    made = await tcp.http.post(
        "/api/v1/access-keys", json={"name": "ci", "role": "viewer", "ttlSeconds": 60}, headers=admin
    )
    tcp.secrets["ci"] = made.json()["clientSecret"]
    headers = await tcp.bearer("ci")
    tcp.clock.advance(60)
    assert (await tcp.get("/api/v1/me", headers)).status_code == 401
    assert (await tcp.exchange("ci")).status_code == 401
    assert {token.meta.name for token in (await tcp.behind.list(AccessToken)).items} == {"root", "ci"}


async def test_tokens_that_expired_a_day_ago_are_removed(tcp: Tcp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "SWEEP_S", 0.001)
    admin = await tcp.as_("root", Role.ADMIN)
    for name, ttl in (("old", 60), ("new", 86_400)):
        await tcp.http.post(
            "/api/v1/access-keys", json={"name": name, "role": "viewer", "ttlSeconds": ttl}, headers=admin
        )
    tcp.clock.advance(86_460)
    sweeping = asyncio.create_task(tcp.sign_in.accounts.sweep())
    async with asyncio.timeout(WAIT_S):
        while {token.meta.name for token in (await tcp.behind.list(AccessToken)).items} != {"root", "new"}:
            await asyncio.sleep(0.001)
    sweeping.cancel()
    await asyncio.gather(sweeping, return_exceptions=True)


async def test_a_short_lived_token_expires(tcp: Tcp) -> None:
    headers = await tcp.as_("ci", Role.VIEWER)
    tcp.clock.advance(LIFETIME.total_seconds())
    assert (await tcp.get("/api/v1/me", headers)).status_code == 401


@pytest.mark.parametrize("made", ["y", "x", "a.b.c", "Bearer", "eyJhbGciOiJub25lIn0.e30.", "é" * 5])
async def test_what_is_no_token_of_ours_is_a_401(tcp: Tcp, made: str) -> None:
    headers = {"Authorization": f"Bearer {made}".encode()}
    assert (await tcp.http.get("/api/v1/me", headers=headers)).status_code == 401  # type: ignore[arg-type]


async def test_a_token_signed_by_somebody_else_is_refused(tcp: Tcp) -> None:
    signed = (await tcp.as_("ci", Role.VIEWER))["Authorization"].removeprefix("Bearer ")
    head, claims = jwt.get_unverified_header(signed), jwt.decode(signed, options={"verify_signature": False})
    forged = jwt.encode({**claims, "sub": "root"}, "k" * 32, "HS256", {"kid": head["kid"]})
    assert (await tcp.get("/api/v1/me", {"Authorization": f"Bearer {forged}"})).status_code == 401


async def test_after_a_rotation_the_old_key_counts_for_a_quarter_of_an_hour(tcp: Tcp) -> None:
    old, admin = await tcp.as_("ci", Role.VIEWER), await tcp.as_("root", Role.ADMIN)
    assert (await tcp.http.post("/api/v1/signing-keys/rotate", headers=old)).status_code == 403
    assert (await tcp.http.post("/api/v1/signing-keys/rotate", headers=admin)).status_code == 204
    assert (await tcp.get("/api/v1/me", old)).status_code == 200
    new = await tcp.bearer("ci")
    kids = {jwt.get_unverified_header(one["Authorization"].removeprefix("Bearer "))["kid"] for one in (old, new)}
    assert len(kids) == 2
    tcp.clock.advance(LIFETIME.total_seconds())
    assert (await tcp.get("/api/v1/me", old)).status_code == 401


async def test_keys_rotate_by_age_and_their_file_is_the_owners_alone(tcp: Tcp) -> None:
    first = (await tcp.as_("ci", Role.VIEWER))["Authorization"].removeprefix("Bearer ")
    tcp.clock.advance(MAX_AGE.total_seconds())
    second = (await tcp.bearer("ci"))["Authorization"].removeprefix("Bearer ")
    assert jwt.get_unverified_header(first)["kid"] != jwt.get_unverified_header(second)["kid"]
    assert stat.S_IMODE(tcp.sign_in.keys.file.stat().st_mode) == 0o600


async def test_failed_attempts_are_limited_by_name_and_address(tcp: Tcp) -> None:
    await tcp.token("ci", Role.VIEWER)
    codes = [(await tcp.exchange(f"x{n}", "guess")).status_code for n in range(FAILURES_OF_ADDRESS + 1)]
    assert codes == [401] * FAILURES_OF_ADDRESS + [429]
    refused = await tcp.exchange("ci")
    assert (refused.status_code, int(refused.headers["retry-after"]) > 0) == (429, True)
    tcp.clock.advance(60)
    assert (await tcp.exchange("ci")).status_code == 200


def test_a_name_is_not_locked_out_where_it_is_used() -> None:
    attempts = Attempts(ManualClock())
    attempts.succeeded("10.0.0.1", "ci")
    for number in range(FAILURES_OF_NAME):
        attempts.failed(f"10.1.0.{number}", "ci")
    attempts.check("10.0.0.1", "ci")
    with pytest.raises(RateLimited):
        attempts.check("10.2.0.1", "ci")


def test_an_ipv6_subscriber_is_one_address() -> None:
    attempts = Attempts(ManualClock())
    for number in range(FAILURES_OF_ADDRESS):
        attempts.failed(f"2001:db8::{number:x}", f"x{number}")
    with pytest.raises(RateLimited):
        attempts.check("2001:db8::ffff", "ci")
    attempts.check("2001:db8:0:1::1", "ci")


async def test_the_last_use_is_kept_to_the_minute(tcp: Tcp) -> None:
    headers = await tcp.as_("ci", Role.VIEWER)
    before = (await tcp.behind.get(AccessToken, "ci")).meta.version
    await tcp.get("/api/v1/me", headers)
    token = await tcp.behind.get(AccessToken, "ci")
    assert (token.meta.version, token.status.last_used) == (before, tcp.clock())
    tcp.clock.advance(61)
    await tcp.get("/api/v1/me", headers)
    used = (await tcp.behind.get(AccessToken, "ci")).status.last_used
    assert used is not None
    assert timedelta() <= tcp.clock() - used < timedelta(minutes=1)


async def test_a_lead_makes_tokens_for_his_project_and_no_more(tcp: Tcp) -> None:
    lead = await tcp.as_("lead", Role.PROJECT_ADMIN, project="team-a")

    async def made(name: str, **asked: object) -> httpx.Response:
        return await tcp.http.post("/api/v1/access-keys", json={"name": name, **asked}, headers=lead)

    own = await made("a", role="researcher", scopeType="project", scopeId="team-a")
    assert own.status_code == 201
    assert "clientSecret" in own.json()
    assert (await made("b", role="researcher", scopeType="project", scopeId="team-b")).status_code == 403
    assert (await made("c", role="researcher")).status_code == 403
    assert (await made("d", role="department-admin", scopeType="department", scopeId="research")).status_code == 403
    hidden, missing = (
        await made("e", role="viewer", scopeType="project", scopeId="team-b"),
        await made("e", role="viewer", scopeType="project", scopeId="team-x"),
    )
    assert hidden.status_code == missing.status_code == 403
    assert hidden.json()["message"].replace("team-b", "team-x") == missing.json()["message"]
    listed = (await tcp.get("/api/v1/access-keys", lead)).json()["accessKeys"]
    assert {key["name"] for key in listed} == {"lead", "a"}
    assert not any("secret" in str(key).lower() for key in listed)


async def test_a_deleted_key_is_gone_and_one_out_of_sight_was_never_there(tcp: Tcp) -> None:
    lead = await tcp.as_("lead", Role.PROJECT_ADMIN, project="team-a")
    other = await tcp.token("other", Role.VIEWER, project="team-b")
    hidden = await tcp.http.delete(f"/api/v1/access-keys/{other.meta.uid}", headers=lead)
    missing = await tcp.http.delete("/api/v1/access-keys/00000000-0000-0000-0000-000000000000", headers=lead)
    assert hidden.status_code == missing.status_code == 404
    assert hidden.json()["message"].replace(other.meta.uid, "") == missing.json()["message"].replace(
        "00000000-0000-0000-0000-000000000000", ""
    )
    assert (await tcp.http.delete("/api/v1/access-keys/lead", headers=lead)).status_code == 204
    assert (await tcp.get("/api/v1/me", lead)).status_code == 401


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"name": "A_B", "role": "viewer"}, "meta.name"),
        ({"name": "a", "role": "king"}, "role"),
        ({"name": "a", "role": "admin", "scopeType": "project", "scopeId": "team-a"}, "spec.access.role"),
        ({"name": "a", "role": "viewer", "scopeType": "galaxy"}, "scopeType"),
        ({"name": "a", "role": "viewer", "scopeType": "project"}, "scopeId"),
        ({"name": "a", "role": "viewer", "user": "a b"}, "spec.user"),
        ({"name": "a", "role": "viewer", "ttlSeconds": 10**12}, "spec.expires"),
        ({"name": "a", "role": "viewer", "ttlSeconds": 0}, "ttlSeconds"),
        ({"name": "a", "role": "viewer", "colour": "red"}, "colour"),
    ],
)
async def test_what_a_token_cannot_be_is_a_400_that_names_the_field(
    tcp: Tcp, asked: dict[str, object], field: str
) -> None:
    answer = await tcp.http.post("/api/v1/access-keys", json=asked, headers=await tcp.as_("root", Role.ADMIN))
    assert answer.status_code == 400
    assert field in {issue["field"] for issue in answer.json()["complianceIssues"]} or field in answer.json()["message"]


async def test_a_token_is_not_changed_once_it_is_there(tcp: Tcp) -> None:
    admin = await tcp.as_("root", Role.ADMIN)
    uid = (await tcp.behind.get(AccessToken, "root")).meta.uid
    path = f"{OBJECTS}/accesstokens/root?uid={uid}"
    answer = await tcp.http.patch(path, json={"spec": {"user": "somebody"}}, headers=admin)
    assert answer.status_code == 400


async def test_a_project_takes_its_tokens_and_rules_along(tcp: Tcp) -> None:
    headers = await tcp.as_("ci", Role.RESEARCHER, project="team-b")
    await tcp.rule("ada", Role.PROJECT_ADMIN, project="team-b")
    await tcp.admitting.delete(await tcp.behind.get(Project, "team-b"))
    assert (await tcp.get("/api/v1/me", headers)).status_code == 401
    project = Project(
        meta=replace((await tcp.behind.get(Project, "team-a")).meta, name="team-b", uid="", version=""),
        spec=(await tcp.behind.get(Project, "team-a")).spec,
    )
    await tcp.admitting.create(project)
    assert (await tcp.exchange("ci")).status_code == 401
    assert await tcp.sign_in.accounts.roles_of("ada") == ()
