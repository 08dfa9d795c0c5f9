# shellcheck shell=bash
# What the scripts beside this one share. CONTEXT names a context of the kubeconfig; without it: the current one.

cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1

export IMAGE=${IMAGE:-migctl:0.1.0}
export NAMESPACE=migctl-system

say() { printf '%s\n' "$*"; }

fail() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

need() {
  command -v "$1" >/dev/null || fail "$1 is missing: $2"
}

kube() {
  kubectl ${CONTEXT:+--context "$CONTEXT"} "$@"
}

need_cluster() {
  need kubectl "https://kubernetes.io/docs/tasks/tools/"
  kube get --raw /readyz >/dev/null ||
    fail "the cluster of context $(named_context) does not answer: choose one with kubectl config use-context NAME, or with CONTEXT=NAME"
}

named_context() {
  printf '%s' "${CONTEXT:-$(kubectl config current-context 2>/dev/null || printf '(none)')}"
}

# An overlay of deploy/overlays by its name, or any other kustomization by its path (with a / in it).
overlay() {
  local folder=$1
  case $folder in */*) ;; *) folder=deploy/overlays/$folder ;; esac
  [ -f "$folder/kustomization.yaml" ] ||
    fail "there is no kustomization in $folder; overlays are: $(cd deploy/overlays && printf '%s ' *)"
  kubectl kustomize "$folder"
}
