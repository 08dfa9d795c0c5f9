"""Claims whose Unprepare never comes: a kubelet that lost its state does not ask, and the share would stay taken.

A claim is taken back when, for a while without a break, the API server no longer has it on this node and no process
of it is left. A kubelet that still knows the claim has long asked by then.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

import structlog

from nodeagent.contract.allocation import AgentError
from nodeagent.contract.wire import NotOurs, grant_from_json
from nodeagent.dra.claim_index import ClaimIndex, ClaimRef
from nodeagent.gpu.events import AgentEvent, EventKind, EventObserver
from nodeagent.kubernetes.client import ApiError, ApiNotFound, Json
from nodeagent.shares import process_owner

EVERY_S = 30.0
PATIENCE_S = 120.0
"""A kubelet asks again every 10 to 15 s."""
ASKS = 8
"""So many claims that were not missing before are asked about in one look: a cluster's agents may start together."""
SURE_S = 600.0
"""A claim that was there is not asked about again so soon."""

_log = structlog.get_logger("nodeagent")


class Reclaim:
    """Looks at every claim that is held, best every EVERY_S seconds, and takes back those that are no more.

    held     uids of the claims that are held
    read     the ResourceClaim of a namespace and name, raising ApiError
    release  takes a claim back, raising AgentError while something of it lives
    working  uids of the claims that have a process on this host
    """

    def __init__(
        self,
        node: str,
        ledger: ClaimIndex,
        held: Callable[[], Collection[str]],
        read: Callable[[str, str], Json],
        release: Callable[[ClaimRef], None],
        tell: EventObserver,
        *,
        working: Callable[[], Collection[str]] = process_owner.claims_at_work,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._node, self._ledger, self._held, self._read, self._release = node, ledger, held, read, release
        self._tell, self._working, self._clock = tell, working, clock
        self._lost: dict[str, float] = {}
        self._there: dict[str, float] = {}

    def look(self) -> None:
        """One step; what keeps the host from being looked at is logged."""
        try:
            self.step()
        except OSError as e:
            _log.warning("cannot look for claims that are no more", error=str(e))

    def step(self) -> None:
        """One look at every claim. Raises OSError."""
        held, working, now = self._held(), self._working(), self._clock()
        self._there = {uid: at for uid, at in self._there.items() if uid in held and now - at < SURE_S}
        idle = [uid for uid in held if uid not in working and uid not in self._there]
        refs = [ref for ref in map(self._ledger.find, idle) if ref is not None]
        asked = [r for r in refs if r.uid in self._lost] + [r for r in refs if r.uid not in self._lost][:ASKS]
        lost = {ref.uid: ref for ref in asked if self._is_lost(ref)}
        self._there.update({ref.uid: now for ref in asked if ref.uid not in lost})
        self._lost = {uid: self._lost.get(uid, now) for uid in lost}
        for uid, since in self._lost.items():
            if now - since >= PATIENCE_S:
                self._take_back(lost[uid])

    def _is_lost(self, ref: ClaimRef) -> bool:
        """Whether the claim is not, or no longer, on this node. Where the API server does not say: as before."""
        try:
            claim = self._read(ref.namespace, ref.name)
        except ApiNotFound:
            return True
        except ApiError:
            return ref.uid in self._lost
        if claim["metadata"]["uid"] != ref.uid:
            return True
        try:
            return grant_from_json(claim["status"]["allocation"]).node != self._node
        except (NotOurs, KeyError, TypeError):
            return True

    def _take_back(self, ref: ClaimRef) -> None:
        name = f"{ref.namespace}/{ref.name}"
        try:
            self._release(ref)
        except AgentError as e:
            _log.warning("a claim that is no more cannot be taken back yet", claim=ref.uid, name=name, error=str(e))
            return
        text = f"{name} is no more, nothing of it runs, and the kubelet did not ask: it was taken back"
        self._tell(AgentEvent(EventKind.RECLAIMED, claim=ref.uid, text=text))
