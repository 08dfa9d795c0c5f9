# Each target sets up all it needs: a fresh machine wants Python >= 3.11, pip and make.
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYTEST := $(BIN)/python -m pytest
UV := $(shell command -v uv || echo $(BIN)/uv)

.PHONY: help
help:  ## show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 16

# uv comes from the path, or else through pip into the environment itself.
$(READY): requirements.txt pyproject.toml
	@test -x $(BIN)/python || python3 -m venv $(VENV)
	@command -v uv >/dev/null || $(BIN)/python -m pip install --quiet uv
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes --requirement requirements.txt
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: setup
setup: $(READY)  ## make .venv with every dependency at its pinned version

# A test that stands still says where, and fails: none takes a fifth of that long.
.PHONY: test
test: $(READY)  ## every test that needs no GPU and no cluster
	$(PYTEST) -n 2 --dist worksteal --timeout 240 -o faulthandler_timeout=200

COMPAT := .venv-compat

# An environment of its own: nothing of it is imported by migctl or by the tests themselves.
.PHONY: setup-compat
setup-compat: $(COMPAT)/.ready  ## make .venv-compat with the client library that tests/compat calls

$(COMPAT)/.ready: tests/compat/requirements.txt $(READY)
	$(UV) venv --quiet --allow-existing --python $(BIN)/python $(COMPAT)
	$(UV) pip install --quiet --python $(COMPAT)/bin/python --require-hashes --requirement tests/compat/requirements.txt
	@touch $@

.PHONY: test-compat
test-compat: $(COMPAT)/.ready  ## every call of the client library that users come with, with lost requests and answers
	MIGCTL_DEPTH=all $(PYTEST) tests/compat -rs --timeout 240

.PHONY: coverage
coverage: $(READY)  ## lines and branches of what must not fail (pyproject.toml): 95 % of each file, or it fails; 15 seconds
	$(BIN)/coverage run -m pytest --timeout 240 tests/migctl/controller/test_apply.py \
	  tests/migctl/controller/kubernetes/test_leader_election.py tests/nodeagent/journal tests/nodeagent/shares \
	  tests/nodeagent/upkeep
	$(BIN)/python -m tests.covered

.PHONY: soak
soak: $(READY)  ## the node agent: 100,000 random steps with crashes, every fault point; an hour
	MIGCTL_DEPTH=all $(PYTEST) -n 2 tests/nodeagent/faults/test_sequences.py tests/nodeagent/faults/test_fault_points.py \
	  tests/nodeagent/faults/test_hangs.py tests/nodeagent/dra/test_driver_faults.py tests/nodeagent/dra/test_driver_hangs.py \
	  tests/nodeagent/dra/test_random_kubelet.py

.PHONY: soak-sweeps
soak-sweeps: $(READY)  ## every kind of fault point, every case on a running migctl up, kills at every change; 3 minutes
	MIGCTL_DEPTH=sweep $(PYTEST) -n 2 --dist worksteal --timeout 600 tests/nodeagent/faults tests/nodeagent/dra \
	  tests/scenarios tests/e2e/survival

.PHONY: soak-fairness
soak-fairness: $(READY)  ## a day of a thousand random workloads in a simulated cluster, every plan judged; 6 minutes
	MIGCTL_DEPTH=all $(PYTEST) -s tests/scenarios/test_histories.py

.PHONY: soak-day
soak-day: $(READY)  ## 5,000 actions of random users on three simulated nodes, with kills, boots and faults; 20 minutes
	MIGCTL_DEPTH=all $(PYTEST) -s tests/e2e/day

.PHONY: soak-api
soak-api: $(READY)  ## 20,000 calls of the REST API at random, on a running migctl up; 5 minutes
	MIGCTL_DEPTH=all $(PYTEST) -s tests/e2e/rest

.PHONY: test-gpu
test-gpu: $(READY)  ## checks against a real NVIDIA GPU, where there is one: inventory, software fractions
	$(PYTEST) -rs tests/gpu

.PHONY: bench-agent
bench-agent: $(READY)  ## what the node agent costs: latencies, memory, idle CPU
	$(BIN)/python -m tests.bench.node.prepare
	$(BIN)/python -m tests.bench.node.agent

.PHONY: shim
shim: $(READY)  ## compile the libraries of software fractions (needs gcc)
	$(BIN)/python -m nodeagent.shim.build

.PHONY: soak-shim
soak-shim: $(READY)  ## the storms on the fraction libraries, thirty times as long; a minute
	MIGCTL_SOAK_ROUNDS=20000 $(PYTEST) tests/nodeagent/shim/test_storm.py

.PHONY: bench-shim
bench-shim: $(READY)  ## what the fraction libraries cost a program, on the stand-in driver (needs gcc)
	$(BIN)/python -m tests.bench.node.shim

.PHONY: test-cluster
test-cluster: $(READY)  ## acceptance on a real cluster (MIGCTL_TEST_KUBECONFIG; see tests/cluster/settings.py)
	$(PYTEST) tests/cluster -p no:xdist -rs

.PHONY: check
check: $(READY)  ## formatting, lint, types and the import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: format
format: $(READY)  ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: demo
demo: $(READY)  ## simulated A100s and a V100 shared step by step, in under a minute
	$(BIN)/python -m migctl.demo

.PHONY: bench
bench: $(READY)  ## latency of a submission and of the command line
	$(BIN)/python -m tests.bench.embedded

