"""The composition root of `migctl up`: the only package that imports both the control plane and the node agent.

Not here: what runs on a cluster (controller/kubernetes, nodeagent.daemon).
"""
