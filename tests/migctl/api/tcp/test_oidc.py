"""People of another identity provider, which these tests are."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm

from migctl.access.identity.oidc import OidcSettings, settings_in
from migctl.api.tcp.options import ListenOptions
from migctl.backends.protocol import Invalid
from migctl.objects import AccessScope, Role, RoleInScope
from tests.migctl.api.tcp.conftest import Tcp, served_on_tcp

pytestmark = pytest.mark.anyio


@dataclass
class Provider:
    """An issuer on a loopback port."""

    key: Ed25519PrivateKey
    server: ThreadingHTTPServer
    asked: list[str]

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def token(
        self, tcp: Tcp, key: Any = None, kid: str = "k1", algorithm: str = "EdDSA", **claims: Any
    ) -> dict[str, str]:
        """The header of a request with a token of an hour."""
        now = int(tcp.clock().timestamp())
        every = {
            "iss": self.issuer,
            "aud": "migctl",
            "email": "ada@example.org",
            "iat": now,
            "exp": now + 3600,
            **claims,
        }
        signed = jwt.encode(every, key or self.key, algorithm, {"kid": kid})
        return {"Authorization": f"Bearer {signed}"}


@contextlib.asynccontextmanager
async def provided(folder: Path) -> AsyncIterator[tuple[Tcp, Provider]]:
    key, asked = Ed25519PrivateKey.generate(), list[str]()

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            jwk = {**OKPAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": "k1", "use": "sig", "alg": "EdDSA"}
            documents: dict[str, Any] = {
                "/.well-known/openid-configuration": {"issuer": provider.issuer, "jwks_uri": f"{provider.issuer}/keys"},
                "/keys": {"keys": [jwk]},
            }
            body = json.dumps(documents[self.path]).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    provider = Provider(key, server, asked)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    settings = OidcSettings(
        issuer=provider.issuer,
        audience="migctl",
        user_claim="email",
        groups={"vision": (RoleInScope(role=Role.RESEARCHER, scope=AccessScope(project="team-a")),)},
    )
    try:
        async with served_on_tcp(folder, ListenOptions("127.0.0.1:0"), settings) as tcp:
            yield tcp, provider
    finally:
        await asyncio.to_thread(server.shutdown)
        thread.join()
        server.server_close()


async def test_a_user_has_what_his_groups_and_his_rules_give(tmp_path: Path) -> None:
    async with provided(tmp_path) as (tcp, provider):
        rule = await tcp.rule("ada@example.org", Role.VIEWER, project="team-b")
        headers = provider.token(tcp, groups=["vision", "unknown", 7])
        me = (await tcp.get("/api/v1/me", headers)).json()
        assert (me["user"], me["through"]) == ("ada@example.org", "OIDC")
        assert [(one["role"], one["project"]) for one in me["roles"]] == [
            ("researcher", "team-a"),
            ("viewer", "team-b"),
        ]
        await tcp.admitting.delete(rule)
        assert len((await tcp.get("/api/v1/me", headers)).json()["roles"]) == 1
        assert provider.asked == ["/.well-known/openid-configuration", "/keys"]


async def test_what_the_issuer_did_not_sign_for_us_is_refused(tmp_path: Path) -> None:
    async with provided(tmp_path) as (tcp, provider):
        now = int(tcp.clock().timestamp())
        for headers in (
            provider.token(tcp, key=Ed25519PrivateKey.generate()),
            provider.token(tcp, key="k" * 32, algorithm="HS256"),
            provider.token(tcp, kid="k2"),
            provider.token(tcp, aud="another"),
            provider.token(tcp, exp=now),
            provider.token(tcp, nbf=now + 600),
            provider.token(tcp, email="app:ci"),
            provider.token(tcp, email=["ada"]),
            provider.token(tcp, iss="https://another.example"),
            provider.token(tcp, iss="migctl"),
        ):
            assert (await tcp.get("/api/v1/me", headers)).status_code == 401


async def test_keys_that_nobody_has_are_not_looked_for_again_and_again(tmp_path: Path) -> None:
    async with provided(tmp_path) as (tcp, provider):
        for number in range(5):
            assert (await tcp.get("/api/v1/me", provider.token(tcp, kid=f"x{number}"))).status_code == 401
        assert (await tcp.get("/api/v1/me", provider.token(tcp))).status_code == 200
        assert provider.asked.count("/keys") <= 3


async def test_an_issuer_that_does_not_answer_is_a_503(tmp_path: Path) -> None:
    async with provided(tmp_path) as (tcp, provider):
        headers = provider.token(tcp)
        await asyncio.to_thread(provider.server.shutdown)
        provider.server.server_close()
        assert (await tcp.get("/api/v1/me", headers)).status_code == 503
        own = await tcp.as_("ci", Role.VIEWER)
        assert (await tcp.get("/api/v1/me", own)).status_code == 200


@pytest.mark.parametrize(
    "text",
    [
        "{",
        '{"issuer": "https://a"}',
        '{"issuer": "http://idp.example.org", "audience": "x"}',
        '{"issuer": "https://a", "audience": "x", "colour": "red"}',
        '{"issuer": "https://a", "audience": "x", "groups": {"g": [{"role": "king"}]}}',
        '{"issuer": "https://a", "audience": "x", "groups": {"g": [{"role": "admin", "scope": {"project": "p"}}]}}',
    ],
)
def test_settings_that_cannot_be_are_refused_at_the_start(tmp_path: Path, text: str) -> None:
    file = tmp_path / "oidc.json"
    assert settings_in(file) is None
    file.write_text(text)
    with pytest.raises(Invalid, match=r"oidc\.json"):
        settings_in(file)
