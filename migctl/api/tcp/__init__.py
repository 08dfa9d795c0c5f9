"""What the API needs where others can reach it: on TCP.

options.py       what was asked for
listener.py      where it listens, and with which certificate
certificates.py  a certificate of our own
guard.py         who is there, how much he may send, how many requests at a time
"""
