"""Acceptance on a real cluster, named by MIGCTL_TEST_KUBECONFIG: `make test-cluster`."""
