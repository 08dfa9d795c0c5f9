"""Why a workload is in its phase, the same behind every door.

waiting.py  the reasons of its pods, and whose claims are in their way
leaving.py  pods that are told to stop and cannot
"""
