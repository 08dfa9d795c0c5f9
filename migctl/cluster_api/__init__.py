"""The REST API of a cluster, as a process: `python -m migctl.cluster_api`.

A caller's token is reviewed by the API server, and so is what he may read; his writes go out with his own token, so
that the API server decides. This process holds no right to write anything.

answers.py        answers kept for seconds, in bounded number
reviews.py        TokenReview and SubjectAccessReview
permissions.py    the one table: what each verb on each kind is on Kubernetes
rights.py         what one caller may do, as it was answered
visible.py        the cached objects that he may see
control_plane.py  reads from the cache, writes with his token
runtime.py        the output of workloads, with his token
sign_in.py        how somebody becomes a caller, and until when he is one
service.py        what the routes of migctl/api/v1 stand on
serving.py        ports, TLS and signals
"""
