"""What a project may use: accounting, fair share, the order of queues."""
