"""The rules of other projects, each on the same arrivals as migctl's.

    mig.py     GPUs in MIG mode: which GPU, and which start on it
    plain.py   GPUs shared by software fractions: which node, and which of its GPUs
    fragments.py   what FGD calls fragmentation, for both

Rules see what the schedulers of those projects see. All may reuse and destroy idle MIG instances as migctl does,
so that reconfigurations can be compared.
"""
