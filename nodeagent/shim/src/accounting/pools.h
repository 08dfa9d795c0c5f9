/* Stream-ordered allocations come out of pools; the share pays for what a pool has reserved, not for each request. */
#pragma once

#include "driver/cuda_abi.h"

#include <stdbool.h>
#include <stdint.h>

/* ledger_take; before it says no, unused memory of this process's pools is handed back, as the driver does when it
 * runs out. */
bool pools_take(int gpu, uint64_t bytes, unsigned contexts);

/* A pointer of that pool (numbered from 1) was freed. */
void pools_returned(uint32_t pool);

/* Accounts for what the pools hold now: they shrink when work ends, and nothing reports it. */
void pools_refresh(void);

/* A request on its way through the driver. */
struct draw {
    int pool; /* -1: nothing to charge */
    uint64_t pending, promised;
};

/* Takes what a request can make the pool grow by; an error is the caller's to return. */
CUresult draw_begin(struct draw *draw, CUmemoryPool handle, size_t bytes);

/* After the driver's answer. False: the pool grew more than it should have been able to, and that does not fit. */
bool draw_end(const struct draw *draw, CUresult result, CUdeviceptr made);

/* Hands back what is idle in the pools of that pool's GPU. */
void pools_hand_back_idle(int pool);
