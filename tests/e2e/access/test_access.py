"""Tokens, roles, the audit trail, and commands from another machine, through the command line and a real server."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.embedded import HOLD, Embedded


@pytest.fixture(scope="module")
def server() -> Iterator[Embedded]:
    """A control plane that listens beyond loopback, with a certificate of its own."""
    one = Embedded(Path(tempfile.mkdtemp(prefix="migctl-")))
    one.ok("up", "--simulate", "a100-40gb=2", "--listen", "0.0.0.0:0", "--detach")
    for name in ("team-a", "team-b"):
        one.ok("project", "create", name, "--quota", "1")
    yield one
    one.end()


@pytest.fixture
def elsewhere() -> Iterator[Embedded]:
    """A user on a machine without a control plane."""
    one = Embedded(Path(tempfile.mkdtemp(prefix="migctl-")))
    yield one
    one.end()


def url(server: Embedded) -> str:
    port = re.search(r":(\d+);", (server.home / "listening").read_text())
    assert port is not None
    return f"https://127.0.0.1:{port[1]}"


def fingerprint(server: Embedded) -> str:
    return (server.home / "listening").read_text().rpartition(" ")[2]


def signed_in(server: Embedded, elsewhere: Embedded, name: str, *scope: str) -> str:
    """Sign in from elsewhere with a new token; its secret."""
    secret = server.ok("token", "create", name, *scope, "-q").strip()
    done = elsewhere.run(
        "login", "--server", url(server), "--token", "-", "--fingerprint", fingerprint(server), input=secret
    )
    assert done.returncode == 0, done.stderr
    assert secret not in done.stdout + done.stderr
    return secret


def test_commands_work_from_another_machine_within_the_rights_of_the_token(
    server: Embedded, elsewhere: Embedded
) -> None:
    secret = signed_in(server, elsewhere, "ada-1", "--role", "researcher", "-p", "team-a", "--user", "ada")
    who = elsewhere.json("whoami")
    assert (who["user"], who["roles"]) == ("ada", ["researcher in project team-a"])
    elsewhere.ok("submit", "hello", "-p", "team-a", "-g", "0.5", *HOLD)
    server.running("hello")
    assert "hello" in elsewhere.ok("list", "-p", "team-a")
    assert "ada" in elsewhere.ok("describe", "hello", "-p", "team-a")
    assert "Running" in elsewhere.ok("why", "hello", "-p", "team-a")
    elsewhere.ok("logs", "hello", "-p", "team-a")
    assert "from afar" in elsewhere.fails(1, "exec", "hello", "-p", "team-a", "--", "ls")
    elsewhere.fails(6, "list", "-p", "team-b")
    assert elsewhere.ok("project", "list", "-o", "name").split() == ["project/team-a"]
    elsewhere.fails(6, "project", "create", "mine", "--quota", "1")
    elsewhere.fails(6, "token", "create", "more", "--role", "admin")
    server.ok("submit", "other", "-p", "team-a", "-g", "0.25", *HOLD)
    elsewhere.fails(6, "delete", "other", "-p", "team-a")
    assert elsewhere.ok("list", "-p", "team-a", "--mine", "-o", "name").split() == ["workload/hello"]
    assert elsewhere.ok("workload", "list", "-A", "--mine", "-o", "name").split() == ["workload/hello"]
    elsewhere.fails(2, "list", "nodes", "--mine")
    elsewhere.ok("delete", "hello", "-p", "team-a")
    kept = elsewhere.home / "servers.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert elsewhere.ok("context", "list", "-o", "name").split()[-1] == url(server).removeprefix("https://")
    logins = [one for one in server.json("audit", "--user", "ada")["items"] if one["verb"] == "login"]
    assert len(logins) == 2, "one at the login, one for all commands of a quarter of an hour"
    short = elsewhere.home / "server-token.json"
    assert short.stat().st_mode & 0o777 == 0o600
    short.write_text(short.read_text().replace("eyJ", "eyK"))
    elsewhere.ok("list", "-p", "team-a")
    server.ok("token", "delete", "ada-1")
    assert "has ended" in elsewhere.fails(6, "list", "-p", "team-a")
    elsewhere.ok("logout")
    assert json.loads(kept.read_text()) == {}
    for file in (server.log, *(server.home / "audit").iterdir()):
        assert secret not in file.read_text()


def test_a_server_with_another_certificate_is_not_spoken_to(server: Embedded, elsewhere: Embedded) -> None:
    secret = signed_in(server, elsewhere, "ada-2", "--role", "viewer")
    kept = elsewhere.home / "servers.json"
    kept.write_text(kept.read_text().replace(fingerprint(server), "AA:" * 31 + "AA"))
    assert "another certificate" in elsewhere.fails(6, "list", "-A")
    wrong = elsewhere.run(
        "login", "--server", url(server), "--token", "-", "--fingerprint", "AA:" * 31 + "AA", input=secret
    )
    assert (wrong.returncode, "another certificate" in wrong.stderr) == (6, True)
    unasked = elsewhere.run("login", "--server", url(server), "--token", "-", input=secret)
    assert (unasked.returncode, fingerprint(server) in unasked.stderr) == (2, True)


@pytest.mark.parametrize("said", ["", "x", "migctl_nobody_guess"])
def test_a_wrong_secret_is_said_so(server: Embedded, elsewhere: Embedded, said: str) -> None:
    words = ("login", "--server", url(server), "--token", "-", "--fingerprint", fingerprint(server))
    done = elsewhere.run(*words, input=said)
    assert done.returncode in (2, 6)
    assert not (elsewhere.home / "servers.json").exists()


def test_a_secret_is_never_an_argument(server: Embedded, elsewhere: Embedded) -> None:
    words = ("login", "--server", url(server), "--fingerprint", fingerprint(server))
    assert "arguments can be seen" in elsewhere.fails(2, *words, "--token", "migctl_x_secret")


def test_beyond_this_machine_nobody_speaks_without_tls(elsewhere: Embedded) -> None:
    done = elsewhere.run("login", "--server", "http://192.0.2.1:8443", "--token", "-", input="migctl_a_b")
    assert (done.returncode, "without TLS" in done.stderr) == (2, True)


def test_roles_are_granted_listed_and_revoked(server: Embedded) -> None:
    server.ok("access", "grant", "eve", "viewer", "-p", "team-a")
    server.fails(4, "access", "grant", "eve", "viewer", "-p", "team-a")
    assert server.ok("access", "list", "--no-headers").split()[:3] == ["eve", "viewer", "project/team-a"]
    assert "eve is: viewer in project team-a" in server.fails(3, "access", "revoke", "eve", "viewer")
    server.ok("access", "revoke", "eve", "viewer", "-p", "team-a")
    server.fails(2, "access", "grant", "eve", "admin", "-p", "team-a")
    server.fails(3, "access", "grant", "eve", "viewer", "-p", "no-such")


def test_tokens_are_listed_without_their_secrets_in_80_columns(server: Embedded) -> None:
    secret = server.ok(
        "token", "create", "nightly", "--role", "researcher", "-p", "team-a", "--ttl", "30d", "-q"
    ).strip()
    listed = server.json("token", "list")
    assert secret not in json.dumps(listed)
    (mine,) = [one for one in listed["items"] if one["meta"]["name"] == "nightly"]
    assert mine["spec"]["access"] == {"role": "researcher", "scope": {"project": "team-a"}}
    assert all(len(line) <= 80 for line in server.ok("token", "list").splitlines())
    server.fails(4, "token", "create", "nightly", "--role", "viewer")
    server.fails(2, "token", "create", "late", "--role", "viewer", "--ttl", "0s")
    server.ok("token", "delete", "nightly")
    server.fails(3, "token", "delete", "nightly")


def test_the_audit_trail_is_shown(server: Embedded) -> None:
    server.ok("project", "create", "audited", "--quota", "1")
    server.run("project", "create", "audited", "--quota", "1")
    told = server.json("audit", "--since", "1h", "-p", "audited")["items"]
    assert [(one["verb"], one["kind"], one["status"]) for one in told] == [
        ("create", "projects", 201),
        ("create", "projects", 409),
    ]
    assert "projects/audited" in server.ok("audit")
    assert server.json("audit", "--user", "nobody")["items"] == []
    server.fails(2, "audit", "--since", "yesterday")


def test_a_login_link_is_for_the_owner(server: Embedded) -> None:
    link = server.ok("web").strip()
    assert re.fullmatch(r"https://[^/]+/login\?key=[\w-]{43}", link)


def test_a_port_that_is_taken_is_the_error_of_a_detached_start(server: Embedded, elsewhere: Embedded) -> None:
    words = ("up", "--simulate", "a100-40gb=1", "--detach", "--listen", f"0.0.0.0:{url(server).rpartition(':')[2]}")
    assert "another program listens" in elsewhere.fails(4, *words)
    assert "is no address" in elsewhere.fails(2, *words[:-1], "nowhere")
    assert "--listen" in elsewhere.fails(2, *words[:4], "--tls-cert", os.devnull, "--tls-key", os.devnull)
    assert not (elsewhere.home / "listening").exists()
