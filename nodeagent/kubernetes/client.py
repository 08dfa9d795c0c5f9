"""The only module of the agent that sends requests to the Kubernetes API: JSON in, JSON out, from any thread.

ApiError         the server refused; `status` and `reason` are its own
├── ApiNotFound     404
├── ApiConflict     409: it exists already, or its resourceVersion is another
├── ApiForbidden    401, 403: a permission is missing
└── ApiUnreachable  no answer, a proxy's answer, or "try again later"
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
import msgspec

from nodeagent.kubernetes.access import ApiAccess

Json = dict[str, Any]

MERGE_PATCH = "application/merge-patch+json"

_RESPONSE_S = 10.0
_CONNECT_S = 3.0
_KEEPALIVE_S = 60.0
"""Longer than between heartbeats: a new TLS connection costs more than the rest of one. API servers allow 90 s."""
_RETRYABLE = {429, 500, 502, 503, 504}


class ApiError(Exception):
    """A request that failed. The text is for people."""

    def __init__(self, text: str, status: int = 0, reason: str = "") -> None:
        super().__init__(text)
        self.status, self.reason = status, reason


class ApiNotFound(ApiError):
    """There is no such object."""


class ApiConflict(ApiError):
    """The object exists already, or its resourceVersion is another."""


class ApiForbidden(ApiError):
    """A permission is missing."""


class ApiUnreachable(ApiError):
    """There is no response of the API server itself, or it must be called later."""


_ERRORS = {
    401: ApiForbidden,
    403: ApiForbidden,
    404: ApiNotFound,
    409: ApiConflict,
    **dict.fromkeys(_RETRYABLE, ApiUnreachable),
}


class KubernetesClient:
    """One API server. Every method raises ApiError."""

    def __init__(self, access: ApiAccess) -> None:
        self._access = access
        self._extensions = {"sni_hostname": access.server_name} if access.server_name else {}
        self._http = httpx.Client(
            base_url=access.url,
            verify=access.trust,
            timeout=httpx.Timeout(_RESPONSE_S, connect=_CONNECT_S),
            headers={"Accept": "application/json", "User-Agent": "migctl-agent"},
            limits=httpx.Limits(keepalive_expiry=_KEEPALIVE_S),
            trust_env=False,
        )

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Json:
        return self._request("GET", path, query=query)

    def create(self, path: str, body: Json) -> Json:
        return self._request("POST", path, body)

    def replace(self, path: str, body: Json) -> Json:
        return self._request("PUT", path, body)

    def patch(self, path: str, body: Any, content_type: str = MERGE_PATCH) -> Json:
        return self._request("PATCH", path, body, content_type)

    def delete(self, path: str) -> Json:
        return self._request("DELETE", path)

    def close(self) -> None:
        self._http.close()

    def _request(
        self,
        method: str,
        path: str,
        body: Any = None,
        content_type: str = "application/json",
        query: Mapping[str, str] | None = None,
    ) -> Json:
        content = None if body is None else msgspec.json.encode(body)
        headers = {"Content-Type": content_type} if content is not None else {}
        try:
            authorization = self._access.authorization()
            if authorization:
                headers["Authorization"] = authorization
            response = self._http.request(
                method, path, params=query, content=content, headers=headers, extensions=self._extensions
            )
        except (httpx.HTTPError, OSError) as e:
            raise ApiUnreachable(f"the API server does not answer: {e or type(e).__name__}") from e
        if response.status_code >= 300:
            raise _error(method, path, response.status_code, response.content)
        return _json(response.content)


def _json(content: bytes) -> Json:
    try:
        return msgspec.json.decode(content, type=Json)
    except msgspec.MsgspecError as e:
        raise ApiUnreachable(f"the API server's response is no JSON: {e}") from e


def _error(method: str, path: str, status: int, content: bytes) -> ApiError:
    """With the message of the server's Status, where it sent one."""
    try:
        stated = _json(content)
    except ApiError:
        stated = {}
    text = stated.get("message") or f"{method} {path}: HTTP {status}"
    return _ERRORS.get(status, ApiError)(str(text), status, str(stated.get("reason", "")))
