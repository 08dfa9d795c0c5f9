"""Projects and the departments they are part of: queues with quota."""
