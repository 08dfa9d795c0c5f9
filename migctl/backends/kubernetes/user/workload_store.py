"""The store of workloads: Jobs, StatefulSets, Deployments and pods, written as kubectl would."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from migctl.backends.kubernetes.client.kinds import ServedResources
from migctl.backends.kubernetes.client.resources import CLAIMS, Resource
from migctl.backends.kubernetes.meaning import record_of, requests
from migctl.backends.kubernetes.meaning.records import GpuPod
from migctl.backends.kubernetes.stores.watching import watch_by_rereading
from migctl.backends.kubernetes.user import reading, workload_patch
from migctl.backends.kubernetes.user.claims import UserClaims
from migctl.backends.kubernetes.user.kinds import (
    DEPLOYMENTS,
    JOBS,
    PODS,
    STATEFUL_SETS,
    SubmittedPod,
)
from migctl.backends.kubernetes.user.manifests import manifest
from migctl.backends.kubernetes.user.permitted_api import PermittedApi
from migctl.backends.merge import check_identity, merged, plain
from migctl.backends.protocol import AlreadyExists, Change, Conflict, Forbidden, Invalid, Listing, NotFound
from migctl.objects import Claim, Workload, WorkloadType

WORKLOADS = (JOBS, STATEFUL_SETS, DEPLOYMENTS)
KNOWN_MAKERS = {"Job", "StatefulSet", "Deployment", "ReplicaSet"}
Claims = Mapping[str, Sequence[Claim]]


@dataclass(frozen=True)
class WorkloadObject:
    """A workload and the object it is; `resource` None: one of a kind that is another controller's."""

    workload: Workload
    resource: Resource[Any] | None
    pods: tuple[SubmittedPod, ...] = ()


class WorkloadStore:
    """Workloads of a user. Each call reads the API server."""

    def __init__(self, api: PermittedApi, claims: UserClaims) -> None:
        self._api = api
        self._claims = claims

    async def list(self, project: str | None) -> Listing[Workload]:
        found, version = await self.read(project)
        workloads = (one.workload for one in found)
        return Listing(tuple(sorted(workloads, key=lambda w: (w.meta.project, w.meta.name))), version)

    async def get(self, name: str, project: str) -> Workload:
        return (await self.find(name, project)).workload

    def watch(self, since: str) -> AsyncIterator[Change[Workload]]:
        return watch_by_rereading(self._api, (*WORKLOADS, PODS, CLAIMS), since, self.list)

    async def create(self, obj: Workload) -> Workload:
        """Create the Job, StatefulSet or Deployment. Raises AlreadyExists, Invalid."""
        resource, body = await self._to_create(obj)
        try:
            answer = await self._api.create(resource, body, obj.meta.project)
        except AlreadyExists:
            raise _taken(obj) from None
        return self._of(resource, answer)

    async def dry_run(self, obj: Workload) -> None:
        """Raises what creating the workload would, and creates nothing."""
        resource, body = await self._to_create(obj)
        path = resource.path(obj.meta.project)
        await self._api.transport.request("POST", path, {"dryRun": "All"}, msgspec.json.encode(body))

    async def patch(self, obj: Workload, changes: Mapping[str, Any], fenced: bool) -> Workload:
        """Patch the object that makes the pods. Raises Conflict, Forbidden (the status), Invalid."""
        found = await self._same(obj)
        own = found.workload.meta
        if fenced and own.version != obj.meta.version:
            raise _changed(obj)
        after = merged(found.workload, changes)
        check_identity(own, after.meta)
        if after.status != found.workload.status:
            raise Forbidden("the status of a workload is made of its pods'")
        body = workload_patch.merge_patch(found.workload, found.resource, after, plain(changes))
        if not body:
            return found.workload
        assert found.resource is not None
        fence = {"uid": own.uid, **({"resourceVersion": own.version} if fenced else {})}
        body["metadata"] = {**body.get("metadata", {}), **fence}
        try:
            answer = await self._api.patch(found.resource, own.name, body, own.project)
        except Conflict:
            raise (_changed(obj) if fenced else _missing(own.name, own.project)) from None
        return self._of(found.resource, answer)

    async def delete(self, obj: Workload) -> None:
        """Delete what makes the pods, and so the pods."""
        found = await self._same(obj)
        resource = found.resource or await self._discovered(found)
        name, namespace, uid = obj.meta.name, obj.meta.project, found.workload.meta.uid
        try:
            await self._api.delete(resource, name, namespace, options={"preconditions": {"uid": uid}})
        except (Conflict, NotFound):
            raise _missing(name, namespace) from None

    async def find(self, name: str, project: str) -> WorkloadObject:
        """The workload of a name. Raises NotFound, and Conflict where several kinds of objects have it."""
        if not name:
            raise Invalid("meta.name: a workload needs a name", field="meta.name")
        seen = (await self.read(project))[0] if project else ()
        found = [one for one in seen if one.workload.meta.name == name]
        if not found:
            raise _missing(name, project)
        if len(found) > 1:
            kinds = " and a ".join(sorted(one.resource.title if one.resource else "workload" for one in found))
            raise Conflict(
                f"{name!r} is the name of several workloads in project {project!r}: a {kinds}",
                hint=f"name the kind, with kubectl: kubectl -n {project} get {kinds.split(' ')[0].lower()} {name}",
            )
        return found[0]

    async def read(self, project: str | None) -> tuple[tuple[WorkloadObject, ...], str]:
        """Every workload of a project (None: of all one may see) and the version they are of."""
        lists = (self._api.list_objects(resource, project or "") for resource in WORKLOADS)
        (jobs, sets, deployments), seen = await asyncio.gather(asyncio.gather(*lists), self._claims.read(project))
        by_owner: dict[str, list[Claim]] = defaultdict(list)
        for claim in seen.claims:
            by_owner[claim.spec.workload_uid].append(claim)
        members: dict[str, list[SubmittedPod]] = defaultdict(list)
        for pod in seen.pods:
            owner = pod.metadata.controller
            uid = owner.uid if owner else pod.metadata.uid
            members[seen.parents.get(uid, uid)].append(pod)
        found = [*_made(jobs[0], sets[0], deployments[0], by_owner), *_others(members, by_owner)]
        versions = (int(version) for version in (jobs[1], sets[1], deployments[1], seen.version))
        workloads = (
            WorkloadObject(workload, resource, tuple(members.get(workload.meta.uid, ())))
            for workload, resource in found
            if workload is not None
        )
        return tuple(workloads), str(min(versions))

    async def _to_create(self, obj: Workload) -> tuple[Resource[Any], dict[str, Any]]:
        """What to create, and where. Raises AlreadyExists where an object of another kind has the name, too."""
        merged(obj, {})
        body = manifest(obj)
        with contextlib.suppress(NotFound, Forbidden):  # whoever may not look may still create
            await self.find(obj.meta.name, obj.meta.project)
            raise _taken(obj)
        return next(resource for resource in WORKLOADS if resource.title == body["kind"]), body

    async def _same(self, obj: Workload) -> WorkloadObject:
        found = await self.find(obj.meta.name, obj.meta.project)
        if found.workload.meta.uid != obj.meta.uid:
            raise _missing(obj.meta.name, obj.meta.project)
        return found

    @staticmethod
    def _of(resource: Resource[Any], answer: bytes) -> Workload:
        """The workload in an answer to a write, as far as that says it."""
        raw = resource.one.decode(answer)
        made = _one(resource, raw, ())
        assert made is not None
        return made

    async def _discovered(self, found: WorkloadObject) -> Resource[Any]:
        """Where objects of the kind live that made a workload's pods. Raises Forbidden where nobody says."""
        owner = found.pods[0].metadata.controller
        assert owner is not None
        root = f"/apis/{owner.api_version}" if "/" in owner.api_version else f"/api/{owner.api_version}"
        with contextlib.suppress(NotFound):
            answer = msgspec.json.decode(await self._api.transport.request("GET", root), type=ServedResources)
            for known in answer.resources:
                if known.kind == owner.kind and "/" not in known.name:
                    return Resource(owner.api_version, known.name, msgspec.Raw, title=owner.kind)
        raise Forbidden(
            f"{owner.name!r} is a {owner.kind}, which this API server does not know any more",
            hint=f"kubectl -n {found.workload.meta.project} get pods",
        )


