"""Readable names of the claims and GPUs that a plan names by uid and UUID."""

from __future__ import annotations

from solver.model.cluster import Backing
from solver.model.demand import DeviceShare, Grant
from solver.model.plan import Assign, Create, Destroy, Evict, Step
from solver.model.snapshot import Snapshot


class Names:
    """Names of the claims ("project/workload") and GPUs ("node/index") of snapshots."""

    def __init__(self, *states: Snapshot) -> None:
        requests = [r for s in states for r in (*s.pending, *(holding.request for holding in s.held))]
        self._claims = {r.claim: f"{r.project}/{r.name}" for r in requests}
        self._gpus = {gpu.uuid: f"{gpu.node}/{gpu.index}" for state in states for gpu in state.gpus}

    def claim(self, uid: str) -> str:
        """The claim's name; the uid of one that the snapshot does not know."""
        return self._claims.get(uid, uid)

    def gpu(self, uuid: str) -> str:
        """The GPU's name; the UUID of one that the snapshot does not know."""
        return self._gpus.get(uuid, uuid)

    def share(self, share: DeviceShare) -> str:
        """One device's share: "node-a/0 2g.10gb@4", "node-b/1 8080 MiB (software)", "node-b/1 whole"."""
        if share.backing is Backing.MIG:
            return f"{self.gpu(share.gpu)} {share.profile}@{share.start}"
        if share.backing is Backing.WHOLE:
            return f"{self.gpu(share.gpu)} whole"
        return f"{self.gpu(share.gpu)} {share.memory_mib} MiB ({share.backing})"

    def grant(self, grant: Grant) -> str:
        return ", ".join(self.share(share) for share in grant.devices)

    def step(self, step: Step) -> str:
        """A step as a sentence."""
        match step:
            case Evict():
                taker = f" for {self.claim(step.beneficiary)}" if step.beneficiary else ""
                return f"evict {self.claim(step.claim)}{taker}: {step.why}"
            case Destroy():
                return f"destroy idle {step.profile}@{step.start} on {self.gpu(step.gpu)}"
            case Create():
                return f"create {step.profile}@{step.start} on {self.gpu(step.gpu)}"
            case Assign():
                return f"assign {self.claim(step.claim)} to {self.grant(step.grant)}"
