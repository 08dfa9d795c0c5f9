"""The DRA driver gpu.migctl.dev: how the kubelet asks this node's agent for devices.

driver.py        from a claim's name to devices that a container can use, and back
ledger.py        which ResourceClaim a held uid belongs to
reclaim.py       claims whose Unprepare never comes
inflight.py      one operation per claim at a time
service.py       the kubelet's calls, answered
registration.py  how the kubelet learns of the driver
health.py        the devices' health, streamed to the kubelet
sockets.py       all of it on Unix sockets
stubs/           the kubelet's protocols, generated
"""
