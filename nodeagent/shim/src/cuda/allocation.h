/* The steps of one allocation and of its end, around the driver's own. */
#pragma once

#include "accounting/charges.h"
#include "driver/cuda_abi.h"

/* Takes bytes on the current context's GPU. An error is the caller's to return; without a current context nothing is
 * taken and the driver is left to say so. */
CUresult allocation_begin(struct charge *charge, uint64_t bytes);

/* After the driver's answer: remembers the charge under (kind, key), or gives it back; passes the answer on. */
CUresult allocation_end(struct charge *charge, CUresult result, enum kind kind, uint64_t key);

/* After the driver's answer to the free: gives the bytes back, or puts the charge back. */
CUresult allocation_freed(const struct charge *charge, CUresult result);
