"""All that the REST API shows of a cluster, cached: ClusterView.

Not here: who may see what of it (migctl/cluster_api).
"""
