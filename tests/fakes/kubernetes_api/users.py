"""Who asks."""

from __future__ import annotations

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
    """A bearer token names the user: "admin", or "NAMESPACE:NAME[:NODE]" for a service account."""
    if token == "admin":
        return ADMIN
    if ":" not in token:
        return User(token or "system:anonymous")
    namespace, name, *node = token.split(":")
    return User(f"system:serviceaccount:{namespace}:{name}", node[0] if node else "")
