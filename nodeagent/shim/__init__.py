"""Software fractions: two libraries that stand in front of the driver's, and what places them before a workload.

src/         the libraries, in C: libcuda.so.1 and libnvidia-ml.so.1 with the real ones under another name.
             A folder uses those below it in this list, never the other way round:
             cuda/        the functions of libcuda.so.1 that the library defines
             nvml/        those of libnvidia-ml.so.1
             accounting/  what this process and its workload hold: ledger, charges by pointer, pools, devices, forks
             region/      the memory shared by a workload's processes, and its locks
             driver/      the real library's functions, and the part of its interface that is used
             base/        the limits file, /proc, faults for tests, old glibc
build.py     compiles them; needs a C compiler and nothing of CUDA
libraries.py finds the compiled ones, and the driver's own on this machine
limits.py    the file that tells the libraries what a workload may use
region.py    the memory in which a workload's processes keep their accounts
placing.py   puts all that before a workload: as a folder for the dynamic loader, or as CDI edits
"""
