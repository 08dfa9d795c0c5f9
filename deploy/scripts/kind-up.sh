#!/usr/bin/env bash
# A cluster on this machine with migctl and simulated GPUs: make kind-up [NODE_IMAGE=kindest/node:...]
set -euo pipefail
# shellcheck source=deploy/scripts/common.sh
. "$(dirname "$0")/common.sh"

CLUSTER=${CLUSTER:-migctl}

need docker "https://docs.docker.com/engine/install/"
need kind "https://kind.sigs.k8s.io/docs/user/quick-start/#installation"
need kubectl "https://kubernetes.io/docs/tasks/tools/"
docker info >/dev/null 2>&1 || fail "Docker does not answer: is it started, and may $(id -un) use it? (docker info)"

say "Building $IMAGE."
docker build -f deploy/Dockerfile -t "$IMAGE" .
if kind get clusters 2>/dev/null | grep -qx "$CLUSTER"; then
  say "Cluster $CLUSTER is there already."
  there=1
else
  kind create cluster --name "$CLUSTER" --config deploy/kind/cluster.yaml ${NODE_IMAGE:+--image "$NODE_IMAGE"} --wait 180s
fi
kind load docker-image "$IMAGE" --name "$CLUSTER"

export CONTEXT=kind-$CLUSTER
if [ -n "${there:-}" ]; then # an image of the same name is no change to Kubernetes
  kube -n "$NAMESPACE" rollout restart deployment/migctl-controller deployment/migctl-api daemonset/migctl-agent || true
fi
OVERLAY=simulated deploy/scripts/deploy.sh ||
  fail "if this kind makes clusters older than 1.36: make kind-down, then make kind-up NODE_IMAGE=kindest/node:v1.36.1 or a newer kind"
