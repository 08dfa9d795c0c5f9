"""The control planes migctl runs on (SQLite, HTTP, Kubernetes), behind the one protocol of `protocol.py`.

Not here: what decides (controller/) and what serves the API (api/).
"""
