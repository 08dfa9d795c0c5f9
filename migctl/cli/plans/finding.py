"""Plans by name, and the newest."""

from __future__ import annotations

from migctl import objects
from migctl.backends.protocol import ControlPlane, NotFound
from migctl.cli import names
from migctl.cli.failures import not_found
from migctl.objects import PlacementPlan

LATEST = "latest"


async def newest_first(control: ControlPlane) -> list[PlacementPlan]:
    """All plans, the newest first."""
    return objects.newest_first((await control.list(PlacementPlan)).items)


async def find(control: ControlPlane, name: str) -> PlacementPlan:
    """The plan of this name, or the latest. Raises Failure where there is none."""
    if name == LATEST:
        plans = await newest_first(control)
        if not plans:
            raise not_found("there is no plan yet", hint="migctl submit -g 0.5")
        return plans[0]
    try:
        return await control.get(PlacementPlan, names.plain(name, "plan", "plans"))
    except NotFound:
        raise not_found(f"no plan is called {name!r}", hint="migctl plan list; old plans are forgotten") from None
