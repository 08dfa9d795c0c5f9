/* The memory that all processes of one workload share: who holds how much of which GPU.
 * One slot per process, written by its owner alone (and cleared by others once the owner is gone), so that a process
 * killed at any instruction leaves nothing to repair. The agent makes the file (nodeagent/shim/region.py, which has
 * the same layout) and writes `context` and `time_slice`. */
#pragma once

#include "base/limits.h"

#include <stdatomic.h>

enum { SLOTS = 256 };
#define REGION_MAGIC "migctlR1"

struct account {
    _Atomic uint64_t bytes;
    _Atomic uint64_t contexts; /* how many; what one takes is in struct gpu_settings */
};

struct slot {
    _Atomic uint64_t token; /* of the attachment, 0: free */
    _Atomic uint64_t pid;   /* in its own pid namespace */
    _Atomic uint64_t pid_namespace;
    _Atomic uint64_t started; /* start time in /proc: tells a process from a later one with its pid */
    struct account gpu[MAX_GPUS];
};

struct gpu_settings {
    unsigned char uuid[16];
    _Atomic uint64_t context; /* measured bytes of one context, 0: as the limits file says */
    _Atomic uint32_t time_slice; /* when launches may pass: start << 16 | length, in thousandths; 0: at any time */
    uint32_t unused;
};

struct region {
    char magic[8];
    uint32_t size;
    _Atomic uint32_t lock; /* see region_lock */
    _Atomic uint32_t high; /* slots from here on were never used */
    uint32_t unused;
    struct gpu_settings gpu[MAX_GPUS];
    struct slot slot[SLOTS];
};

/* An open region: a mapping and the descriptor whose lock on byte `slot` shows that this process lives. */
struct attachment {
    struct region *region;
    int fd; /* -1: no file, the process counts for itself */
    uint64_t device, inode; /* of the file: a program may close fd and open something else under its number */
    unsigned slot;
    uint64_t token;
};
