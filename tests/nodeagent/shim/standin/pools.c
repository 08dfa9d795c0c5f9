/* Memory pools of the stand-in driver: they reserve in chunks, keep what is freed, and shrink at synchronisation. */
#include "cuda.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK (32ull << 20)

struct pool {
    int device; /* -1: host */
    bool destroyed, standard;
    uint64_t reserved, used, waiting; /* waiting: freed in stream order, not yet reached */
    uint64_t threshold;
    unsigned pointers;
    struct pool *next;
};
struct piece {
    CUdeviceptr pointer;
    uint64_t bytes;
    struct pool *pool;
    struct piece *next;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct pool *made, *current[DEVICES], standard[DEVICES] = {
#define STANDARD(n) {.device = n, .standard = true}
    STANDARD(0), STANDARD(1), STANDARD(2), STANDARD(3), STANDARD(4), STANDARD(5), STANDARD(6), STANDARD(7),
};
static struct piece *pieces;
static CUdeviceptr next_pointer = 0x500000000000;

static uint64_t up(uint64_t bytes) { return (bytes + CHUNK - 1) / CHUNK * CHUNK; }

static void shrink_to(struct pool *pool, uint64_t keep)
{
    uint64_t needed = up(pool->used + pool->waiting);
    if (keep < needed)
        keep = needed;
    if (keep >= pool->reserved)
        return;
    if (pool->device >= 0)
        standin_give(pool->device, pool->reserved - keep);
    pool->reserved = keep;
}

static CUresult draw(struct pool *pool, size_t bytes, CUdeviceptr *pointer)
{
    if (!bytes || !pointer)
        return INVALID_VALUE;
    CUresult result = SUCCESS;
    pthread_mutex_lock(&mutex);
    uint64_t growth = pool->used + bytes > pool->reserved ? up(pool->used + bytes - pool->reserved) : 0;
    if (machine()->knobs & KNOB_FRAGMENTED_POOLS)
        growth = up(bytes);
    if (growth && pool->device >= 0)
        result = standin_take(pool->device, growth);
    if (result == SUCCESS) {
        pool->reserved += growth;
        pool->used += bytes;
        pool->waiting -= pool->waiting < bytes ? pool->waiting : bytes;
        pool->pointers++;
        struct piece *piece = malloc(sizeof *piece);
        *piece = (struct piece){next_pointer += 0x1000, bytes, pool, pieces};
        pieces = piece;
        *pointer = piece->pointer;
    }
    pthread_mutex_unlock(&mutex);
    return result;
}

static struct pool *pool_of(CUstream stream)
{
    const struct context *context = (uintptr_t)stream > 2 ? stream->context : standin_current();
    return current[context->device] ? current[context->device] : &standard[context->device];
}

#define ASYNC(name) API name(CUdeviceptr *pointer, size_t bytes, CUstream stream) \
    { NEED_CONTEXT(context); (void)context; return draw(pool_of(stream), bytes, pointer); }
ASYNC(cuMemAllocAsync)
ASYNC(cuMemAllocAsync_ptsz)

#define FROM_POOL(name) API name(CUdeviceptr *pointer, size_t bytes, struct pool *pool, CUstream stream) \
    { NEED_CONTEXT(context); (void)context; (void)stream; return draw(pool, bytes, pointer); }
FROM_POOL(cuMemAllocFromPoolAsync)
FROM_POOL(cuMemAllocFromPoolAsync_ptsz)

static void end_if_over(struct pool *pool)
{
    if (pool->destroyed && !pool->pointers) {
        pool->waiting = 0;
        shrink_to(pool, 0);
    }
}

static void sync_all(void)
{
    for (int i = 0; i < DEVICES; i++) {
        standard[i].waiting = 0;
        shrink_to(&standard[i], standard[i].threshold);
    }
    for (struct pool *pool = made; pool; pool = pool->next) {
        pool->waiting = 0;
        shrink_to(pool, pool->threshold);
    }
}

void pools_sync(const struct stream *stream)
{
    (void)stream;
    pthread_mutex_lock(&mutex);
    sync_all();
    pthread_mutex_unlock(&mutex);
}

bool pools_free(CUdeviceptr pointer, const struct stream *stream, bool wait)
{
    bool found = false;
    (void)stream;
    pthread_mutex_lock(&mutex);
    for (struct piece **link = &pieces, *piece; (piece = *link); link = &piece->next)
        if (piece->pointer == pointer) {
            struct pool *pool = piece->pool;
            *link = piece->next;
            pool->used -= piece->bytes;
            pool->waiting += piece->bytes;
            pool->pointers--;
            free(piece);
            end_if_over(pool);
            if (wait)
                sync_all();
            found = true;
            break;
        }
    pthread_mutex_unlock(&mutex);
    return found;
}

#define FREE(name) API name(CUdeviceptr pointer, CUstream stream) \
    { NEED_CONTEXT(context); (void)context; return pools_free(pointer, stream, false) ? SUCCESS : INVALID_VALUE; }
FREE(cuMemFreeAsync)
FREE(cuMemFreeAsync_ptsz)

/* A primary context's end takes its device's pools' idle memory along. */
void pools_drop_device(int device)
{
    pthread_mutex_lock(&mutex);
    standard[device].waiting = 0;
    shrink_to(&standard[device], 0);
    pthread_mutex_unlock(&mutex);
}

struct how { int type, handles, where, id; void *security; size_t max; unsigned char reserved[56]; };

API cuMemPoolCreate(struct pool **pool, const struct how *how)
{
    CALLED;
    if (standin_ready())
        return NOT_INITIALIZED;
    *pool = calloc(1, sizeof **pool);
    (*pool)->device = how->where == 1 ? how->id : -1;
    pthread_mutex_lock(&mutex);
    (*pool)->next = made;
    made = *pool;
    pthread_mutex_unlock(&mutex);
    return SUCCESS;
}

API cuMemPoolDestroy(struct pool *pool)
{
    CALLED;
    if (pool->standard || pool->destroyed)
        return INVALID_VALUE;
    pthread_mutex_lock(&mutex);
    pool->destroyed = true;
    end_if_over(pool);
    pthread_mutex_unlock(&mutex);
    return SUCCESS;
}

API cuMemPoolTrimTo(struct pool *pool, size_t keep)
{
    CALLED;
    pthread_mutex_lock(&mutex);
    shrink_to(pool, keep);
    pthread_mutex_unlock(&mutex);
    return SUCCESS;
}

API cuMemPoolGetAttribute(struct pool *pool, int which, void *value)
{
    CALLED;
    pthread_mutex_lock(&mutex);
    uint64_t found = which == 4 ? pool->threshold : which == 5 ? pool->reserved : pool->used;
    memcpy(value, &found, sizeof found);
    pthread_mutex_unlock(&mutex);
    return SUCCESS;
}

API cuMemPoolSetAttribute(struct pool *pool, int which, void *value)
{
    CALLED;
    if (which == 4)
        memcpy(&pool->threshold, value, sizeof pool->threshold);
    return SUCCESS;
}

API cuDeviceGetDefaultMemPool(struct pool **pool, CUdevice device)
{
    CALLED;
    *pool = &standard[device];
    return SUCCESS;
}

API cuDeviceGetMemPool(struct pool **pool, CUdevice device)
{
    CALLED;
    *pool = current[device] ? current[device] : &standard[device];
    return SUCCESS;
}

API cuDeviceSetMemPool(CUdevice device, struct pool *pool)
{
    CALLED;
    current[device] = pool;
    return SUCCESS;
}
