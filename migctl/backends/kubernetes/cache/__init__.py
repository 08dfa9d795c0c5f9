"""What is known of a Kubernetes cluster: a live copy of the fields that matter, updated by lists and watches.

Not here: what the fields mean (meaning/), any write (stores/, controller/kubernetes/).
"""
