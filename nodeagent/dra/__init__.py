"""The DRA driver gpu.migctl.dev: how the kubelet calls this node's agent for the devices of claims.

Not here: the devices themselves (agent.py), and what a container gets (cdi/).

driver.py        from a claim's name to devices that a container can use, and back
claim_index.py   which ResourceClaim a held uid belongs to
reclaim.py       claims whose Unprepare never comes
inflight.py      one operation per claim at a time
service.py       the kubelet's calls
registration.py  registration with the kubelet
health.py        the devices' health, streamed to the kubelet
sockets.py       all of it on Unix sockets
stubs/           the kubelet's protocols, generated
"""
