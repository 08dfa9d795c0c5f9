/* Which context and GPU a call is about, and what contexts themselves cost. */
#pragma once

#include "driver/cuda_abi.h"

#include <stdbool.h>

/* The current context's device, and who owns what is allocated in it; false: there is none. */
bool contexts_current(CUdevice *device, uint64_t *owner);

/* The device that a stream's work runs on; false: no context. */
bool contexts_of_stream(CUstream stream, CUdevice *device);
