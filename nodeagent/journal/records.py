"""What the agent remembers of one GPU: its instances, who holds what, what it is about to do.

A record is the fold of journal entries; every entry is one line of JSON with an "op". Folding
is pure: intents.py makes entries durable, mig.py and fractions.py decide on them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from solver.model.cluster import Backing
from solver.model.demand import DeviceShare
from solver.model.geometry import Placement

Entry = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Owned:
    """An instance that we made. Alive only while the driver knows `uuid` as instance `gi`."""

    profile: str
    start: int
    size: int
    gi: int
    uuid: str

    @property
    def place(self) -> Placement:
        return Placement(self.profile, self.start)

    @property
    def mask(self) -> int:
        return ((1 << self.size) - 1) << self.start


@dataclass(frozen=True, slots=True)
class Hold:
    """A claim's share of this GPU. `devices`: how many shares the whole claim has."""

    claim: str
    name: str
    share: DeviceShare
    uuid: str
    devices: int

    @property
    def place(self) -> Placement | None:
        profile, start = self.share.profile, self.share.start
        return None if profile is None or start is None else Placement(profile, start)

    @property
    def mask(self) -> int:
        return 0 if self.share.start is None else ((1 << self.share.size) - 1) << self.share.start


@dataclass(frozen=True, slots=True)
class Intent:
    """What a transaction is about to do. `create` has the size of its profile beside it."""

    claim: str
    destroy: tuple[Placement, ...]
    create: Placement | None


@dataclass(slots=True)
class GpuRecord:
    """Everything remembered of one GPU.

    quarantined  why an instance of ours may not be touched, by place
    mig_wanted   the MIG mode that an admin asked for; None: never asked
    """

    boot: str = ""
    owned: dict[Placement, Owned] = field(default_factory=dict)
    holds: dict[str, Hold] = field(default_factory=dict)
    intent: Intent | None = None
    quarantined: dict[Placement, str] = field(default_factory=dict)
    mig_wanted: bool | None = None

    def holder(self, place: Placement) -> Hold | None:
        return next((h for h in self.holds.values() if h.place == place), None)

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
                instance = Owned(**entry["instance"])
                self.owned[instance.place] = instance
            case "gone":
                place = Placement(entry["profile"], entry["start"])
                self.owned.pop(place, None)
                self.quarantined.pop(place, None)
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
                self.mig_wanted = entry["on"]
            case other:
                raise ValueError(f"unknown entry {other!r}")

    def entries(self) -> Iterator[Entry]:
        """The shortest journal that folds to this record."""
        yield boot(self.boot)
        yield from (made(instance) for instance in self.owned.values())
        yield from (hold(h) for h in self.holds.values())
        yield from (quarantine(place, why) for place, why in self.quarantined.items())
        if self.mig_wanted is not None:
            yield mig_wanted(self.mig_wanted)
        if self.intent is not None:
            yield intend(self.intent.claim, self.intent.destroy, self.intent.create)


def _hold(entry: Entry) -> Hold:
    share = dict(entry["share"])
    share["backing"] = Backing(share["backing"])
    return Hold(entry["claim"], entry["name"], DeviceShare(**share), entry["uuid"], entry["devices"])


def _pair(place: Placement) -> tuple[str, int]:
    return place.profile, place.start


def boot(boot_id: str) -> Entry:
    """A new boot: no instance and no process is left of the one before."""
    return {"op": "boot", "id": boot_id}


def intend(claim: str, destroy: Iterable[Placement], create: Placement | None) -> Entry:
    return {
        "op": "intend",
        "claim": claim,
        "destroy": [_pair(p) for p in destroy],
        "create": None if create is None else _pair(create),
    }


def settled() -> Entry:
    return {"op": "settled"}


def made(instance: Owned) -> Entry:
    return {"op": "made", "instance": asdict(instance)}


def gone(place: Placement) -> Entry:
    return {"op": "gone", "profile": place.profile, "start": place.start}


def hold(hold: Hold) -> Entry:
    return {
        "op": "hold",
        "claim": hold.claim,
        "name": hold.name,
        "share": asdict(hold.share),
        "uuid": hold.uuid,
        "devices": hold.devices,
    }


def release(claim: str) -> Entry:
    return {"op": "release", "claim": claim}


def quarantine(place: Placement, why: str) -> Entry:
    return {"op": "quarantine", "profile": place.profile, "start": place.start, "why": why}


def cleared(place: Placement) -> Entry:
    return {"op": "cleared", "profile": place.profile, "start": place.start}


def mig_wanted(on: bool) -> Entry:
    return {"op": "mig-wanted", "on": on}
