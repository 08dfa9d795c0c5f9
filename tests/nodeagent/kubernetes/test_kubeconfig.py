"""Kubeconfigs and pods' service accounts: what an API server hears of an agent, and what people hear of a bad one."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from nodeagent.kubernetes.access import NoApiAccess, in_cluster
from nodeagent.kubernetes.client import ApiError, ApiUnreachable, KubernetesClient
from nodeagent.kubernetes.credential_command import CommandTokens, CredentialCommand
from nodeagent.kubernetes.kubeconfig import from_kubeconfig

TLS = Path(__file__).parent / "tls"
"""A certificate authority, a server that is called kubernetes.default.svc or 127.0.0.1, a client; see its README."""


class Listener(ThreadingHTTPServer):
    """Answers every GET with what it heard."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(TLS / "ca.crt"))
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_cert_chain(TLS / "server.crt", TLS / "server.key")
        self.socket = context.wrap_socket(self.socket, server_side=True)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Handshakes that fail are what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """Say whose certificate and which token came."""
        connection: Any = self.connection
        subject = dict(pair for (pair,) in (connection.getpeercert() or {}).get("subject", ()))
        heard = {"token": self.headers.get("Authorization"), "client": subject.get("commonName")}
        body = json.dumps(heard).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    listener = Listener()
    thread = threading.Thread(target=listener.serve_forever, daemon=True)
    thread.start()
    yield f"https://127.0.0.1:{listener.server_port}"
    listener.shutdown()
    thread.join()
    listener.server_close()


def kubeconfig(folder: Path, cluster: dict[str, Any], user: dict[str, Any]) -> Path:
    path = folder / "config"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "one",
        "contexts": [{"name": "one", "context": {"cluster": "c", "user": "u", "namespace": "ignored"}}],
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
    }
    path.write_text(yaml.safe_dump(config))
    return path


def heard(path: Path) -> dict[str, Any]:
    api = KubernetesClient(from_kubeconfig(path))
    try:
        return api.get("/")
    finally:
        api.close()


def data(name: str) -> str:
    return base64.b64encode((TLS / name).read_bytes()).decode()


CA = str(TLS / "ca.crt")


@pytest.mark.parametrize("inline", [True, False], ids=["data", "files"])
def test_authority_and_client_certificate_are_data_or_files(server: str, tmp_path: Path, inline: bool) -> None:
    names = {"certificate-authority": "ca.crt", "client-certificate": "client.crt", "client-key": "client.key"}
    for name in names.values():
        (tmp_path / name).write_bytes((TLS / name).read_bytes())
    told = {f"{key}-data": data(name) for key, name in names.items()} if inline else dict(names)
    cluster = {"server": server, **{k: v for k, v in told.items() if k.startswith("certificate")}}
    user = {k: v for k, v in told.items() if k.startswith("client")}
    assert heard(kubeconfig(tmp_path, cluster, user)) == {"token": None, "client": "test-client"}


def test_a_server_of_another_authority_is_not_spoken_to(server: str, tmp_path: Path) -> None:
    with pytest.raises(ApiUnreachable, match=r"(?i)certificate"):
        heard(kubeconfig(tmp_path, {"server": server}, {"token": "secret"}))


def test_a_server_may_be_trusted_blindly_where_the_kubeconfig_says_so(server: str, tmp_path: Path) -> None:
    cluster = {"server": server, "insecure-skip-tls-verify": True}
    assert heard(kubeconfig(tmp_path, cluster, {"token": "t"}))["token"] == "Bearer t"


def test_a_server_is_known_by_the_name_that_the_kubeconfig_gives(server: str, tmp_path: Path) -> None:
    cluster = {"server": server, "certificate-authority": CA}
    named = {**cluster, "tls-server-name": "kubernetes.default.svc"}
    assert heard(kubeconfig(tmp_path, named, {"token": "t"}))["token"] == "Bearer t"
    with pytest.raises(ApiUnreachable, match=r"(?i)certificate"):
        heard(kubeconfig(tmp_path, {**cluster, "tls-server-name": "elsewhere"}, {}))


