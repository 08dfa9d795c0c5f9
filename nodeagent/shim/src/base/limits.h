/* What this container or workload may use: read once from `migctl.limits` beside the library, never from the
 * environment. Text, one fact a line (written by nodeagent/shim/limits.py):
 *
 *     migctl limits 1
 *     region /run/migctl/.../region
 *     gpu GPU-8f2c60a4-... memory 8472494080 context 536870912 reserved 0
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { MAX_GPUS = 16, MAX_PATH = 1024 };

struct gpu_limit {
    unsigned char uuid[16];
    uint64_t memory;  /* bytes that all processes of the workload may hold on this GPU */
    uint64_t context; /* bytes that one CUDA context takes there, as the agent measured it */
    uint64_t reserved; /* bytes of `memory` that the driver keeps for itself */
};

struct limits {
    int gpus; /* 0 when the file is missing or bad: every GPU is then refused */
    struct gpu_limit gpu[MAX_GPUS];
    char region[MAX_PATH];
};

const struct limits *limits_get(void);

/* The row of a GPU; -1: it is not part of the share. */
int limits_find(const unsigned char uuid[16]);

/* Reads "GPU-" and 32 hex digits with dashes; false where it is something else. */
bool limits_parse_uuid(const char **cursor, unsigned char uuid[16]);

/* One line to stderr: the shim speaks when something is wrong with its set-up, and then once. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
