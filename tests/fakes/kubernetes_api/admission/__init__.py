"""Admission as an API server does it: the policies of deploy/manifests/admission, their own CEL text evaluated."""
