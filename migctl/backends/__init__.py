"""The control planes migctl runs on, all behind the one protocol of `protocol.py`."""
