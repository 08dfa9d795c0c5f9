"""What the agent remembers of one GPU: its instances, who holds what, what it is about to do.

A record is the fold of journal entries; every entry is one line of JSON with an "op". Folding is pure:
journal.py makes entries durable, nodeagent.gpu and nodeagent.claims decide which to write.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from nodeagent.contract.allocation import Allocation
from solver.model.cluster import Backing
from solver.model.demand import DeviceShare
from solver.model.geometry import Placement

Entry = dict[str, Any]


@dataclass(frozen=True, slots=True)
class OwnedInstance:
    """A MIG instance that this agent created. It exists only while the driver knows `uuid` as GPU instance `gi`."""

    profile: str
    start: int
    size: int
    gi: int
    uuid: str

    @property
    def placement(self) -> Placement:
        return Placement(self.profile, self.start)


@dataclass(frozen=True, slots=True)
class Hold:
    """A claim's share of this GPU.

    name     what people call the claim's pod
    project  the namespace of both; "" where the journal is of a version that did not write it
    uuid     of the MIG instance, or of the GPU
    devices  how many shares the whole claim has
    """

    claim: str
    name: str
    share: DeviceShare
    uuid: str
    devices: int
    project: str = ""

    @classmethod
    def of(cls, allocation: Allocation, share: DeviceShare, uuid: str) -> Hold:
        """One share of an allocation, on the device `uuid`."""
        return cls(allocation.claim, allocation.name, share, uuid, len(allocation.devices), project=allocation.project)

    @property
    def placement(self) -> Placement | None:
        profile, start = self.share.profile, self.share.start
        return None if profile is None or start is None else Placement(profile, start)


@dataclass(frozen=True, slots=True)
class Intent:
    """What a transaction is about to destroy and create."""

    claim: str
    destroy: tuple[Placement, ...]
    create: Placement | None


@dataclass(slots=True)
class GpuRecord:
    """Everything remembered of one GPU.

    boot         the boot that the rest is about
    owned        instances of ours, by placement
    holds        by claim
    intent       of the transaction that has begun and not ended
    quarantined  why an instance of ours may not be touched, by placement
    desired_mig  the MIG mode that an admin set; None: never set
    """

    boot: str = ""
    owned: dict[Placement, OwnedInstance] = field(default_factory=dict)
    holds: dict[str, Hold] = field(default_factory=dict)
    intent: Intent | None = None
    quarantined: dict[Placement, str] = field(default_factory=dict)
    desired_mig: bool | None = None

    def holder(self, placement: Placement) -> Hold | None:
        """What holds the instance at a placement."""
        return next((h for h in self.holds.values() if h.placement == placement), None)

    def apply(self, entry: Entry) -> None:
        """Fold one entry in. Raises KeyError, TypeError or ValueError on one that makes no sense."""
        match entry["op"]:
            case "boot":
                self.boot = entry["id"]
                self.owned, self.holds, self.quarantined, self.intent = {}, {}, {}, None
            case "intend":
                create = None if entry["create"] is None else Placement(*entry["create"])
                self.intent = Intent(entry["claim"], tuple(Placement(*p) for p in entry["destroy"]), create)
            case "settled":
                self.intent = None
            case "made":
                instance = OwnedInstance(**entry["instance"])
                self.owned[instance.placement] = instance
            case "gone":
                placement = Placement(entry["profile"], entry["start"])
                self.owned.pop(placement, None)
                self.quarantined.pop(placement, None)
            case "hold":
                hold = _hold(entry)
                self.holds[hold.claim] = hold
            case "release":
                self.holds.pop(entry["claim"], None)
            case "quarantine":
                self.quarantined[Placement(entry["profile"], entry["start"])] = entry["why"]
            case "cleared":
                self.quarantined.pop(Placement(entry["profile"], entry["start"]), None)
            case "mig-wanted":
                self.desired_mig = entry["on"]
            case other:
                raise ValueError(f"unknown entry {other!r}")

    def entries(self) -> Iterator[Entry]:
        """The shortest journal that folds to this record."""
        yield boot(self.boot)
        yield from (created(instance) for instance in self.owned.values())
        yield from (hold(h) for h in self.holds.values())
        yield from (quarantine(placement, why) for placement, why in self.quarantined.items())
        if self.desired_mig is not None:
            yield desired_mig(self.desired_mig)
        if self.intent is not None:
            yield intend(self.intent.claim, self.intent.destroy, self.intent.create)


def _hold(entry: Entry) -> Hold:
    share = dict(entry["share"])
    share["backing"] = Backing(share["backing"])
    return Hold(
        entry["claim"], entry["name"], DeviceShare(**share), entry["uuid"], entry["devices"], entry.get("project", "")
    )


def _pair(placement: Placement) -> tuple[str, int]:
    return placement.profile, placement.start


def boot(boot_id: str) -> Entry:
    """A new boot: no instance and no process is left of the one before."""
    return {"op": "boot", "id": boot_id}


def intend(claim: str, destroy: Iterable[Placement], create: Placement | None) -> Entry:
    """A transaction begins. `claim`: for whom it creates, "" for nobody."""
    return {
        "op": "intend",
        "claim": claim,
        "destroy": [_pair(p) for p in destroy],
        "create": None if create is None else _pair(create),
    }


def ended() -> Entry:
    """The transaction is over: finished or undone."""
    return {"op": "settled"}


def created(instance: OwnedInstance) -> Entry:
    """An instance is ours."""
    return {"op": "made", "instance": asdict(instance)}


def removed(placement: Placement) -> Entry:
    """An instance of ours no longer exists."""
    return {"op": "gone", "profile": placement.profile, "start": placement.start}


def hold(hold: Hold) -> Entry:
    """A claim holds a share."""
    return {
        "op": "hold",
        "claim": hold.claim,
        "name": hold.name,
        "share": asdict(hold.share),
        "uuid": hold.uuid,
        "devices": hold.devices,
        "project": hold.project,
    }


def release(claim: str) -> Entry:
    """A claim holds nothing here any more."""
    return {"op": "release", "claim": claim}


def quarantine(placement: Placement, why: str) -> Entry:
    """An instance of ours may not be touched."""
    return {"op": "quarantine", "profile": placement.profile, "start": placement.start, "why": why}


def unquarantine(placement: Placement) -> Entry:
    """An instance of ours may be touched again."""
    return {"op": "cleared", "profile": placement.profile, "start": placement.start}


def desired_mig(on: bool) -> Entry:
    """An admin set the GPU's MIG mode."""
    return {"op": "mig-wanted", "on": on}
