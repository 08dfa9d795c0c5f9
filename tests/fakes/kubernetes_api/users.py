"""Who asks."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class User:
    """The user of a request. `node`: the node that a service account's token is bound to."""

    name: str
    node: str = ""
    groups: tuple[str, ...] = ("system:authenticated",)

    @property
    def extra(self) -> dict[str, list[str]]:
        return {"authentication.kubernetes.io/node-name": [self.node]} if self.node else {}


ADMIN = User("admin", groups=("system:masters", "system:authenticated"))
KUBERNETES = User("system:serviceaccount:kube-system:resource-claim-controller")
"""Stands for all of the controller-manager's controllers."""


def of_token(token: str) -> User:
    """A bearer token names the user: "admin", or "NAMESPACE:NAME[:NODE]" for a service account, or a JWT its `sub`."""
    if token == "admin":
        return ADMIN
    if token.count(".") == 2:
        payload = token.split(".")[1]
        return User(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["sub"])
    if ":" not in token:
        return User(token or "system:anonymous")
    namespace, name, *node = token.split(":")
    return User(f"system:serviceaccount:{namespace}:{name}", node[0] if node else "")


def jwt(user: str, **claims: object) -> str:
    """A token of a user, in the form that service accounts' tokens have; nobody signs it here."""
    parts = ({"alg": "RS256"}, {"sub": user, **claims}, {"signed": "by nobody"})
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)
