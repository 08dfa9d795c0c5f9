"""Others' rules, each on the same arrivals as ours.

    mig.py     GPUs in MIG mode: which GPU, and which start on it
    plain.py   GPUs shared by software fractions: which node, and which of its GPUs
    fragments.py   what FGD calls fragmentation, for both

Rules see what their makers' schedulers see. All may reuse and destroy idle MIG instances as ours does,
so that reconfigurations can be compared.
"""