def _made(
    jobs: Sequence[Any], sets: Sequence[Any], deployments: Sequence[Any], claims: Claims
) -> Iterator[tuple[Workload | None, Resource[Any] | None]]:
    """The workloads of the kinds that users submit."""
    for resource, objects in ((JOBS, jobs), (STATEFUL_SETS, sets), (DEPLOYMENTS, deployments)):
        for raw in objects:
            yield _one(resource, raw, claims.get(raw.metadata.uid, ())), resource


def _one(resource: Resource[Any], raw: Any, claims: Sequence[Claim]) -> Workload | None:
    if resource is JOBS:
        return reading.job(raw, claims)
    usual = WorkloadType.WORKSPACE if resource is STATEFUL_SETS else WorkloadType.INFERENCE
    return reading.replicated(raw, usual, claims)


def _others(
    members: Mapping[str, Sequence[SubmittedPod]], claims: Claims
) -> Iterator[tuple[Workload | None, Resource[Any] | None]]:
    """Bare pods, and the pods of controllers that are not Kubernetes' own."""
    for uid, pods in members.items():
        owner = pods[0].metadata.controller
        held = claims.get(uid, ())
        if owner is None:
            yield reading.bare_pod(pods[0], held), PODS
        elif owner.kind not in KNOWN_MAKERS:
            seen = record_of.pod(pods[0])
            if isinstance(seen, GpuPod):
                name, _, type_ = requests.workload(seen)
                yield reading.of_pods(name, uid, type_, pods, held), None


def _taken(obj: Workload) -> AlreadyExists:
    return AlreadyExists(
        f"workload {obj.meta.name!r} exists already in project {obj.meta.project!r}",
        hint="choose another name, or delete it first",
    )


def _changed(obj: Workload) -> Conflict:
    return Conflict(
        f"workload {obj.meta.name!r} was changed since it was read", hint="read it again and repeat the change"
    )


def _missing(name: str, project: str) -> NotFound:
    return NotFound(f"there is no workload {name!r} in project {project!r}", hint=f"migctl list -p {project}")
