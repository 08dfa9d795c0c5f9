/* Total and free memory as programs see them: those of the share, clamped; no call fails because of it. */
#include "contexts.h"
#include "accounting/devices.h"
#include "driver/driver.h"
#include "accounting/ledger.h"
#include "accounting/pools.h"

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Either pointer may be NULL. */
#define TELLS_FREE(name, extent) \
    CUresult name(extent *free, extent *total) \
    { \
        extent real_free, real_total; \
        CUdevice device; \
        uint64_t owner; \
        CUresult result = DRIVER(name)(&real_free, &real_total); \
        if (result != CUDA_SUCCESS || !contexts_current(&device, &owner)) \
            return result; \
        pools_refresh(); \
        int gpu = device_gpu(device); \
        uint64_t limit = ledger_limit(gpu), used = least(ledger_used(gpu), limit); \
        if (free) \
            *free = (extent)least(real_free, limit - used); \
        if (total) \
            *total = (extent)least(real_total, limit); \
        return result; \
    }
TELLS_FREE(cuMemGetInfo_v2, size_t)
TELLS_FREE(cuMemGetInfo, unsigned)

#define TELLS_TOTAL(name, extent) \
    CUresult name(extent *bytes, CUdevice device) \
    { \
        CUresult result = DRIVER(name)(bytes, device); \
        if (result == CUDA_SUCCESS && bytes) \
            *bytes = (extent)least(*bytes, ledger_limit(device_gpu(device))); \
        return result; \
    }
TELLS_TOTAL(cuDeviceTotalMem_v2, size_t)
TELLS_TOTAL(cuDeviceTotalMem, unsigned)
