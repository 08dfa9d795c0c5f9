/* Devices, contexts and streams of the stand-in driver. */
#define _GNU_SOURCE
#include "cuda.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int ready_pid, visible[DEVICES], visible_count;
static struct context primary[DEVICES];
static _Thread_local struct context *current;
static struct calls *all_calls;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

void standin_called(struct calls *calls)
{
    if (__atomic_fetch_add(&calls->count, 1, __ATOMIC_RELAXED))
        return;
    calls->next = __atomic_load_n(&all_calls, __ATOMIC_ACQUIRE);
    while (!__atomic_compare_exchange_n(&all_calls, &calls->next, calls, false, __ATOMIC_RELEASE, __ATOMIC_ACQUIRE))
        ;
}

/* For tests: how often a function of the driver was called. */
API standin_calls(const char *name)
{
    unsigned count = 0;
    for (const struct calls *calls = __atomic_load_n(&all_calls, __ATOMIC_ACQUIRE); calls; calls = calls->next)
        count += strcmp(calls->name, name) == 0 ? calls->count : 0;
    return (CUresult)count;
}

static bool same_text(const char *text, const unsigned char uuid[16])
{
    char own[64];
    int length = snprintf(own, sizeof own, "GPU-");
    for (int i = 0; i < 16; i++)
        length += snprintf(own + length, sizeof own - (size_t)length, i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x", uuid[i]);
    return strcasecmp(text, own) == 0;
}

static int named(const char *text)
{
    for (unsigned i = 0; i < machine()->devices; i++)
        if (same_text(text, machine()->uuid[i]) || (*text >= '0' && *text <= '9' && (unsigned)atoi(text) == i))
            return (int)i;
    return -1;
}

API cuInit(unsigned flags)
{
    const char *chosen = getenv("CUDA_VISIBLE_DEVICES");
    CALLED;
    (void)flags;
    if (ready_pid)
        return ready_pid == getpid() ? SUCCESS : NOT_INITIALIZED;
    if (!machine())
        return 100; /* no device */
    visible_count = 0;
    if (chosen) {
        char list[512], *rest = list;
        snprintf(list, sizeof list, "%s", chosen);
        for (char *word; (word = strsep(&rest, ",")) && visible_count < DEVICES && named(word) >= 0;)
            visible[visible_count++] = named(word);
    } else {
        for (unsigned i = 0; i < machine()->devices; i++)
            visible[visible_count++] = (int)i;
    }
    for (int i = 0; i < DEVICES; i++)
        primary[i].device = i;
    ready_pid = getpid();
    return SUCCESS;
}

CUresult standin_ready(void)
{
    return ready_pid && ready_pid == getpid() ? SUCCESS : NOT_INITIALIZED;
}

struct context *standin_current(void)
{
    return current && current->alive ? current : NULL;
}

int standin_physical(int device)
{
    return visible[device];
}

CUresult standin_take(int device, uint64_t bytes)
{
    if (machine()->knobs & KNOB_REFUSE)
        return REFUSED;
    return machine_charge(visible[device], (int64_t)bytes) ? SUCCESS : OUT_OF_MEMORY;
}

void standin_give(int device, uint64_t bytes)
{
    machine_charge(visible[device], -(int64_t)bytes);
}

API cuDriverGetVersion(int *version) { CALLED; *version = 13000; return SUCCESS; }

#define NEED_DEVICE(device) \
    CALLED; \
    if (standin_ready()) \
        return NOT_INITIALIZED; \
    if (device < 0 || device >= visible_count) \
        return INVALID_DEVICE

API cuDeviceGetCount(int *count)
{
    CALLED;
    *count = visible_count;
    return standin_ready();
}

API cuDeviceGet(CUdevice *device, int ordinal)
{
    NEED_DEVICE(ordinal);
    *device = ordinal;
    return SUCCESS;
}

API cuDeviceGetUuid_v2(unsigned char *uuid, CUdevice device)
{
    NEED_DEVICE(device);
    memcpy(uuid, machine()->uuid[visible[device]], 16);
    return SUCCESS;
}

API cuDeviceGetUuid(unsigned char *uuid, CUdevice device) { return cuDeviceGetUuid_v2(uuid, device); }

API cuDeviceTotalMem_v2(size_t *bytes, CUdevice device)
{
    NEED_DEVICE(device);
    *bytes = machine()->total[visible[device]];
    return SUCCESS;
}

API cuDeviceTotalMem(unsigned *bytes, CUdevice device)
{
    NEED_DEVICE(device);
    uint64_t total = machine()->total[visible[device]];
    *bytes = total > UINT32_MAX ? UINT32_MAX : (unsigned)total;
    return SUCCESS;
}

API cuMemGetInfo_v2(size_t *unused, size_t *total)
{
    NEED_CONTEXT(context);
    *total = machine()->total[visible[context->device]];
    *unused = *total - machine_truth(visible[context->device]);
    return SUCCESS;
}

API cuMemGetInfo(unsigned *unused, unsigned *total)
{
    size_t wide_unused, wide_total;
    CUresult result = cuMemGetInfo_v2(&wide_unused, &wide_total);
    CALLED;
    *unused = wide_unused > UINT32_MAX ? UINT32_MAX : (unsigned)wide_unused;
    *total = wide_total > UINT32_MAX ? UINT32_MAX : (unsigned)wide_total;
    return result;
}

/* Contexts. */

API cuDevicePrimaryCtxRetain(struct context **context, CUdevice device)
{
    NEED_DEVICE(device);
    pthread_mutex_lock(&mutex);
    CUresult result = primary[device].primary ? SUCCESS : standin_take(device, machine()->context[visible[device]]);
    if (result == SUCCESS) {
        primary[device].primary++;
        primary[device].alive = true;
        *context = &primary[device];
    }
    pthread_mutex_unlock(&mutex);
    return result;
}

static void end(struct context *context)
{
    context->alive = false;
    memory_drop_context(context);
    standin_give(context->device, machine()->context[visible[context->device]]);
}

static CUresult release(CUdevice device, bool reset)
{
    pthread_mutex_lock(&mutex);
    bool last_use = primary[device].primary == 1 || (reset && primary[device].primary);
    CUresult result = primary[device].primary || reset ? SUCCESS : INVALID_CONTEXT;
    if (primary[device].primary)
        primary[device].primary -= reset ? primary[device].primary : 1;
    if (last_use) {
        end(&primary[device]);
        pools_drop_device(device);
    }
    pthread_mutex_unlock(&mutex);
    return result;
}

API cuDevicePrimaryCtxRelease_v2(CUdevice device) { NEED_DEVICE(device); return release(device, false); }
API cuDevicePrimaryCtxRelease(CUdevice device) { NEED_DEVICE(device); return release(device, false); }
API cuDevicePrimaryCtxReset_v2(CUdevice device) { NEED_DEVICE(device); return release(device, true); }
API cuDevicePrimaryCtxReset(CUdevice device) { NEED_DEVICE(device); return release(device, true); }

API cuDevicePrimaryCtxGetState(CUdevice device, unsigned *flags, int *active)
{
    NEED_DEVICE(device);
    *flags = 0;
    *active = primary[device].primary > 0;
    return SUCCESS;
}

static CUresult create(struct context **context, CUdevice device)
{
    CUresult result = standin_take(device, machine()->context[visible[device]]);
    if (result)
        return result;
    *context = malloc(sizeof **context);
    **context = (struct context){.device = device, .alive = true};
    current = *context;
    return SUCCESS;
}

API cuCtxCreate(struct context **context, unsigned flags, CUdevice device) { NEED_DEVICE(device); (void)flags; return create(context, device); }
API cuCtxCreate_v2(struct context **context, unsigned flags, CUdevice device) { NEED_DEVICE(device); (void)flags; return create(context, device); }
API cuCtxCreate_v3(struct context **context, void *affinity, int count, unsigned flags, CUdevice device) { NEED_DEVICE(device); (void)affinity; (void)count; (void)flags; return create(context, device); }
API cuCtxCreate_v4(struct context **context, void *how, unsigned flags, CUdevice device) { NEED_DEVICE(device); (void)how; (void)flags; return create(context, device); }

/* The structure stays: other threads may still have the dead context as their current one. */
static CUresult destroy(struct context *context)
{
    if (!context || !context->alive || context->primary)
        return INVALID_CONTEXT;
    end(context);
    return SUCCESS;
}

API cuCtxDestroy_v2(struct context *context) { CALLED; return destroy(context); }
API cuCtxDestroy(struct context *context) { CALLED; return destroy(context); }
API cuCtxSetCurrent(struct context *context) { CALLED; current = context; return SUCCESS; }

API cuCtxGetCurrent(struct context **context)
{
    CALLED;
    *context = standin_current();
    return standin_ready();
}

API cuCtxGetDevice(CUdevice *device)
{
    NEED_CONTEXT(context);
    *device = context->device;
    return SUCCESS;
}

API cuCtxSynchronize(void)
{
    NEED_CONTEXT(context);
    (void)context;
    pools_sync(NULL);
    return SUCCESS;
}

API cuEventSynchronize(void *event)
{
    CALLED;
    (void)event;
    pools_sync(NULL);
    return SUCCESS;
}

/* Streams. */

API cuStreamCreate(CUstream *stream, unsigned flags)
{
    NEED_CONTEXT(context);
    (void)flags;
    *stream = malloc(sizeof **stream);
    **stream = (struct stream){.context = context};
    return SUCCESS;
}

static CUresult synchronize(CUstream stream)
{
    pools_sync((uintptr_t)stream > 2 ? stream : NULL);
    return SUCCESS;
}

API cuStreamSynchronize(CUstream stream) { CALLED; return synchronize(stream); }
API cuStreamSynchronize_ptsz(CUstream stream) { CALLED; return synchronize(stream); }

API cuStreamGetCtx(CUstream stream, struct context **context)
{
    CALLED;
    *context = (uintptr_t)stream > 2 ? stream->context : standin_current();
    return SUCCESS;
}

API cuStreamIsCapturing(CUstream stream, int *status)
{
    CALLED;
    *status = (uintptr_t)stream > 2 && stream->capturing;
    return SUCCESS;
}

/* Launches do nothing. */
#define KERNEL void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, CUstream stream, void **parameters
#define LAUNCH (void)function, (void)gx, (void)gy, (void)gz, (void)bx, (void)by, (void)bz, (void)shared, (void)stream, (void)parameters
API cuLaunchKernel(KERNEL, void **extra) { CALLED; LAUNCH, (void)extra; return SUCCESS; }
API cuLaunchKernel_ptsz(KERNEL, void **extra) { CALLED; LAUNCH, (void)extra; return SUCCESS; }
API cuLaunchCooperativeKernel(KERNEL) { CALLED; LAUNCH; return SUCCESS; }
API cuLaunchCooperativeKernel_ptsz(KERNEL) { CALLED; LAUNCH; return SUCCESS; }
API cuLaunchKernelEx(const void *how, void *function, void **parameters, void **extra) { CALLED; (void)how, (void)function, (void)parameters, (void)extra; return SUCCESS; }
API cuLaunchKernelEx_ptsz(const void *how, void *function, void **parameters, void **extra) { CALLED; (void)how, (void)function, (void)parameters, (void)extra; return SUCCESS; }
API cuGraphLaunch(void *graph, CUstream stream) { CALLED; (void)graph, (void)stream; return SUCCESS; }
API cuGraphLaunch_ptsz(void *graph, CUstream stream) { CALLED; (void)graph, (void)stream; return SUCCESS; }
