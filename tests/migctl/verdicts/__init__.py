"""Tests of migctl/verdicts."""
