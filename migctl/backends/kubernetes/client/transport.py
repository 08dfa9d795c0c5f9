"""The choke point to the Kubernetes API: raw requests over kubernetes.aio's connection and credentials.

Bytes in, bytes out: the client's generated models are 10 to 60 times slower than narrow structs.
Refusals become the protocol's errors (see errors.py), a server that does not answer Unavailable.
"""

from __future__ import annotations

import contextlib
import copy
import os
import random
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlencode
from urllib.request import getproxies, proxy_bypass

import aiohttp
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_delay
from yarl import URL

from migctl.backends.kubernetes.client.errors import TooManyRequests, refusal
from migctl.backends.protocol import ControlPlaneError, Unavailable

if TYPE_CHECKING:
    from kubernetes.aio.client import Configuration

ANSWER_S = 30.0
CONNECT_S = 5.0
RETRY_LIMIT_S = 20.0
"""How long a request is tried again after 429."""

MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
JSON = "application/json"

Query = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ClusterAccess:
    """The API server's address and our credentials."""

    configuration: Configuration


async def from_kubeconfig(path: str | None = None, context: str | None = None) -> ClusterAccess:
    """Access as kubectl would have it. Raises Unavailable with the reason where there is none."""
    from kubernetes.aio import config
    from kubernetes.aio.client import Configuration

    hint = "name one with --kubeconfig and --context"
    if path is not None and not any(os.path.exists(one) for one in path.split(os.pathsep)):
        raise Unavailable(f"no cluster to talk to: there is no kubeconfig {path}", hint)
    configuration = Configuration()
    try:
        await config.load_kube_config(path, context, client_configuration=configuration, persist_config=False)
    except Exception as error:  # the library checks no form: a broken file fails anywhere in it
        why = " ".join(str(error).split())
        raise Unavailable(f"no cluster to talk to: the kubeconfig {path or ''} cannot be used: {why}", hint) from error
    return ClusterAccess(configuration)


def in_cluster() -> ClusterAccess:
    """Access of a pod, by its service account. Raises Unavailable outside of one."""
    from kubernetes.aio import config
    from kubernetes.aio.client import Configuration

    configuration = Configuration()
    try:
        config.load_incluster_config(client_configuration=configuration)
    except config.ConfigException as error:
        raise Unavailable(f"this is no pod of a cluster: {error}", hint="give --kubeconfig") from error
    return ClusterAccess(configuration)


class Transport:
    """One API server. Used within one event loop; closed by close() or as a context."""

    def __init__(self, access: ClusterAccess, *, connections: int = 32) -> None:
        self.access = access
        access.configuration.connection_pool_maxsize = connections
        self._session: aiohttp.ClientSession | None = None
        self._base = access.configuration.host.rstrip("/")
        self._route = _route(access.configuration)

    async def request(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        body: bytes | None = None,
        content_type: str = JSON,
    ) -> bytes:
        """The body of a good answer. 429 is tried again for RETRY_LIMIT_S; nothing else is."""
        async for attempt in _while_too_many_requests():
            with attempt:
                return await self._once(method, path, query, body, content_type)
        raise AssertionError("tenacity returns or raises")

    async def _once(self, method: str, path: str, query: Query | None, body: bytes | None, content_type: str) -> bytes:
        timeout = aiohttp.ClientTimeout(total=ANSWER_S, connect=CONNECT_S)
        headers = {"Content-Type": content_type, "Accept": JSON, **await self._credentials()}
        with _explaining():
            async with self._opened().request(
                method, self._url(path, query), data=body, headers=headers, timeout=timeout, **self._route
            ) as response:
                answer = await response.read()
        if response.status >= 300:
            raise refusal(response.status, answer, response.headers.get("Retry-After"))
        return answer

    @contextlib.asynccontextmanager
    async def stream(self, path: str, query: Query, silence_s: float | None) -> AsyncIterator[AsyncIterator[bytes]]:
        """The body of a long answer in pieces, as they come; Unavailable after `silence_s` without one."""
        timeout = aiohttp.ClientTimeout(total=None, connect=CONNECT_S, sock_read=silence_s)
        headers = {"Accept": JSON, **await self._credentials()}
        with _explaining():
            url = self._url(path, query)
            async with self._opened().get(url, headers=headers, timeout=timeout, **self._route) as response:
                if response.status >= 300:
                    raise refusal(response.status, await response.read(), response.headers.get("Retry-After"))
                yield response.content.iter_any()

    @contextlib.asynccontextmanager
    async def websocket(
        self, path: str, query: list[tuple[str, str]], protocol: str
    ) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """A two-way stream: exec, attach, port-forward."""
        url = URL(f"{self._base}{path}?{urlencode(query)}", encoded=True)
        with _explaining():
            try:
                async with self._opened().ws_connect(
                    url, headers=await self._credentials(), protocols=(protocol,), max_msg_size=0
                ) as socket:
                    yield socket
            except aiohttp.WSServerHandshakeError as error:
                raise refusal(error.status, error.message.encode()) from None

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            from kubernetes.aio.client.rest import RESTClientObject

            # Else netrc and the proxy's variables are read again for every request, each in a thread.
            self.access.configuration.client_session_kwargs = {"trust_env": False}
            self._session = RESTClientObject(self.access.configuration)._create_pool_manager()
        return self._session

    async def _credentials(self) -> dict[str, str]:
        settings: Mapping[str, Any] = await self.access.configuration.auth_settings()
        return {auth["key"]: auth["value"] for auth in settings.values() if auth["in"] == "header"}

    def _url(self, path: str, query: Query | None) -> URL:
        return URL(f"{self._base}{path}" + (f"?{urlencode(query)}" if query else ""), encoded=True)


