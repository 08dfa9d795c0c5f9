/* Memory of the stand-in driver that a context owns, and memory made apart from its address. */
#include "cuda.h"

#include <stdlib.h>

enum what { PLAIN, ARRAY, MIPMAP };

struct block {
    unsigned long long key;
    uint64_t bytes;
    enum what what;
    const struct context *context;
    int device;
    struct block *next;
};

enum { BUCKETS = 4096 };
static struct block *blocks[BUCKETS];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static CUdeviceptr next_pointer = 0x7f0000000000, next_small = 0x10000000;
static CUdeviceptr freed; /* handed out again at once, as drivers do: it shows who is slow to forget */

static struct block **find(enum what what, unsigned long long key)
{
    struct block **link = &blocks[key >> 8 & (BUCKETS - 1)];
    while (*link && !((*link)->key == key && (*link)->what == what))
        link = &(*link)->next;
    return link;
}

static CUdeviceptr address(bool small)
{
    if (small)
        return next_small += 0x1000;
    CUdeviceptr reused = freed;
    freed = 0;
    return reused ? reused : (next_pointer += 0x10000);
}

static CUresult make(const struct context *context, enum what what, uint64_t bytes, bool small, unsigned long long *key)
{
    if (!bytes)
        return INVALID_VALUE;
    CUresult result = standin_take(context->device, bytes);
    if (result)
        return result;
    struct block *block = malloc(sizeof *block);
    pthread_mutex_lock(&mutex);
    *block = (struct block){address(small), bytes, what, context, context->device, NULL};
    *key = block->key;
    struct block **link = &blocks[block->key >> 8 & (BUCKETS - 1)];
    block->next = *link;
    *link = block;
    pthread_mutex_unlock(&mutex);
    return SUCCESS;
}

static CUresult end(enum what what, unsigned long long key)
{
    pthread_mutex_lock(&mutex);
    struct block **link = find(what, key), *block = *link;
    if (block)
        *link = block->next;
    pthread_mutex_unlock(&mutex);
    if (!block)
        return INVALID_VALUE;
    standin_give(block->device, block->bytes);
    pthread_mutex_lock(&mutex);
    if (key > UINT32_MAX)
        freed = key;
    pthread_mutex_unlock(&mutex);
    free(block);
    return SUCCESS;
}

void memory_drop_context(const struct context *context)
{
    pthread_mutex_lock(&mutex);
    for (int i = 0; i < BUCKETS; i++)
        for (struct block **link = &blocks[i], *block; (block = *link);) {
            if (block->context != context) {
                link = &block->next;
                continue;
            }
            *link = block->next;
            standin_give(block->device, block->bytes);
            free(block);
        }
    pthread_mutex_unlock(&mutex);
}

API cuMemAlloc_v2(CUdeviceptr *pointer, size_t bytes)
{
    NEED_CONTEXT(context);
    return pointer ? make(context, PLAIN, bytes, false, pointer) : INVALID_VALUE;
}

API cuMemAlloc(unsigned *pointer, unsigned bytes)
{
    CUdeviceptr wide = 0;
    NEED_CONTEXT(context);
    CUresult result = make(context, PLAIN, bytes, true, &wide);
    if (!result)
        *pointer = (unsigned)wide;
    return result;
}

API cuMemAllocManaged(CUdeviceptr *pointer, size_t bytes, unsigned flags)
{
    NEED_CONTEXT(context);
    (void)flags;
    return make(context, PLAIN, bytes, false, pointer);
}

static uint64_t pitch_of(uint64_t width)
{
    uint64_t step = machine()->knobs & KNOB_WIDE_PITCH ? 4096 : machine()->knobs & KNOB_NARROW_PITCH ? 64 : 512;
    return (width + step - 1) / step * step;
}

API cuMemAllocPitch_v2(CUdeviceptr *pointer, size_t *pitch, size_t width, size_t height, unsigned element)
{
    NEED_CONTEXT(context);
    (void)element;
    CUresult result = make(context, PLAIN, pitch_of(width) * height, false, pointer);
    if (!result)
        *pitch = pitch_of(width);
    return result;
}

API cuMemAllocPitch(unsigned *pointer, unsigned *pitch, unsigned width, unsigned height, unsigned element)
{
    CUdeviceptr wide = 0;
    NEED_CONTEXT(context);
    (void)element;
    CUresult result = make(context, PLAIN, pitch_of(width) * height, true, &wide);
    if (!result) {
        *pointer = (unsigned)wide;
        *pitch = (unsigned)pitch_of(width);
    }
    return result;
}

