/* CUDA arrays. The driver keeps their layout to itself, so the charge is what the elements take. */
#include "allocation.h"
#include "driver/driver.h"

/* Bits of one element: cuda.h, enum CUarray_format. Block-compressed formats count their blocks' bits per texel. */
static uint64_t element_bits(int format, unsigned channels)
{
    switch (format) {
    case 0x01: case 0x08: /* 8-bit integers */
    case 0xc0: case 0xc1: case 0xc2: case 0xc6: case 0xc7: case 0xc8: /* normalised */
        return 8ull * channels;
    case 0x02: case 0x09: case 0x10: /* 16-bit integers, half */
    case 0xc3: case 0xc4: case 0xc5: case 0xc9: case 0xca: case 0xcb:
        return 16ull * channels;
    case 0xb0: /* NV12: a plane of luma, half as much of chroma */
        return 12;
    case 0x91: case 0x92: case 0x97: case 0x98: /* BC1, BC4 */
        return 4;
    case 0x93: case 0x94: case 0x95: case 0x96: case 0x99: case 0x9a: case 0x9b: case 0x9c: case 0x9d: case 0x9e:
        return 8; /* BC2, BC3, BC5, BC6H, BC7 */
    default: /* 32-bit integers, float; nothing is wider */
        return 32ull * channels;
    }
}

static uint64_t at_least_one(uint64_t extent)
{
    return extent ? extent : 1;
}

static uint64_t level_bytes(const CUDA_ARRAY3D_DESCRIPTOR *of)
{
    uint64_t elements, bits;
    if (__builtin_mul_overflow(at_least_one(of->width), at_least_one(of->height), &elements)
        || __builtin_mul_overflow(elements, at_least_one(of->depth), &elements)
        || __builtin_mul_overflow(elements, element_bits(of->format, of->channels), &bits))
        return UINT64_MAX;
    return bits / 8 + (bits % 8 != 0);
}

/* Sparse and deferred arrays are addresses only: the memory mapped behind them is charged where it is made. */
static uint64_t array_bytes(CUDA_ARRAY3D_DESCRIPTOR level, unsigned levels)
{
    enum { LAYERED = 0x01, CUBEMAP = 0x04 };
    bool depth_shrinks = !(level.flags & (LAYERED | CUBEMAP));
    uint64_t total = 0;
    if (level.flags & (CUDA_ARRAY3D_SPARSE | CUDA_ARRAY3D_DEFERRED_MAPPING))
        return 0;
    while (levels--) {
        if (__builtin_add_overflow(total, level_bytes(&level), &total))
            return UINT64_MAX;
        if (level.width <= 1 && level.height <= 1 && (level.depth <= 1 || !depth_shrinks))
            break;
        level.width /= 2;
        level.height /= 2;
        if (depth_shrinks)
            level.depth /= 2;
    }
    return total;
}

static CUDA_ARRAY3D_DESCRIPTOR shape(size_t width, size_t height, size_t depth, int format, unsigned channels,
                                     unsigned flags)
{
    return (CUDA_ARRAY3D_DESCRIPTOR){width, height, depth, format, channels, flags};
}

#define FLAT shape(of->width, of->height, 1, of->format, of->channels, 0)
#define SOLID shape(of->width, of->height, of->depth, of->format, of->channels, of->flags)

#define MAKES_ARRAY(name, kind, shape, levels, parameters, arguments) \
    CUresult name parameters \
    { \
        struct charge charge; \
        if (!made || !of) \
            return DRIVER(name) arguments; \
        CUresult refusal = allocation_begin(&charge, array_bytes(shape, levels)); \
        if (refusal) \
            return refusal; \
        CUresult result = DRIVER(name) arguments; \
        return allocation_end(&charge, result, kind, result ? 0 : (uintptr_t)*made); \
    }
MAKES_ARRAY(cuArrayCreate_v2, ARRAY, FLAT, 1, (CUarray *made, const CUDA_ARRAY_DESCRIPTOR *of), (made, of))
MAKES_ARRAY(cuArrayCreate, ARRAY, FLAT, 1, (CUarray *made, const CUDA_ARRAY_DESCRIPTOR_v1 *of), (made, of))
MAKES_ARRAY(cuArray3DCreate_v2, ARRAY, SOLID, 1, (CUarray *made, const CUDA_ARRAY3D_DESCRIPTOR *of), (made, of))
MAKES_ARRAY(cuArray3DCreate, ARRAY, SOLID, 1, (CUarray *made, const CUDA_ARRAY3D_DESCRIPTOR_v1 *of), (made, of))
MAKES_ARRAY(cuMipmappedArrayCreate, MIPMAP, SOLID, levels,
            (CUmipmappedArray *made, const CUDA_ARRAY3D_DESCRIPTOR *of, unsigned levels), (made, of, levels))

#define ENDS_ARRAY(name, kind, type) \
    CUresult name(type array) \
    { \
        struct charge charge; \
        bool ours = charge_lift(kind, (uintptr_t)array, &charge); \
        CUresult result = DRIVER(name)(array); \
        return ours ? allocation_freed(&charge, result) : result; \
    }
ENDS_ARRAY(cuArrayDestroy, ARRAY, CUarray)
ENDS_ARRAY(cuMipmappedArrayDestroy, MIPMAP, CUmipmappedArray)
