"""What makes up a controller on Kubernetes, wired together.

ClusterCache (live copy) -> KubernetesObserver (snapshot) -> planner -> Applier -> Placements -> API server
Beside the decisions: PlacedPodsReconciler, ProjectNamespacesReconciler, ProfileCatalogReconciler,
AgentLivenessReconciler, ProposalReconciler, Retention of plans
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from migctl.backends.kubernetes.cache.cluster import ClusterCache
from migctl.backends.kubernetes.cache.reflector import DEFAULT_TIMING, Timing
from migctl.backends.kubernetes.client.api import KubernetesApi
from migctl.backends.kubernetes.control_plane import KubernetesControlPlane
from migctl.backends.kubernetes.meaning import requests
from migctl.backends.kubernetes.stores import custom_store
from migctl.backends.kubernetes.stores.event_recorder import EventRecorder, Subject
from migctl.backends.kubernetes.stores.event_store import EventStore
from migctl.clock import Clock
from migctl.controller.kubernetes.agent_liveness import AgentLivenessReconciler, Heartbeats
from migctl.controller.kubernetes.claims.claim_store import ControllerClaims
from migctl.controller.kubernetes.claims.placed_pods import DEFAULT_TIMEOUTS, PlacedPodsReconciler, PlacementTimeouts
from migctl.controller.kubernetes.claims.placements import Placements
from migctl.controller.kubernetes.claims.pod_patches import PodPatches
from migctl.controller.kubernetes.leader_election import DEFAULT_LEASE_TIMING, LeaderElector, LeaseTiming
from migctl.controller.kubernetes.plan_store import ControllerPlans, RequestedPlans
from migctl.controller.kubernetes.profile_catalog import ProfileCatalogReconciler
from migctl.controller.kubernetes.project_namespaces import ProjectNamespacesReconciler
from migctl.controller.kubernetes.snapshot import KubernetesObserver
from migctl.controller.loop import Controller, Planner
from migctl.controller.proposal_reconciler import ProposalReconciler
from migctl.controller.retention import MAX_PLANS, Retention
from migctl.objects import Claim, Department, Event, GpuNode, PlacementPlan, Project
from nodeagent.contract.wire import API_VERSION
from solver.model.snapshot import Policy

LEASE = "migctl-controller"


@dataclass(frozen=True, slots=True)
class ControllerSettings:
    """The namespace of the controller's Lease, its name among the candidates, and its times."""

    namespace: str = "migctl-system"
    identity: str = "migctl"
    watches: Timing = DEFAULT_TIMING
    lease: LeaseTiming = DEFAULT_LEASE_TIMING
    timeouts: PlacementTimeouts = DEFAULT_TIMEOUTS


class KubernetesController:
    """The parts of one controller process. It watches always and decides while it leads."""

    def __init__(
        self,
        api: KubernetesApi,
        clock: Clock,
        planner: Planner,
        settings: ControllerSettings,
        policy: Policy | None = None,
    ) -> None:
        self.cluster = ClusterCache(api, settings.watches)
        self.elector = LeaderElector(api, settings.namespace, LEASE, settings.identity, clock, settings.lease)
        self.recorder = EventRecorder(api, clock)
        pods = PodPatches(api, self.cluster, self.recorder, clock)
        placements = Placements(api, self.cluster, pods, clock)
        self.control_plane = KubernetesControlPlane(
            {
                Project: custom_store.projects(api, self.cluster.take),
                Department: custom_store.departments(api, self.cluster.take),
                GpuNode: custom_store.nodes(api, self.cluster.take),
                PlacementPlan: ControllerPlans(api),
                Claim: ControllerClaims(self.cluster, placements, pods),
                Event: EventStore(api, self.recorder, self._subject),
            }
        )
        self.plan_retention = Retention(self.control_plane, PlacementPlan, MAX_PLANS)
        self.heartbeats = Heartbeats()
        self.observe = KubernetesObserver(self.cluster, self.heartbeats)
        self.loop = Controller(self.control_plane, self.cluster, clock, planner, policy or Policy(), self.observe)
        self._proposals = ProposalReconciler(self.loop, KubernetesControlPlane({PlacementPlan: RequestedPlans(api)}))
        self._agents = AgentLivenessReconciler(api, self.cluster, clock, self.heartbeats)
        self._placed_pods = PlacedPodsReconciler(
            self.cluster, placements, pods, self.recorder, clock, settings.timeouts
        )
        self._projects = ProjectNamespacesReconciler(api, self.cluster, clock)
        self._catalog = ProfileCatalogReconciler(api, self.cluster, settings.namespace)

    async def run(self) -> None:
        """Watch, and decide whenever elected, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.cluster.run())
            tasks.create_task(self.recorder.run())
            tasks.create_task(self.elector.run(self._lead))

    async def _lead(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.loop.run())
            tasks.create_task(self._proposals.run())
            tasks.create_task(self._placed_pods.run())
            tasks.create_task(self._projects.run())
            tasks.create_task(self._catalog.run())
            tasks.create_task(self._agents.run())
            tasks.create_task(self.plan_retention.run())

    def _subject(self, about: str, project: str) -> Subject:
        """What an event about "Workload/name" names: its Job, StatefulSet or pod, or without a pod the namespace."""
        kind, _, name = about.partition("/")
        if kind == "Plan":
            return Subject("PlacementPlan", name, api_version=API_VERSION)
        if kind != "Workload":
            return Subject(kind, name, project)
        pod = self.cluster.pod_of_workload(name, project)
        if pod is not None:
            owner = pod.owner
            if owner is None:
                return Subject("Pod", pod.name, project, pod.uid)
            if owner.kind == "ReplicaSet":  # of a Deployment, which is what people know; its uid is not known here
                return Subject("Deployment", requests.workload(pod)[0], project, api_version=owner.api_version)
            return Subject(owner.kind, owner.name, project, owner.uid, owner.api_version)
        return Subject("Namespace", project, project)
