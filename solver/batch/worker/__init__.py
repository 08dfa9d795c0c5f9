"""The process in which batches are solved: it may hang or die, and is killed at its wall clock."""

from solver.batch.worker.client import Worker, WorkerFailed, shared

__all__ = ["Worker", "WorkerFailed", "shared"]
