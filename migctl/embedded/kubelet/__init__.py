"""One machine's workloads as processes: what the Job controller and the kubelet do on Kubernetes.

Not here: where a workload may run (controller/), how its share is made (nodeagent/).
"""
