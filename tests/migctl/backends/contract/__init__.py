"""The contract of a control plane: every adapter passes these tests."""
