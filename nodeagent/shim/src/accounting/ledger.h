/* The accounts of the workload: every byte is taken before the driver is asked and given back when it refuses. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { NO_GPU = -1 };

/* False: it would go over the GPU's limit, or the GPU is not part of the share. */
bool ledger_take(int gpu, uint64_t bytes, unsigned contexts);
void ledger_give(int gpu, uint64_t bytes, unsigned contexts);

/* Bytes that all processes of the workload hold on a GPU, and their limit (0 where it is not part of the share). */
uint64_t ledger_used(int gpu);
uint64_t ledger_limit(int gpu);

/* When the agent lets launches pass, in thousandths of the period; length 0: at any time. */
struct time_slice { unsigned start, length; };
struct time_slice ledger_time_slice(int gpu);
