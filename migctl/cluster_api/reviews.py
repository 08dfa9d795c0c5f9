"""Who a token is, and what somebody may do: the API server's answers, by TokenReview and SubjectAccessReview.

Without an answer nothing is allowed: it is Unavailable, which is tried again. An answer counts for seconds.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

from migctl.backends.kubernetes.client.api import KubernetesApi
from migctl.backends.kubernetes.client.kinds import WireStruct
from migctl.backends.kubernetes.client.resources import Resource
from migctl.backends.protocol import ControlPlaneError, Unauthenticated, Unavailable
from migctl.cluster_api.answers import KeptAnswers
from migctl.cluster_api.permissions import Permission

KEPT_S = 10.0
MAX_TOKENS = 4096
MAX_ACCESS = 65_536
TOKEN = re.compile(r"[A-Za-z0-9._~+/-]{1,16384}=*", re.ASCII)
"""What a bearer token is made of (RFC 6750)."""

SERVICE_ACCOUNT = "system:serviceaccount:"
NOT_KNOWN = "the cluster does not know this token, or not any more"
HINT = "kubectl create token NAME -n PROJECT makes one"


class _UserInfo(WireStruct, frozen=True):
    """`user` of a TokenReview."""

    username: str = ""
    uid: str = ""
    groups: tuple[str, ...] | None = None
    extra: dict[str, tuple[str, ...]] | None = None


class _TokenStatus(WireStruct, frozen=True):
    authenticated: bool = False
    user: _UserInfo = _UserInfo()
    audiences: tuple[str, ...] | None = None
    error: str = ""


class TokenReview(WireStruct, frozen=True):
    """What the API server says of a token."""

    status: _TokenStatus = _TokenStatus()


class _AccessStatus(WireStruct, frozen=True):
    allowed: bool = False


class SubjectAccessReview(WireStruct, frozen=True):
    """What the API server says of somebody's access."""

    status: _AccessStatus = _AccessStatus()


TOKEN_REVIEWS = Resource("authentication.k8s.io/v1", "tokenreviews", TokenReview, False, title="TokenReview")
ACCESS_REVIEWS = Resource(
    "authorization.k8s.io/v1", "subjectaccessreviews", SubjectAccessReview, False, title="SubjectAccessReview"
)


@dataclass(frozen=True)
class KubernetesIdentity:
    """Somebody as the API server knows him. extra: what authentication adds, by key.

    token    what he came with; it is told to nobody but the API server
    expires  as the token itself says; None where it does not
    """

    name: str
    uid: str
    groups: tuple[str, ...]
    extra: tuple[tuple[str, tuple[str, ...]], ...]
    token: str = field(repr=False)
    expires: datetime | None = None

    @property
    def subject(self) -> tuple[object, ...]:
        """All that his rights depend on."""
        return self.name, self.uid, self.groups, self.extra


class Reviews:
    """Asks the API server, as itself.

    audiences  a token must be for one of them; none: for the API server
    """

    def __init__(
        self,
        api: KubernetesApi,
        audiences: tuple[str, ...] = (),
        kept_s: float = KEPT_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._audiences = audiences
        self.kept_s = kept_s
        self.tokens: KeptAnswers[KubernetesIdentity | None] = KeptAnswers(kept_s, MAX_TOKENS, 16, monotonic)
        self.access: KeptAnswers[bool] = KeptAnswers(kept_s, MAX_ACCESS, 32, monotonic)

    async def identity(self, token: str) -> KubernetesIdentity:
        """Who a token is. Raises Unauthenticated, Unavailable."""
        if not TOKEN.fullmatch(token):
            raise Unauthenticated("this is no bearer token", hint=HINT)
        key = hashlib.sha256(token.encode()).digest()
        found = await self.tokens.of(key, lambda: self._review_token(token))
        if found is None:
            raise Unauthenticated(NOT_KNOWN, hint=HINT)
        return found

    async def allows(self, who: KubernetesIdentity, permission: Permission, namespace: str = "") -> bool:
        """Whether somebody has a permission in a namespace, or in all of them. Raises Unavailable."""
        key = (who.subject, permission, namespace)
        return await self.access.of(key, lambda: self._review_access(who, permission, namespace))

    async def _review_token(self, token: str) -> KubernetesIdentity | None:
        spec: dict[str, Any] = {"token": token, **({"audiences": self._audiences} if self._audiences else {})}
        status = (await self._review(TOKEN_REVIEWS, spec)).status
        if not status.authenticated or not status.user.username:
            return None
        if self._audiences and not set(self._audiences) & set(status.audiences or ()):
            return None
        user = status.user
        extra = tuple(sorted((key, tuple(values)) for key, values in (user.extra or {}).items()))
        return KubernetesIdentity(user.username, user.uid, user.groups or (), extra, token, _expiry(token))

    async def _review_access(self, who: KubernetesIdentity, permission: Permission, namespace: str) -> bool:
        spec = {
            "user": who.name,
            "uid": who.uid,
            "groups": who.groups,
            "extra": dict(who.extra),
            "resourceAttributes": {
                "verb": permission.verb,
                "group": permission.group,
                "resource": permission.resource,
                **({"subresource": permission.subresource} if permission.subresource else {}),
                **({"namespace": namespace} if namespace else {}),
            },
        }
        answer: SubjectAccessReview = await self._review(ACCESS_REVIEWS, spec)
        return answer.status.allowed

    async def _review(self, resource: Resource[Any], spec: Mapping[str, Any]) -> Any:
        try:
            answer = await self._api.create(
                resource, {"apiVersion": resource.api, "kind": resource.title, "metadata": {}, "spec": spec}
            )
            return resource.one.decode(answer)
        except (ControlPlaneError, msgspec.MsgspecError) as error:
            raise Unavailable(
                "the cluster's API server does not say who you are and what you may", hint="try again in a moment"
            ) from error


def _expiry(token: str) -> datetime | None:
    """When a token ends, by itself: the API server has verified it."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = msgspec.json.decode(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return datetime.fromtimestamp(claims["exp"], UTC)
    except (ValueError, TypeError, KeyError, OverflowError, OSError, binascii.Error, msgspec.MsgspecError):
        return None
