"""Commands about workloads: submit, list, describe, logs, exec, suspend, resume, delete, why, wait."""
