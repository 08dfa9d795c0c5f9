"""The socket of `migctl up`: what travels on it, and the client's side of it.

Not here: the server's side (api/).
"""