static CUresult free_memory(CUdeviceptr pointer)
{
    if (pools_free(pointer, NULL, true))
        return SUCCESS;
    return end(PLAIN, pointer);
}

API cuMemFree_v2(CUdeviceptr pointer)
{
    NEED_CONTEXT(context);
    (void)context;
    return free_memory(pointer);
}

API cuMemFree(unsigned pointer)
{
    NEED_CONTEXT(context);
    (void)context;
    return free_memory(pointer);
}

API cuMemAllocHost_v2(void **pointer, size_t bytes)
{
    NEED_CONTEXT(context);
    (void)context;
    *pointer = malloc(bytes);
    return SUCCESS;
}

/* A neighbour's memory opened here: an address, and nothing that counts. */
API cuIpcOpenMemHandle_v2(CUdeviceptr *pointer, const void *handle, unsigned flags)
{
    NEED_CONTEXT(context);
    (void)context, (void)handle, (void)flags;
    pthread_mutex_lock(&mutex);
    *pointer = address(false);
    pthread_mutex_unlock(&mutex);
    return SUCCESS;
}

/* Arrays: bytes of an element, times elements. */
struct flat { size_t width, height; int format; unsigned channels; };
struct flat_v1 { unsigned width, height; int format; unsigned channels; };
struct solid { size_t width, height, depth; int format; unsigned channels, flags; };
struct solid_v1 { unsigned width, height, depth; int format; unsigned channels, flags; };

static uint64_t one(uint64_t extent) { return extent ? extent : 1; }

/* Bits per texel: of one channel, or of all where the format fixes them (negative). */
static uint64_t texels(uint64_t count, int format, unsigned channels)
{
    static const signed char bits[256] = {
        [0x01] = 8, [0x02] = 16, [0x03] = 32, [0x08] = 8, [0x09] = 16, [0x0a] = 32, [0x10] = 16, [0x20] = 32,
        [0x91] = -4, [0x95] = -8, [0x9b] = -8, [0xb0] = -12, [0xc2] = 8, [0xc4] = 16,
    };
    return count * (bits[format] < 0 ? (uint64_t)-bits[format] : (uint64_t)bits[format] * channels) / 8;
}

static CUresult make_array(const struct context *context, void **array, struct solid of, unsigned levels, enum what what)
{
    uint64_t bytes = 0;
    unsigned long long key;
    if (of.flags & 0xc0) { /* sparse, deferred: no memory behind it */
        pthread_mutex_lock(&mutex);
        *array = (void *)(uintptr_t)address(false);
        pthread_mutex_unlock(&mutex);
        return SUCCESS;
    }
    for (unsigned level = 0; level < levels; level++) {
        bytes += texels(one(of.width) * one(of.height) * one(of.depth), of.format, of.channels);
        if (of.width <= 1 && of.height <= 1 && (of.depth <= 1 || of.flags & 1))
            break;
        of.width /= 2;
        of.height /= 2;
        of.depth = of.flags & 1 ? of.depth : of.depth / 2;
    }
    CUresult result = make(context, what, bytes, false, &key);
    if (!result)
        *array = (void *)(uintptr_t)key;
    return result;
}

API cuArrayCreate_v2(void **array, const struct flat *of)
{
    NEED_CONTEXT(context);
    return of ? make_array(context, array, (struct solid){of->width, of->height, 0, of->format, of->channels, 0}, 1, ARRAY) : INVALID_VALUE;
}

API cuArrayCreate(void **array, const struct flat_v1 *of)
{
    NEED_CONTEXT(context);
    return make_array(context, array, (struct solid){of->width, of->height, 0, of->format, of->channels, 0}, 1, ARRAY);
}

API cuArray3DCreate_v2(void **array, const struct solid *of)
{
    NEED_CONTEXT(context);
    return make_array(context, array, *of, 1, ARRAY);
}

API cuArray3DCreate(void **array, const struct solid_v1 *of)
{
    NEED_CONTEXT(context);
    return make_array(context, array, (struct solid){of->width, of->height, of->depth, of->format, of->channels, of->flags}, 1, ARRAY);
}

API cuMipmappedArrayCreate(void **array, const struct solid *of, unsigned levels)
{
    NEED_CONTEXT(context);
    return make_array(context, array, *of, levels, MIPMAP);
}

API cuArrayDestroy(void *array) { NEED_CONTEXT(context); (void)context; return end(ARRAY, (uintptr_t)array); }
API cuMipmappedArrayDestroy(void *array) { NEED_CONTEXT(context); (void)context; return end(MIPMAP, (uintptr_t)array); }
