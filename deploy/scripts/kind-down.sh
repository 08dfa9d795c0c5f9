#!/usr/bin/env bash
# Removes the cluster that kind-up.sh made, with everything in it: make kind-down
set -euo pipefail
# shellcheck source=deploy/scripts/common.sh
. "$(dirname "$0")/common.sh"

need kind "https://kind.sigs.k8s.io/docs/user/quick-start/#installation"
kind delete cluster --name "${CLUSTER:-migctl}"