def test_a_token_in_a_file_is_read_again_for_every_request(server: str, tmp_path: Path) -> None:
    token = tmp_path / "token"
    cluster = {"server": server, "certificate-authority": CA}
    api = KubernetesClient(from_kubeconfig(kubeconfig(tmp_path, cluster, {"tokenFile": "token"})))
    for value in ("one", "two"):
        token.write_text(f"{value}\n")
        assert api.get("/")["token"] == f"Bearer {value}"
    token.unlink()
    with pytest.raises(ApiUnreachable, match="token"):
        api.get("/")
    api.close()


def test_a_pod_speaks_with_the_token_of_its_account_as_it_is_now(server: str, tmp_path: Path) -> None:
    environ = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": server.rpartition(":")[2]}
    with pytest.raises(NoApiAccess, match="KUBERNETES_SERVICE_HOST"):
        in_cluster(tmp_path, {})
    (tmp_path / "ca.crt").write_bytes((TLS / "ca.crt").read_bytes())
    with pytest.raises(NoApiAccess, match="automountServiceAccountToken"):
        in_cluster(tmp_path, environ)
    (tmp_path / "token").write_text("first")
    api = KubernetesClient(in_cluster(tmp_path, environ))
    assert api.get("/")["token"] == "Bearer first"
    (tmp_path / "token").write_text("rotated")
    assert api.get("/")["token"] == "Bearer rotated"
    api.close()


def command(folder: Path, script: str, **fields: Any) -> CredentialCommand:
    (folder / "tell").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "tell").chmod(0o755)
    return CredentialCommand("./tell", **fields)


PRINT = """n=$(cat {count} 2>/dev/null || echo 0); n=$((n + 1)); echo $n > {count}
echo '{{"kind": "ExecCredential", "status": {{"token": "'"$1-$SUFFIX-$n"'",'
echo '"expirationTimestamp": "2030-01-01T00:00:00Z"}}}}'"""


def test_a_command_is_asked_for_a_token_only_when_the_last_one_ends(tmp_path: Path) -> None:
    now = datetime(2029, 12, 31, tzinfo=UTC)
    config = {"command": "./tell", "args": ["a"], "env": [{"name": "SUFFIX", "value": "b"}]}
    command(tmp_path, PRINT.format(count=tmp_path / "count"))
    tokens = CommandTokens(CredentialCommand("./tell", args=["a"]), tmp_path, lambda: now)
    assert [tokens.token(), tokens.token()] == ["a--1", "a--1"]
    now += timedelta(days=1)
    assert tokens.token() == "a--2"
    access = from_kubeconfig(kubeconfig(tmp_path, {"server": "https://127.0.0.1"}, {"exec": config}))
    assert access.authorization() == "Bearer a-b-3"


@pytest.mark.parametrize(
    ("script", "why"),
    [("echo 'log in first' >&2; exit 1", "log in first"), ("exit 7", "exit code 7"), ("echo no JSON", "no token")],
)
def test_a_command_that_fails_says_why_in_its_own_words(tmp_path: Path, script: str, why: str) -> None:
    command(tmp_path, script)
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "./tell"}}
    api = KubernetesClient(from_kubeconfig(kubeconfig(tmp_path, {"server": "https://127.0.0.1:1"}, user)))
    with pytest.raises(ApiError, match=why):
        api.get("/")
    api.close()


def test_a_command_that_is_not_installed_says_how_to_get_it(tmp_path: Path) -> None:
    absent = CredentialCommand("no-such-command-here", hint="ask your cloud")
    with pytest.raises(OSError, match="not in PATH; ask your cloud"):
        CommandTokens(absent, tmp_path).token()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("clusters: []", "current-context"),
        ("current-context: one", "no context named 'one'"),
        ("[", "cannot use the kubeconfig"),
        ("contexts: 5", r"Expected `array.*got `int`"),
        (
            "{current-context: a, contexts: [{name: a, context: {cluster: c, user: u}}],"
            " clusters: [{name: c, cluster: {server: 'https://x'}}], users: [{name: u, user: {username: me}}]}",
            "use a token",
        ),
    ],
)
def test_what_a_kubeconfig_lacks_is_said(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "config").write_text(text)
    with pytest.raises(NoApiAccess, match=why):
        from_kubeconfig(tmp_path / "config")
    with pytest.raises(NoApiAccess, match="No such file"):
        from_kubeconfig(tmp_path / "absent")