.PHONY: bench-cli
bench-cli: $(READY)  ## how long help, completion, list, describe and gpus take, beside python that does nothing
	$(BIN)/python -m tests.bench.cli

.PHONY: bench-api
bench-api: $(READY)  ## what the API's answers cost: a page of 10,000 workloads; 200 streams; a verdict before sending on 10,000 GPUs; 6 minutes
	$(BIN)/python -m tests.bench.rest
	$(BIN)/python -m tests.bench.rest.stream
	$(BIN)/python -m tests.bench.verdict_api

.PHONY: bench-controller
bench-controller: $(READY)  ## what the controller costs while thousands wait: reasons, stalls of its loop, writes
	$(BIN)/python -m tests.bench.controller

.PHONY: bench-quota
bench-quota: $(READY)  ## decisions on 500 nodes: a full cycle, filling, reclaiming, a gang, consolidation
	$(BIN)/python -m tests.bench.quota

.PHONY: bench-kube
bench-kube: $(READY)  ## the controller on Kubernetes: events decoded, a burst of pods, memory in a large cluster
	$(BIN)/python -m tests.bench.kube

.PHONY: bench-planner
bench-planner: $(READY)  ## plans for 1,000 to 1,000,000 GPUs: seconds, gaps to the bounds, memory; each one judged
	$(BIN)/python -m tests.bench.planner

.PHONY: bench-online
bench-online: $(READY)  ## what one decision costs on 1,000 to 100,000 GPUs, each one judged; a verdict on 4,000
	$(BIN)/python -m tests.bench.online
	$(BIN)/python -m tests.bench.verdict

.PHONY: bench-acceptance
bench-acceptance: $(READY)  ## what is admitted on 100 simulated A100s by us, by others and at best; 15 minutes
	$(BIN)/python -m tests.bench.acceptance
	$(BIN)/python -m tests.bench.unmoved

OPENB := $(BIN)/migctl simulate --nodes traces/openb/openb_node_list_gpu_node.csv \
	--policy migctl --policy first-fit --policy best-fit --policy fgd --policy hami --policy hami-spread \
	--policy 're-packing for free' --trace

.PHONY: openb
openb: $(READY)  ## replay the openb trace and draw the charts of docs/simulation.md anew; a minute
	$(OPENB) traces/openb/openb_pod_list_default.csv.gz --stay --chart docs/images/openb-trace.svg
	$(OPENB) traces/openb/openb_pod_list_default.csv.gz --fill 1.3 --chart docs/images/openb-filled.svg
	$(OPENB) traces/openb/openb_pod_list_gpushare100.csv.gz --fill 1.3 --chart docs/images/openb-fractions.svg

.PHONY: soak-verdicts
soak-verdicts: $(READY)  ## blocking sets, moves, evictions against brute force: 10,000 small clusters each; batches judged; verdicts before sending, replayed; 9 minutes
	MIGCTL_DEPTH=all $(PYTEST) -n 2 tests/solver/sequential/test_verdicts.py tests/solver/sequential/test_moving.py tests/solver/disruption/test_preemption.py tests/solver/batch/test_batch.py tests/migctl/verdicts/test_truth.py

.PHONY: soak-planners
soak-planners: $(READY)  ## one by one against in batch on 1,000 random clusters: shares, what is admitted; half a minute
	MIGCTL_DEPTH=all $(PYTEST) tests/solver/test_both_planners.py

.PHONY: manifests
manifests: $(READY)  ## write what is derived from code: CRDs, Helm chart, the table of roles in docs/access.md
	$(BIN)/python -m deploy.crds
	$(BIN)/python -m deploy.chart
	$(BIN)/python -m deploy.access_table

.PHONY: kind-up
kind-up:  ## a kind cluster with migctl and simulated GPUs (needs docker, kind, kubectl)
	@deploy/scripts/kind-up.sh

.PHONY: kind-down
kind-down:  ## remove that cluster
	@deploy/scripts/kind-down.sh

.PHONY: deploy
deploy:  ## put migctl on the current cluster: OVERLAY=nvidia (or simulated, or a path) IMAGE=... CONTEXT=...
	@deploy/scripts/deploy.sh

.PHONY: undeploy
undeploy:  ## take it from there again: PROJECTS=keep (or delete, with their namespaces) CONTEXT=...
	@deploy/scripts/undeploy.sh

.PHONY: stubs
stubs: $(READY)  ## generate what the kubelet speaks anew from the .proto files in nodeagent/dra/stubs
	$(BIN)/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. --grpc_python_out=. nodeagent/dra/stubs/*.proto

.PHONY: lock
lock:  ## pin every dependency anew (versions and hashes, no addresses)
	{ echo "# Every dependency of migctl and its tests, pinned with hashes. Refresh with: make lock"; \
	  $(UV) pip compile pyproject.toml --extra dev --generate-hashes --no-emit-index-url --no-emit-find-links \
	    --universal --no-annotate --no-header --quiet; } > requirements.txt
	$(UV) pip compile tests/compat/requirements.in --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --universal --no-annotate --no-header --quiet --output-file tests/compat/requirements.txt

.PHONY: clean
clean:  ## remove the environment and every cache
	rm -rf $(VENV) $(COMPAT) .coverage .mypy_cache .ruff_cache .pytest_cache .import_linter_cache build dist
