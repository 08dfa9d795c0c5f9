/* Memory pools. Before a request the pool's greatest possible growth is taken, afterwards what it did not grow is given
 * back: the charge is never less than what the driver has reserved. */
#include "charges.h"
#include "devices.h"
#include "driver/driver.h"
#include "base/fault.h"
#include "fork.h"
#include "ledger.h"
#include "pools.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

/* The driver's pools grow by whole chunks of this size. */
#define CHUNK (32ull << 20)

struct pool {
    CUmemoryPool handle; /* NULL: free entry, or destroyed and waiting for its last pointers */
    int gpu;             /* NO_GPU: a GPU that is not in the share */
    bool host;           /* memory of the host: nothing is charged */
    uint64_t charge;     /* taken for what the driver has reserved */
    uint64_t pending;    /* taken for requests that the driver is working on */
    uint64_t promised;   /* idle bytes that those requests reckon with */
    uint64_t live;       /* pointers out */
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct pool *pools;
static unsigned count, capacity;
static _Atomic bool may_shrink; /* some pool keeps memory that nobody uses */

static uint64_t attribute(const struct pool *pool, int which, uint64_t otherwise)
{
    uint64_t value;
    return DRIVER(cuMemPoolGetAttribute)(pool->handle, which, &value) == CUDA_SUCCESS ? value : otherwise;
}

static uint64_t idle_bytes(const struct pool *pool)
{
    uint64_t reserved = attribute(pool, CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT, 0);
    uint64_t used = attribute(pool, CU_MEMPOOL_ATTR_USED_MEM_CURRENT, reserved);
    return reserved > used ? reserved - used : 0;
}

/* A request that had `mine` pending is over (0: a look at any time). The charge only shrinks here; the
 * growth of other requests is covered by what they have pending. Returns what the driver reserved beyond the charge. */
static uint64_t settle(struct pool *pool, uint64_t mine)
{
    uint64_t covered = pool->charge + pool->pending;
    uint64_t reserved = attribute(pool, CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT, pool->charge);
    pool->pending -= mine;
    uint64_t most = covered - pool->pending;
    pool->charge = reserved < most ? reserved : most;
    ledger_give(pool->gpu, covered - pool->charge - pool->pending, 0);
    return reserved > covered ? reserved - covered : 0;
}

static bool counts(const struct pool *pool)
{
    return pool->handle && !pool->host;
}

static void refresh(void)
{
    bool idle = false;
    for (unsigned i = 0; i < count; i++)
        if (counts(&pools[i])) {
            settle(&pools[i], 0);
            idle |= idle_bytes(&pools[i]) > 0;
        }
    may_shrink = idle;
}

void pools_refresh(void)
{
    pthread_mutex_lock(&mutex);
    refresh();
    pthread_mutex_unlock(&mutex);
}

static void trim(int gpu)
{
    for (unsigned i = 0; i < count; i++)
        if (counts(&pools[i]) && pools[i].gpu == gpu)
            DRIVER(cuMemPoolTrimTo)(pools[i].handle, 0);
    refresh();
}

bool pools_take(int gpu, uint64_t bytes, unsigned contexts)
{
    if (ledger_take(gpu, bytes, contexts))
        return true;
    pthread_mutex_lock(&mutex);
    bool any = count > 0;
    if (any)
        trim(gpu);
    pthread_mutex_unlock(&mutex);
    return any && ledger_take(gpu, bytes, contexts);
}

/* An entry for a new pool; -1: no host memory for it. */
static int enlist(struct pool pool)
{
    unsigned i = 0;
    while (i < count && (pools[i].handle || pools[i].live))
        i++;
    if (i == capacity) {
        struct pool *more = realloc(pools, (capacity + 16) * sizeof *pools);
        if (!more)
            return -1;
        pools = more;
        capacity += 16;
    }
    if (i == count)
        count++;
    pools[i] = pool;
    return (int)i;
}

/* A pool that was not made through us is some device's default one. */
static struct pool default_pool(CUmemoryPool handle)
{
    CUmemoryPool candidate;
    CUdevice device;
    int devices = 0;
    DRIVER(cuDeviceGetCount)(&devices);
    for (device = 0; device < devices; device++)
        if (DRIVER(cuDeviceGetDefaultMemPool)(&candidate, device) == CUDA_SUCCESS && candidate == handle)
            return (struct pool){.handle = handle, .gpu = device_gpu(device)};
    if (DRIVER(cuCtxGetDevice)(&device) != CUDA_SUCCESS)
        return (struct pool){.handle = handle, .gpu = NO_GPU};
    return (struct pool){.handle = handle, .gpu = device_gpu(device)};
}

static int find(CUmemoryPool handle)
{
    for (unsigned i = 0; i < count; i++)
        if (pools[i].handle == handle)
            return (int)i;
    return enlist(default_pool(handle));
}

static uint64_t chunks(uint64_t bytes)
{
    return bytes > UINT64_MAX - CHUNK ? UINT64_MAX : (bytes + CHUNK - 1) / CHUNK * CHUNK;
}

/* Takes what the pool can grow by. Near the limit idle memory is handed back first; what is then still idle inside the
 * pool is reckoned with, and stays charged for this request even if the driver should release it meanwhile. */
static bool take_growth(struct pool *pool, uint64_t bytes, struct draw *draw)
{
    draw->pending = chunks(bytes);
    if (ledger_take(pool->gpu, draw->pending, 0))
        return true;
    trim(pool->gpu);
    if (ledger_take(pool->gpu, draw->pending, 0))
        return true;
    uint64_t idle = idle_bytes(pool);
    idle = idle > pool->promised ? idle - pool->promised : 0;
    draw->promised = bytes < idle ? bytes : idle;
    uint64_t growth = chunks(bytes - draw->promised), covered = draw->pending - growth;
    if (covered > pool->charge || !ledger_take(pool->gpu, growth, 0))
        return false;
    pool->charge -= covered;
    return true;
}

CUresult draw_begin(struct draw *draw, CUmemoryPool handle, size_t bytes)
{
    bool fits = true;
    *draw = (struct draw){.pool = -1};
    pthread_mutex_lock(&mutex);
    int i = handle ? find(handle) : -1;
    if (i >= 0 && counts(&pools[i])) {
        fits = take_growth(&pools[i], bytes, draw);
        if (fits) {
            pools[i].pending += draw->pending;
            pools[i].promised += draw->promised;
            draw->pool = i;
        }
    }
    pthread_mutex_unlock(&mutex);
    FAULT("drawn");
    return fits ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

bool draw_end(const struct draw *draw, CUresult result, CUdeviceptr made)
{
    if (draw->pool < 0)
        return true;
    pthread_mutex_lock(&mutex);
    struct pool *pool = &pools[draw->pool];
    pool->promised -= draw->promised;
    uint64_t extra = settle(pool, draw->pending);
    bool fits = !extra || ledger_take(pool->gpu, extra, 0);
    if (fits)
        pool->charge += extra;
    if (fits && result == CUDA_SUCCESS)
        pool->live++;
    pthread_mutex_unlock(&mutex);
    if (fits && result == CUDA_SUCCESS)
        charge_put(&(struct charge){.kind = MEMORY, .key = made, .gpu = NO_GPU, .number = (uint32_t)draw->pool + 1});
    return fits;
}

void pools_returned(uint32_t number)
{
    pthread_mutex_lock(&mutex);
    struct pool *pool = &pools[number - 1];
    pool->live--;
    may_shrink = true;
    if (pool->handle) {
        settle(pool, 0);
    } else if (pool->live == 0) {
        ledger_give(pool->gpu, pool->charge, 0);
        pool->charge = 0;
    }
    pthread_mutex_unlock(&mutex);
}

void pools_hand_back_idle(int pool)
{
    pthread_mutex_lock(&mutex);
    trim(pools[pool].gpu);
    pthread_mutex_unlock(&mutex);
}

/* By default a pool hands idle memory back when the program waits for the GPU. */
#define WAITS(name, parameters, arguments) \
    CUresult name parameters \
    { \
        CUresult result = DRIVER(name) arguments; \
        if (atomic_load_explicit(&may_shrink, memory_order_relaxed)) \
            pools_refresh(); \
        return result; \
    }
WAITS(cuStreamSynchronize, (CUstream stream), (stream))
WAITS(cuStreamSynchronize_ptsz, (CUstream stream), (stream))
WAITS(cuEventSynchronize, (CUevent event), (event))
WAITS(cuCtxSynchronize, (void), ())

CUresult cuMemPoolCreate(CUmemoryPool *pool, const CUmemPoolProps *how)
{
    CUresult result = DRIVER(cuMemPoolCreate)(pool, how);
    if (result != CUDA_SUCCESS)
        return result;
    bool host = how->location.type != CU_MEM_LOCATION_TYPE_DEVICE;
    pthread_mutex_lock(&mutex);
    enlist((struct pool){.handle = *pool, .host = host, .gpu = host ? NO_GPU : device_gpu(how->location.id)});
    pthread_mutex_unlock(&mutex);
    return result;
}

/* The memory of a destroyed pool stays until its last pointer is freed. */
CUresult cuMemPoolDestroy(CUmemoryPool handle)
{
    pthread_mutex_lock(&mutex);
    int i = find(handle);
    if (i >= 0) {
        pools[i].handle = NULL;
        pools[i].live++; /* keeps the entry while the driver works */
    }
    pthread_mutex_unlock(&mutex);
    CUresult result = DRIVER(cuMemPoolDestroy)(handle);
    if (i >= 0) {
        if (result != CUDA_SUCCESS)
            pools[i].handle = handle;
        pools_returned((uint32_t)i + 1);
    }
    return result;
}

CUresult cuMemPoolTrimTo(CUmemoryPool pool, size_t bytes)
{
    CUresult result = DRIVER(cuMemPoolTrimTo)(pool, bytes);
    pools_refresh();
    return result;
}

static void forget(void)
{
    mutex = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    pools = NULL;
    count = capacity = 0;
    may_shrink = false;
}
ON_FORK(forget)
