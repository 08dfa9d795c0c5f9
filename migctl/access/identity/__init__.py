"""Who a request is from: secrets of programs, signed tokens, sessions of browsers, another identity provider.

secrets.py       secrets, and what is stored of them
signing_keys.py  keys that short-lived tokens are signed with
attempts.py      how often somebody may try
accounts.py      tokens and access rules as they are stored now
sessions.py      browsers: links and cookies
oidc.py          people of another identity provider
sign_in.py       a secret for a short-lived token, and that token for a caller
"""
