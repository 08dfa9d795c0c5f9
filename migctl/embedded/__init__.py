"""The composition root of `migctl up`: the only place where control plane and node agent meet."""
