/* The truth about a machine's GPUs: what every process really holds, kept in the file `machine` beside the
 * library, which all stand-in drivers map. It shares nothing with the shim: its own layout, its own lock, its own way to see that a process is gone. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

enum { DEVICES = 8, ENTRIES = 128 };

struct entry {
    int32_t pid; /* 0: free */
    int32_t unused;
    uint64_t bytes[DEVICES];
};

struct machine {
    uint32_t ready, devices;
    pthread_mutex_t lock;
    unsigned char uuid[DEVICES][16];
    uint64_t total[DEVICES];
    uint64_t context[DEVICES];
    uint64_t peak[DEVICES]; /* the most that was ever held at once */
    uint32_t knobs;         /* see below */
    struct entry entry[ENTRIES];
};

enum {
    KNOB_FRAGMENTED_POOLS = 1, /* a pool grows for every request, whatever is free inside */
    KNOB_WIDE_PITCH = 2,       /* rows at multiples of 4096 */
    KNOB_NARROW_PITCH = 8,     /* rows at multiples of 64 */
    KNOB_REFUSE = 4,           /* every allocation fails with 999 */
};

struct machine *machine(void); /* mapped at the first call; NULL: no machine file */

/* Moves what this process holds on a device; false: the device has not that much left. */
bool machine_charge(int device, int64_t bytes);
uint64_t machine_truth(int device);
uint64_t machine_own(int device);
