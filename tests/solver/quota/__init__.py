"""Tests of quotas, fair shares and the order of queues."""
