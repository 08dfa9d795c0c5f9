"""TokenReview and SubjectAccessReview: who a token is and what somebody may do, by the same rules as any request."""

from __future__ import annotations

from tests.fakes.kubernetes_api.errors import Refused
from tests.fakes.kubernetes_api.rbac import Attempt, Authorizer
from tests.fakes.kubernetes_api.storage import Json
from tests.fakes.kubernetes_api.users import User, of_token

API_SERVER = "https://kubernetes.default.svc"


class TokensAndAccess:
    """What the server knows of tokens.

    ended      tokens that do not count any more
    audiences  of tokens that are not for the API server
    asked      the access reviews so far
    """

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer
        self.ended: set[str] = set()
        self.audiences: dict[str, list[str]] = {}
        self.reviewed: list[str] = []
        self.asked: list[Json] = []

    def user(self, token: str) -> User:
        """The user of a request with a token. Raises Refused."""
        if token in self.ended or API_SERVER not in self.audiences.get(token, [API_SERVER]):
            raise Refused(401, "Unauthorized", "Unauthorized")
        return of_token(token)

    def review(self, plural: str, body: Json) -> Json:
        """The answer to a review of either kind."""
        return self._token(body["spec"]) if plural == "tokenreviews" else self._access(body["spec"])

    def _token(self, spec: Json) -> Json:
        token = spec["token"]
        self.reviewed.append(token)
        wanted, there = spec.get("audiences") or [API_SERVER], self.audiences.get(token, [API_SERVER])
        shared = [one for one in wanted if one in there]
        if token in self.ended or not shared or of_token(token).name == "system:anonymous":
            return {"status": {"authenticated": False, "error": "[invalid bearer token, token lookup failed]"}}
        user = of_token(token)
        info = {"username": user.name, "uid": f"uid-of-{user.name}", "groups": list(user.groups), "extra": user.extra}
        return {"status": {"authenticated": True, "user": info, "audiences": shared}}

    def _access(self, spec: Json) -> Json:
        self.asked.append(spec)
        wanted = spec["resourceAttributes"]
        resource = "/".join(filter(None, (wanted["resource"], wanted.get("subresource"))))
        attempt = Attempt(
            wanted["verb"], wanted.get("group", ""), resource, wanted.get("namespace", ""), wanted.get("name", "")
        )
        known = "system:authenticated" in spec.get("groups", [])
        return {"status": {"allowed": known and self._authorizer.allows(spec["user"], attempt)}}
