"""The DRA driver gpu.migctl.dev: how the kubelet asks this node's agent for devices.

stubs/           the kubelet's protocols, generated
"""
