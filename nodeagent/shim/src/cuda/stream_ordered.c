/* Stream-ordered allocations, which come out of pools. */
#include "allocation.h"
#include "contexts.h"
#include "driver/driver.h"
#include "accounting/pools.h"

static CUmemoryPool pool_of(CUstream stream)
{
    CUdevice device;
    CUmemoryPool pool;
    if (!contexts_of_stream(stream, &device) || DRIVER(cuDeviceGetMemPool)(&pool, device) != CUDA_SUCCESS)
        return NULL;
    return pool;
}

#define DRAWS(name, from, parameters, arguments, undo, finish) \
    CUresult name parameters \
    { \
        struct draw draw; \
        CUdeviceptr made = 0; \
        CUresult refusal = draw_begin(&draw, from, bytes); \
        if (refusal) \
            return refusal; \
        CUresult result = DRIVER(name) arguments; \
        bool fits = draw_end(&draw, result, made); \
        if (result == CUDA_SUCCESS && fits) { \
            *pointer = made; \
        } else if (result == CUDA_SUCCESS) { \
            DRIVER(undo)(made, stream); \
            DRIVER(finish)(stream); \
            pools_hand_back_idle(draw.pool); \
            result = CUDA_ERROR_OUT_OF_MEMORY; \
        } \
        return result; \
    }
#define MADE (pointer ? &made : NULL)
DRAWS(cuMemAllocAsync, pool_of(stream), (CUdeviceptr *pointer, size_t bytes, CUstream stream), (MADE, bytes, stream),
      cuMemFreeAsync, cuStreamSynchronize)
DRAWS(cuMemAllocAsync_ptsz, pool_of(stream), (CUdeviceptr *pointer, size_t bytes, CUstream stream),
      (MADE, bytes, stream), cuMemFreeAsync_ptsz, cuStreamSynchronize_ptsz)
DRAWS(cuMemAllocFromPoolAsync, pool, (CUdeviceptr *pointer, size_t bytes, CUmemoryPool pool, CUstream stream),
      (MADE, bytes, pool, stream), cuMemFreeAsync, cuStreamSynchronize)
DRAWS(cuMemAllocFromPoolAsync_ptsz, pool, (CUdeviceptr *pointer, size_t bytes, CUmemoryPool pool, CUstream stream),
      (MADE, bytes, pool, stream), cuMemFreeAsync_ptsz, cuStreamSynchronize_ptsz)

#define FREES(name) \
    CUresult name(CUdeviceptr pointer, CUstream stream) \
    { \
        struct charge charge; \
        bool ours = charge_lift(MEMORY, pointer, &charge); \
        CUresult result = DRIVER(name)(pointer, stream); \
        return ours ? allocation_freed(&charge, result) : result; \
    }
FREES(cuMemFreeAsync)
FREES(cuMemFreeAsync_ptsz)
