"""What an API server's refusals say to people."""

from __future__ import annotations

import json

import pytest

from migctl.backends.kubernetes.client.errors import refusal
from migctl.backends.protocol import Forbidden

JOBS = (
    'jobs.batch is forbidden: User "ana" cannot create resource "jobs" in API group "batch" in the namespace "team-b"'
)
PODS = 'pods is forbidden: User "ana" cannot list resource "pods" in API group "" at the cluster scope'
PLANS = (
    'placementplans.migctl.dev is forbidden: User "ana" cannot list resource "placementplans" '
    'in API group "migctl.dev" at the cluster scope'
)
NODES = 'nodes "n" is forbidden: User "ana" cannot patch resource "nodes" in API group "" at the cluster scope'
ANONYMOUS = PODS.replace("ana", "system:anonymous")
POLICY = "ValidatingAdmissionPolicy 'p' with binding 'p' denied request: only migctl's controller writes this"
QUOTA = 'pods "p" is forbidden: exceeded quota: small, requested: pods=1'


@pytest.mark.parametrize(
    ("code", "message", "said", "hint"),
    [
        (403, JOBS, "ana may not create jobs in project team-b", "-n team-b --clusterrole=edit --user=ana"),
        (403, PODS, "ana may not list pods of the whole cluster", "name a project with -p"),
        (403, PLANS, "ana may not list placementplans, which belong", "--clusterrole=migctl-overview --user=ana"),
        (403, PLANS.replace("list", "delete"), "ana may not delete placementplans", "--clusterrole=migctl-admin"),
        (
            403,
            NODES,
            "ana may not patch nodes, which belong to the whole cluster",
            "--clusterrole=migctl-admin --user=ana",
        ),
        (403, NODES.replace("patch", "list"), "ana may not list nodes, which belong", "--clusterrole=migctl-admin"),
        (403, ANONYMOUS, "the cluster does not know you", "log in to the cluster again"),
        (401, "Unauthorized", "the cluster does not know you", "log in to the cluster again"),
        (403, POLICY, "only migctl's controller writes this", ""),
        (403, QUOTA, "exceeded quota: small", "ask an admin"),
    ],
)
def test_who_may_not_do_what_and_who_can_change_that(code: int, message: str, said: str, hint: str) -> None:
    error = refusal(code, json.dumps({"message": message, "code": code}).encode())
    assert isinstance(error, Forbidden)
    assert said in str(error)
    assert hint in error.hint
