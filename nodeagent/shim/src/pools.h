/* Stream-ordered allocations come out of pools; the share pays for what a pool has reserved, not for each request. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* ledger_take; before it says no, unused memory of this process's pools is handed back, as the driver does when it
 * runs out. */
bool pools_take(int gpu, uint64_t bytes, unsigned contexts);

/* A pointer of that pool (numbered from 1) was freed. */
void pools_returned(uint32_t pool);

/* Books what the pools hold now: they shrink when work ends, without a word. */
void pools_refresh(void);

void pools_forget(void);
