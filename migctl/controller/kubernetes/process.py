"""What makes up a controller on Kubernetes, wired together.

Cluster (live copy) -> Observer (snapshot) -> planner -> Applier -> Placements -> API server
Steward, ProjectsKeeper, CatalogKeeper, SilenceKeeper: what stands beside the decisions
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from migctl.backends.kubernetes.cache.cluster import Cluster
from migctl.backends.kubernetes.cache.reflector import USUAL as USUAL_TIMING
from migctl.backends.kubernetes.cache.reflector import Timing
from migctl.backends.kubernetes.client.api import Api
from migctl.backends.kubernetes.client.resources import GROUP
from migctl.backends.kubernetes.control_plane import KubernetesControlPlane
from migctl.backends.kubernetes.event_recorder import Recorder, Subject
from migctl.backends.kubernetes.stores import custom_store
from migctl.backends.kubernetes.stores.event_store import EventStore
from migctl.clock import Clock
from migctl.controller.kubernetes.agent_liveness import Heartbeats, SilenceKeeper
from migctl.controller.kubernetes.claims.claim_store import ControllerClaims
from migctl.controller.kubernetes.claims.placed_pods import USUAL as USUAL_PATIENCE
from migctl.controller.kubernetes.claims.placed_pods import Patience, Steward
from migctl.controller.kubernetes.claims.placements import Placements
from migctl.controller.kubernetes.claims.pod_patches import PodPatches
from migctl.controller.kubernetes.leader_election import USUAL as USUAL_TERMS
from migctl.controller.kubernetes.leader_election import Elector, Terms
from migctl.controller.kubernetes.plan_retention import PlanHistory
from migctl.controller.kubernetes.profile_catalog import CatalogKeeper
from migctl.controller.kubernetes.project_namespaces import ProjectsKeeper
from migctl.controller.kubernetes.snapshot import Observer
from migctl.controller.loop import Controller, Planner
from migctl.objects import Claim, Department, Event, GpuNode, PlacementPlan, Project
from solver.model.snapshot import Policy

LEASE = "migctl-controller"


@dataclass(frozen=True, slots=True)
class Settings:
    """Where a controller lives, who it is, and how long it waits for what."""

    namespace: str = "migctl-system"
    identity: str = "migctl"
    timing: Timing = USUAL_TIMING
    terms: Terms = USUAL_TERMS
    patience: Patience = USUAL_PATIENCE


class KubernetesController:
    """One controller process's parts. It watches always and decides while it leads."""

    def __init__(
        self, api: Api, clock: Clock, planner: Planner, settings: Settings, policy: Policy | None = None
    ) -> None:
        self.cluster = Cluster(api, settings.timing)
        self.elector = Elector(api, settings.namespace, LEASE, settings.identity, clock, settings.terms)
        self.recorder = Recorder(api, clock)
        self.plan_history = PlanHistory(api)
        pods = PodPatches(api, self.cluster, self.recorder, clock)
        placements = Placements(api, self.cluster, pods, clock)
        self.control_plane = KubernetesControlPlane(
            {
                Project: custom_store.projects(api, self.cluster.take),
                Department: custom_store.departments(api, self.cluster.take),
                GpuNode: custom_store.nodes(api, self.cluster.take),
                PlacementPlan: custom_store.plans(api, self.plan_history.note),
                Claim: ControllerClaims(self.cluster, placements, pods),
                Event: EventStore(api, self.recorder, self._subject),
            }
        )
        self.heartbeats = Heartbeats()
        self.observe = Observer(self.cluster, self.heartbeats)
        self.loop = Controller(self.control_plane, self.cluster, clock, planner, policy or Policy(), self.observe)
        self._silence = SilenceKeeper(api, self.cluster, clock, self.heartbeats)
        self._steward = Steward(self.cluster, placements, pods, self.recorder, clock, settings.patience)
        self._projects = ProjectsKeeper(api, self.cluster, clock)
        self._catalog = CatalogKeeper(api, self.cluster, settings.namespace)

    async def run(self) -> None:
        """Watch, and decide whenever elected, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.cluster.run())
            tasks.create_task(self.recorder.run())
            tasks.create_task(self.elector.run(self._lead))

    async def _lead(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.loop.run())
            tasks.create_task(self._steward.run())
            tasks.create_task(self._projects.run())
            tasks.create_task(self._catalog.run())
            tasks.create_task(self._silence.run())
            tasks.create_task(self.plan_history.run())

    def _subject(self, about: str, project: str) -> Subject:
        """The Job, StatefulSet or pod behind "Workload/name"; what is not known stands as it is called."""
        kind, _, name = about.partition("/")
        if kind == "Plan":
            return Subject("PlacementPlan", name, api_version=GROUP)
        if kind != "Workload":
            return Subject(kind, name, project)
        pod = self.cluster.pod_of_workload(name, project)
        if pod is not None:
            owner = pod.owner
            if owner is None:
                return Subject("Pod", pod.name, project, pod.uid)
            return Subject(owner.kind, owner.name, project, owner.uid, owner.api_version)
        return Subject("Namespace", project, project)
