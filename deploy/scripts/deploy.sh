#!/usr/bin/env bash
# Puts migctl on a cluster and waits until it works: make deploy [OVERLAY=nvidia|simulated|PATH] [IMAGE=...] [CONTEXT=...]
set -euo pipefail
# shellcheck source=deploy/scripts/common.sh
. "$(dirname "$0")/common.sh"

OVERLAY=${OVERLAY:-nvidia}
PATIENCE=${PATIENCE:-180s}

serves() { # group/version resource
  kube get --raw "/apis/$1" 2>/dev/null | grep -q "\"name\":\"$2\""
}

need_cluster
serves resource.k8s.io/v1 resourceclaims ||
  fail "this cluster has no dynamic resource allocation (resource.k8s.io/v1): migctl needs Kubernetes 1.36 or later"
serves admissionregistration.k8s.io/v1 mutatingadmissionpolicies ||
  fail "this cluster has no mutating admission policies (admissionregistration.k8s.io/v1): migctl needs Kubernetes 1.36 or later"

manifests=$(overlay "$OVERLAY")
say "Applying overlay $OVERLAY with image $IMAGE to context $(named_context)."
printf '%s\n' "$manifests" | sed "s|image: migctl:0.1.0|image: $IMAGE|" |
  kube apply --server-side --force-conflicts -f -

say "Waiting for the controllers, the REST API and the agents."
for workload in deployment/migctl-controller deployment/migctl-api daemonset/migctl-agent; do
  case $workload in */migctl-api) [[ $manifests == *"name: migctl-api"* ]] || continue ;; esac # an overlay may leave it out
  kube -n "$NAMESPACE" rollout status --timeout "$PATIENCE" "$workload" || {
    kube -n "$NAMESPACE" get pods -o wide
    fail "$workload does not start; what it says: kubectl -n $NAMESPACE logs $workload (docs/troubleshooting.md)"
  }
done

agents=$(kube -n "$NAMESPACE" get daemonset migctl-agent -o jsonpath='{.status.desiredNumberScheduled}')
[ "$agents" != 0 ] || say "No node has an agent yet. Label those with GPUs: kubectl label node NAME migctl.dev/agent=true"
kube get gpunodes.migctl.dev
cat <<'TEXT'

migctl works. Next (docs/first-job.md):
  kubectl apply -f deploy/examples/project.yaml     # a project, and with it the namespace team-a
  kubectl apply -f deploy/examples/fraction.yaml    # a Job with half a GPU
  kubectl -n team-a get pods -w
TEXT