class CallersTransport(Transport):
    """A Transport whose requests are of whoever has a bearer token; all callers share one's connections.

    shared  must itself have no credentials: see `without_credentials`
    """

    def __init__(self, shared: Transport, token: str) -> None:
        self.access = shared.access
        self._shared = shared
        self._token = token
        self._base = shared._base
        self._route = shared._route

    async def close(self) -> None:
        """Nothing to do: the connections are shared."""

    def _opened(self) -> aiohttp.ClientSession:
        return self._shared._opened()

    async def _credentials(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"}


def without_credentials(access: ClusterAccess) -> ClusterAccess:
    """The same API server for somebody else: neither our token nor our certificate, which would count before theirs."""
    configuration = copy.copy(access.configuration)
    configuration.api_key, configuration.api_key_prefix = {}, {}
    configuration.cert_file = configuration.key_file = None
    configuration.username = configuration.password = None
    configuration.refresh_api_key_hook = None
    return ClusterAccess(configuration)


def _route(configuration: Configuration) -> dict[str, Any]:
    """The route to the server: a proxy, by the kubeconfig or the environment, and the name in its certificate."""
    proxy = configuration.proxy or _proxy_of_environment(URL(configuration.host))
    wanted = {"proxy": proxy, "server_hostname": configuration.tls_server_name}
    return {key: value for key, value in wanted.items() if value}


def _proxy_of_environment(url: URL) -> str | None:
    """As HTTPS_PROXY, HTTP_PROXY and NO_PROXY say."""
    return None if proxy_bypass(url.host or "") else getproxies().get(url.scheme)


@contextlib.contextmanager
def _explaining() -> Iterator[None]:
    try:
        yield
    except ControlPlaneError:
        raise
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        reason = str(error) or type(error).__name__
        raise Unavailable(f"the API server does not answer: {reason}", hint="kubectl version tells more") from error


def _while_too_many_requests() -> AsyncRetrying:
    return AsyncRetrying(
        retry=retry_if_exception_type(TooManyRequests),
        stop=stop_after_delay(RETRY_LIMIT_S),
        wait=_retry_after,
        reraise=True,
    )


def _retry_after(state: RetryCallState) -> float:
    """The server's Retry-After, up to a fifth longer, so that callers do not come back together."""
    error = state.outcome.exception() if state.outcome else None
    after = error.after_s if isinstance(error, TooManyRequests) else 1.0
    return after * (1 + 0.2 * random.random())
