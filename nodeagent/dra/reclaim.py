"""Claims whose Unprepare never comes: a kubelet that lost its state does not call it, and the share would stay taken.

A claim is unprepared when, for ABSENT_S without a break, the API server no longer has it on this node and no process
of it is left. A kubelet that still knows the claim has called long before.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

import structlog

from nodeagent.contract.allocation import AgentError
from nodeagent.contract.holders import claim_of
from nodeagent.contract.wire import NotOurs, grant_from_json
from nodeagent.dra.claim_index import ClaimIndex, ClaimRef
from nodeagent.gpu.events import AgentEvent, EventKind, EventObserver
from nodeagent.kubernetes.client import ApiError, ApiNotFound, Json

EVERY_S = 30.0
ABSENT_S = 120.0
"""A kubelet repeats its calls every 10 to 15 s."""
MAX_READS = 8
"""Of claims that were not absent before, in one step: all agents of a cluster may start at once."""
PRESENT_S = 600.0
"""A claim that was found is not read again for so long."""

_log = structlog.get_logger("nodeagent")


class Reclaim:
    """Checks every held claim, best every EVERY_S seconds, and unprepares those that no longer exist.

    held       the holders of claims
    read       the ResourceClaim of a namespace and name, raising ApiError
    unprepare  raises AgentError while a process of the claim lives
    notify     is called with an event for each
    running    the holders that have a process on this host
    """

    def __init__(
        self,
        node: str,
        index: ClaimIndex,
        held: Callable[[], Collection[str]],
        read: Callable[[str, str], Json],
        unprepare: Callable[[ClaimRef], None],
        notify: EventObserver,
        running: Callable[[], Collection[str]],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._node, self._index, self._held, self._read, self._unprepare = node, index, held, read, unprepare
        self._notify, self._running, self._clock = notify, running, clock
        self._absent: dict[str, float] = {}
        self._present: dict[str, float] = {}

    def step(self) -> None:
        """Check every claim once. Raises OSError."""
        held, running = ({claim_of(holder) for holder in holders()} for holders in (self._held, self._running))
        now = self._clock()
        self._present = {uid: at for uid, at in self._present.items() if uid in held and now - at < PRESENT_S}
        idle = [uid for uid in sorted(held) if uid not in running and uid not in self._present]
        refs = [ref for ref in map(self._index.find, idle) if ref is not None]
        read = [r for r in refs if r.uid in self._absent] + [r for r in refs if r.uid not in self._absent][:MAX_READS]
        absent = {ref.uid: ref for ref in read if self._is_absent(ref)}
        self._present.update({ref.uid: now for ref in read if ref.uid not in absent})
        self._absent = {uid: self._absent.get(uid, now) for uid in absent}
        for uid, since in self._absent.items():
            if now - since >= ABSENT_S:
                self._reclaim(absent[uid])

    def _is_absent(self, ref: ClaimRef) -> bool:
        """Whether the claim is not, or no longer, on this node. Where the API server does not answer: as before."""
        try:
            claim = self._read(ref.namespace, ref.name)
        except ApiNotFound:
            return True
        except ApiError:
            return ref.uid in self._absent
        if claim["metadata"]["uid"] != ref.uid:
            return True
        try:
            return grant_from_json(claim["status"]["allocation"]).node != self._node
        except (NotOurs, KeyError, TypeError):
            return True

    def _reclaim(self, ref: ClaimRef) -> None:
        name = f"{ref.namespace}/{ref.name}"
        try:
            self._unprepare(ref)
        except AgentError as e:
            _log.warning(
                "a claim that no longer exists cannot be reclaimed yet", claim=ref.uid, name=name, error=str(e)
            )
            return
        text = f"{name} no longer exists, has no process, and the kubelet did not unprepare it: it was unprepared"
        self._notify(AgentEvent(EventKind.RECLAIMED, claim=ref.uid, text=text))
