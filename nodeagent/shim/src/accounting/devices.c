#include "devices.h"

#include "driver/driver.h"
#include "ledger.h"
#include "base/limits.h"

#include <stdatomic.h>

bool device_known(CUdevice device)
{
    return device >= 0 && device < MAX_DEVICES;
}

int device_gpu(CUdevice device)
{
    enum { UNKNOWN, NOT_SHARED, FIRST };
    static _Atomic int rows[MAX_DEVICES];
    if (!device_known(device))
        return NO_GPU;
    int row = atomic_load_explicit(&rows[device], memory_order_relaxed);
    if (row == UNKNOWN) {
        CUuuid uuid;
        limits_get();
        if (DRIVER(cuDeviceGetUuid_v2)(&uuid, device) != CUDA_SUCCESS
            && DRIVER(cuDeviceGetUuid)(&uuid, device) != CUDA_SUCCESS)
            return NO_GPU;
        int gpu = limits_find(uuid.bytes);
        row = gpu == NO_GPU ? NOT_SHARED : FIRST + gpu;
        atomic_store_explicit(&rows[device], row, memory_order_relaxed);
    }
    return row == NOT_SHARED ? NO_GPU : row - FIRST;
}
