"""Units of memory."""

MIB = 1 << 20
"""Bytes in a mebibyte. NVML counts bytes, migctl MiB."""
