/* Which GPU of the share a CUDA device is. */
#pragma once

#include "driver/cuda_abi.h"

#include <stdbool.h>

enum { MAX_DEVICES = 64 };

/* Whether the ordinal is one that the tables of this library have room for. */
bool device_known(CUdevice device);

/* A device's row in the limits, by its UUID: ordinals change with CUDA_VISIBLE_DEVICES. NO_GPU: not in the share. */
int device_gpu(CUdevice device);
