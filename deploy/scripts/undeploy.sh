#!/usr/bin/env bash
# Takes migctl from a cluster: make undeploy [PROJECTS=keep|delete] [CONTEXT=...]. The order matters:
#   1. with PROJECTS=delete: the projects, and with them the namespaces that migctl made for them, with all in them
#   2. no pod may use a GPU through migctl any more: only an agent can let it go
#   3. the controllers, so that nobody makes anew what is removed; the projects. Namespaces that stay are ordinary ones
#   4. the agents, then all that was applied, custom resources included
# It can be run again at any point, and works where controllers or agents are gone already.
set -euo pipefail
# shellcheck source=deploy/scripts/common.sh
. "$(dirname "$0")/common.sh"

PROJECTS=${PROJECTS:-keep}
PATIENCE=${PATIENCE:-300s}

claims() { # one NAMESPACE/CLAIM a line; a pod that uses a GPU, or waits for one, has a claim
  kube get resourceclaims -A -o jsonpath='{range .items[?(@.spec.devices.requests[0].exactly.deviceClassName=="gpu.migctl.dev")]}{.metadata.namespace}{"/"}{.metadata.name}{"\n"}{end}'
}

made_namespaces() { # those that migctl made for projects; others were there before
  kube get namespaces -o jsonpath='{range .items[?(@.metadata.ownerReferences[0].kind=="Project")]}{"namespace/"}{.metadata.name}{"\n"}{end}'
}

has_projects() {
  kube get crd projects.migctl.dev >/dev/null 2>&1
}

case $PROJECTS in keep | delete) ;; *) fail "PROJECTS is keep or delete, not $PROJECTS" ;; esac
need_cluster

if [ "$PROJECTS" = delete ] && has_projects; then
  say "Removing the projects with their namespaces and all that is in them."
  mapfile -t namespaces < <(made_namespaces)
  kube delete projects.migctl.dev --all
  if [ ${#namespaces[@]} -gt 0 ]; then
    kube wait --for=delete "${namespaces[@]}" --timeout "$PATIENCE" ||
      fail "after $PATIENCE namespaces are still there: kubectl describe ${namespaces[*]} says what is left in them; run this again afterwards"
  fi
fi

held=$(claims)
if [ -n "$held" ]; then
  printf '%s\n' "$held" >&2
  fail "pods have these claims: delete their Jobs, Deployments and StatefulSets first. (PROJECTS=delete deletes the namespaces that migctl made, with all in them.)"
fi

say "Removing the controllers."
kube -n "$NAMESPACE" delete deployment migctl-controller --ignore-not-found

if has_projects; then
  say "Removing the projects. Namespaces that are still there stay."
  kube delete projects.migctl.dev --all --cascade=orphan
fi
for namespace in $(kube get namespaces -l migctl.dev/project -o name); do
  kube -n "${namespace#namespace/}" delete resourceclaimtemplate migctl-gpu migctl-gpu-containers --ignore-not-found
  kube label "$namespace" migctl.dev/project-
done

say "Removing the agents."
kube -n "$NAMESPACE" delete daemonset migctl-agent --ignore-not-found --cascade=foreground

say "Removing everything else."
kube delete priorityclasses -l app.kubernetes.io/name=migctl
{
  overlay simulated
  printf -- '---\n'
  overlay nvidia
} | awk 'BEGIN { RS = ORS = "---\n" } !/\nkind: PriorityClass\n/' | # others may have classes of these names
  kube delete --ignore-not-found --timeout "$PATIENCE" -f - >/dev/null

cat <<'TEXT'

migctl is gone from the cluster. Left on the nodes, and harmless:
  /var/lib/migctl         the agents' records: rm -r /var/lib/migctl
  idle MIG instances      nvidia-smi mig -dci && nvidia-smi mig -dgi
TEXT
