/* Contexts take GPU memory of their own, and take what was allocated in them along when they go. */
#include "accounting/charges.h"
#include "contexts.h"
#include "accounting/devices.h"
#include "driver/driver.h"
#include "base/fault.h"
#include "accounting/fork.h"
#include "accounting/ledger.h"
#include "base/limits.h"
#include "accounting/pools.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

/* Held while the driver makes or ends a primary context, so that two threads do not both see it begin. */
static pthread_mutex_t primary_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct {
    _Atomic bool charged;
    _Atomic(CUcontext) handle;
} primary[MAX_DEVICES];

static _Atomic bool any_created; /* contexts beside the primary ones */

static uint64_t owner_of_primary(CUdevice device)
{
    return (uint64_t)device + 1;
}

static uint64_t owner_of_created(CUcontext handle)
{
    return (uint64_t)(uintptr_t)handle;
}

static bool created_on(CUcontext handle, CUdevice *device)
{
    struct charge context;
    if (!atomic_load_explicit(&any_created, memory_order_relaxed)
        || !charge_peek(CONTEXT, owner_of_created(handle), &context))
        return false;
    *device = (CUdevice)context.number;
    return true;
}

/* Follows the driver: charges a primary context that came to life, lets go of all that a dead one held. */
static void settle_primary(CUdevice device)
{
    unsigned flags;
    int active;
    int gpu = device_gpu(device);
    if (!device_known(device) || DRIVER(cuDevicePrimaryCtxGetState)(device, &flags, &active) != CUDA_SUCCESS)
        return;
    if (active && !primary[device].charged) {
        primary[device].charged = pools_take(gpu, 0, 1);
    } else if (!active && primary[device].charged) {
        primary[device].charged = false;
        charges_drop_owner(owner_of_primary(device));
        ledger_give(gpu, 0, 1);
        pools_refresh();
    }
}

bool contexts_current(CUdevice *device, uint64_t *owner)
{
    CUcontext handle;
    if (DRIVER(cuCtxGetDevice)(device) != CUDA_SUCCESS)
        return false;
    *owner = owner_of_primary(*device);
    if (atomic_load_explicit(&any_created, memory_order_relaxed)
        && DRIVER(cuCtxGetCurrent)(&handle) == CUDA_SUCCESS && created_on(handle, device)) {
        *owner = owner_of_created(handle);
    } else if (device_known(*device) && !atomic_load_explicit(&primary[*device].charged, memory_order_relaxed)) {
        pthread_mutex_lock(&primary_mutex); /* made by a way that passes us by */
        settle_primary(*device);
        pthread_mutex_unlock(&primary_mutex);
    }
    return true;
}

bool contexts_of_stream(CUstream stream, CUdevice *device)
{
    CUcontext handle;
    if ((uintptr_t)stream > (uintptr_t)CU_STREAM_PER_THREAD
        && DRIVER(cuStreamGetCtx)(stream, &handle) == CUDA_SUCCESS) {
        if (created_on(handle, device))
            return true;
        for (*device = 0; *device < MAX_DEVICES; ++*device)
            if (atomic_load_explicit(&primary[*device].handle, memory_order_relaxed) == handle)
                return true;
    }
    return DRIVER(cuCtxGetDevice)(device) == CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRetain(CUcontext *handle, CUdevice device)
{
    if (!device_known(device))
        return DRIVER(cuDevicePrimaryCtxRetain)(handle, device);
    int gpu = device_gpu(device);
    pthread_mutex_lock(&primary_mutex);
    CUresult result = CUDA_SUCCESS;
    bool first = !primary[device].charged;
    if (first && !pools_take(gpu, 0, 1))
        result = CUDA_ERROR_OUT_OF_MEMORY;
    else {
        FAULT("context");
        result = DRIVER(cuDevicePrimaryCtxRetain)(handle, device);
        if (result == CUDA_SUCCESS) {
            primary[device].charged = true;
            primary[device].handle = *handle;
        } else if (first) {
            ledger_give(gpu, 0, 1);
        }
    }
    pthread_mutex_unlock(&primary_mutex);
    return result;
}

static CUresult end_primary(cuDevicePrimaryCtxRelease_type *end, CUdevice device)
{
    pthread_mutex_lock(&primary_mutex);
    CUresult result = end(device);
    if (result == CUDA_SUCCESS)
        settle_primary(device);
    pthread_mutex_unlock(&primary_mutex);
    return result;
}

#define ENDS_PRIMARY(name) \
    CUresult name(CUdevice device) { return end_primary(DRIVER(name), device); }
ENDS_PRIMARY(cuDevicePrimaryCtxRelease_v2)
ENDS_PRIMARY(cuDevicePrimaryCtxRelease)
ENDS_PRIMARY(cuDevicePrimaryCtxReset_v2)
ENDS_PRIMARY(cuDevicePrimaryCtxReset)

static CUresult enlist(CUresult result, CUcontext *handle, CUdevice device)
{
    if (result != CUDA_SUCCESS) {
        ledger_give(device_gpu(device), 0, 1);
        return result;
    }
    any_created = true;
    charge_put(&(struct charge){.kind = CONTEXT, .key = owner_of_created(*handle), .number = (uint32_t)device});
    return result;
}

#define MAKES_CONTEXT(name, parameters, arguments) \
    CUresult name parameters \
    { \
        if (!pools_take(device_gpu(device), 0, 1)) \
            return CUDA_ERROR_OUT_OF_MEMORY; \
        FAULT("context"); \
        return enlist(DRIVER(name) arguments, handle, device); \
    }
MAKES_CONTEXT(cuCtxCreate_v4, (CUcontext *handle, void *how, unsigned flags, CUdevice device),
              (handle, how, flags, device))
MAKES_CONTEXT(cuCtxCreate_v3, (CUcontext *handle, void *affinity, int count, unsigned flags, CUdevice device),
              (handle, affinity, count, flags, device))
MAKES_CONTEXT(cuCtxCreate_v2, (CUcontext *handle, unsigned flags, CUdevice device), (handle, flags, device))
MAKES_CONTEXT(cuCtxCreate, (CUcontext *handle, unsigned flags, CUdevice device), (handle, flags, device))

static CUresult destroy(cuCtxDestroy_type *call, CUcontext handle)
{
    struct charge context;
    bool ours = charge_lift(CONTEXT, owner_of_created(handle), &context);
    CUresult result = call(handle);
    if (ours && result != CUDA_SUCCESS)
        charge_put(&context);
    if (!ours || result != CUDA_SUCCESS)
        return result;
    charges_drop_owner(owner_of_created(handle));
    ledger_give(device_gpu((CUdevice)context.number), 0, 1);
    pools_refresh();
    return result;
}

CUresult cuCtxDestroy_v2(CUcontext handle) { return destroy(DRIVER(cuCtxDestroy_v2), handle); }
CUresult cuCtxDestroy(CUcontext handle) { return destroy(DRIVER(cuCtxDestroy), handle); }

static void forget(void)
{
    primary_mutex = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    memset(primary, 0, sizeof primary);
}
ON_FORK(forget)
