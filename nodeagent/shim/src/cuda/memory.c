/* Plain and managed memory. */
#include "accounting/ledger.h"
#include "accounting/pools.h"
#include "allocation.h"
#include "driver/driver.h"

/* Rows lie at multiples of this many bytes on every GPU in use; taken in full before the driver chooses. */
enum { PITCH_STEP = 512 };

#define ALLOCATES(name, parameters, arguments) \
    CUresult name parameters \
    { \
        struct charge charge; \
        CUresult refusal = allocation_begin(&charge, bytes); \
        if (refusal) \
            return refusal; \
        CUresult result = DRIVER(name) arguments; \
        return allocation_end(&charge, result, MEMORY, result ? 0 : *pointer); \
    }
ALLOCATES(cuMemAlloc_v2, (CUdeviceptr *pointer, size_t bytes), (pointer, bytes))
ALLOCATES(cuMemAlloc, (unsigned *pointer, unsigned bytes), (pointer, bytes))
/* Managed memory is charged in full, wherever its pages are at the moment. */
ALLOCATES(cuMemAllocManaged, (CUdeviceptr *pointer, size_t bytes, unsigned flags), (pointer, bytes, flags))

static uint64_t rows(uint64_t width, uint64_t height)
{
    uint64_t pitch = (width + PITCH_STEP - 1) / PITCH_STEP * PITCH_STEP, bytes;
    return __builtin_mul_overflow(pitch, height, &bytes) ? UINT64_MAX : bytes;
}

/* The driver chose a pitch: true when its rows fit, and the charge is then exact. */
static bool charge_exactly(struct charge *charge, uint64_t bytes)
{
    if (charge->gpu == NO_GPU)
        return true;
    if (bytes > charge->bytes && !pools_take(charge->gpu, bytes - charge->bytes, 0))
        return false;
    if (bytes < charge->bytes)
        ledger_give(charge->gpu, charge->bytes - bytes, 0);
    charge->bytes = bytes;
    return true;
}

#define ALLOCATES_ROWS(name, free, address, extent) \
    CUresult name(address *pointer, extent *pitch, extent width, extent height, unsigned element) \
    { \
        struct charge charge; \
        address made = 0; \
        CUresult refusal = allocation_begin(&charge, rows(width, height)); \
        if (refusal) \
            return refusal; \
        CUresult result = DRIVER(name)(pointer ? &made : NULL, pitch, width, height, element); \
        if (result == CUDA_SUCCESS && !charge_exactly(&charge, (uint64_t)*pitch * height)) { \
            DRIVER(free)(made); \
            result = CUDA_ERROR_OUT_OF_MEMORY; \
        } \
        if (result == CUDA_SUCCESS) \
            *pointer = made; \
        return allocation_end(&charge, result, MEMORY, made); \
    }
ALLOCATES_ROWS(cuMemAllocPitch_v2, cuMemFree_v2, CUdeviceptr, size_t)
ALLOCATES_ROWS(cuMemAllocPitch, cuMemFree, unsigned, unsigned)

/* A pointer that is none of ours (imported, or made before us) goes to the driver as it is. */
#define FREES(name, address) \
    CUresult name(address pointer) \
    { \
        struct charge charge; \
        bool ours = charge_lift(MEMORY, pointer, &charge); \
        CUresult result = DRIVER(name)(pointer); \
        return ours ? allocation_freed(&charge, result) : result; \
    }
FREES(cuMemFree_v2, CUdeviceptr)
FREES(cuMemFree, unsigned)
