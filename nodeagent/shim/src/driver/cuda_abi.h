/* The part of the CUDA driver's interface that the shim meets, written down here so that no CUDA header is needed.
 * Sources: the layouts and numbers of cuda.h, unchanged since CUDA 11.2 (pools) and 10.2 (virtual memory). */
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef int CUresult;
typedef int CUdevice;
typedef uint64_t CUdeviceptr;
typedef uint64_t CUmemGenericAllocationHandle;
typedef struct CUctx_st *CUcontext;
typedef struct CUstream_st *CUstream;
typedef struct CUevent_st *CUevent;
typedef struct CUfunc_st *CUfunction;
typedef struct CUarray_st *CUarray;
typedef struct CUmipmappedArray_st *CUmipmappedArray;
typedef struct CUmemPoolHandle_st *CUmemoryPool;
typedef struct CUgraphExec_st *CUgraphExec;

enum {
    CUDA_SUCCESS = 0,
    CUDA_ERROR_OUT_OF_MEMORY = 2,
    CUDA_ERROR_NOT_SUPPORTED = 801,
};
enum { CU_MEM_LOCATION_TYPE_DEVICE = 1 };
enum { CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT = 5, CU_MEMPOOL_ATTR_USED_MEM_CURRENT = 7 };
enum { CUDA_ARRAY3D_SPARSE = 0x40, CUDA_ARRAY3D_DEFERRED_MAPPING = 0x80 };
#define CU_STREAM_PER_THREAD ((CUstream)2)

typedef struct { unsigned char bytes[16]; } CUuuid;
typedef struct { int type, id; } CUmemLocation;
typedef struct {
    int type, handle_types;
    CUmemLocation location;
    void *win32;
    unsigned char flags[8];
} CUmemAllocationProp;
typedef struct {
    int type, handle_types;
    CUmemLocation location;
    void *win32;
    size_t max_size;
    unsigned char reserved[56];
} CUmemPoolProps;
typedef struct { unsigned width, height; int format; unsigned channels; } CUDA_ARRAY_DESCRIPTOR_v1;
typedef struct { size_t width, height; int format; unsigned channels; } CUDA_ARRAY_DESCRIPTOR;
typedef struct { unsigned width, height, depth; int format; unsigned channels, flags; } CUDA_ARRAY3D_DESCRIPTOR_v1;
typedef struct { size_t width, height, depth; int format; unsigned channels, flags; } CUDA_ARRAY3D_DESCRIPTOR;
typedef struct { unsigned grid[3], block[3], shared; CUstream stream; void *attributes; unsigned count; } CUlaunchConfig;

/* What the shim defines in place of the driver: name, parameters. */
#define CUDA_MEMORY(F) \
    F(cuMemAlloc_v2, (CUdeviceptr *, size_t)) \
    F(cuMemAlloc, (unsigned *, unsigned)) \
    F(cuMemAllocPitch_v2, (CUdeviceptr *, size_t *, size_t, size_t, unsigned)) \
    F(cuMemAllocPitch, (unsigned *, unsigned *, unsigned, unsigned, unsigned)) \
    F(cuMemAllocManaged, (CUdeviceptr *, size_t, unsigned)) \
    F(cuMemFree_v2, (CUdeviceptr)) \
    F(cuMemFree, (unsigned))

#define CUDA_POOLS(F) \
    F(cuMemAllocAsync, (CUdeviceptr *, size_t, CUstream)) \
    F(cuMemAllocAsync_ptsz, (CUdeviceptr *, size_t, CUstream)) \
    F(cuMemAllocFromPoolAsync, (CUdeviceptr *, size_t, CUmemoryPool, CUstream)) \
    F(cuMemAllocFromPoolAsync_ptsz, (CUdeviceptr *, size_t, CUmemoryPool, CUstream)) \
    F(cuMemFreeAsync, (CUdeviceptr, CUstream)) \
    F(cuMemFreeAsync_ptsz, (CUdeviceptr, CUstream)) \
    F(cuMemPoolCreate, (CUmemoryPool *, const CUmemPoolProps *)) \
    F(cuMemPoolDestroy, (CUmemoryPool)) \
    F(cuMemPoolTrimTo, (CUmemoryPool, size_t)) \
    F(cuStreamSynchronize, (CUstream)) \
    F(cuStreamSynchronize_ptsz, (CUstream)) \
    F(cuEventSynchronize, (CUevent)) \
    F(cuCtxSynchronize, (void))

#define CUDA_VMM(F) \
    F(cuMemCreate, (CUmemGenericAllocationHandle *, size_t, const CUmemAllocationProp *, unsigned long long)) \
    F(cuMemRelease, (CUmemGenericAllocationHandle)) \
    F(cuMemRetainAllocationHandle, (CUmemGenericAllocationHandle *, void *)) \
    F(cuMemMap, (CUdeviceptr, size_t, size_t, CUmemGenericAllocationHandle, unsigned long long)) \
    F(cuMemUnmap, (CUdeviceptr, size_t))

#define CUDA_ARRAYS(F) \
    F(cuArrayCreate_v2, (CUarray *, const CUDA_ARRAY_DESCRIPTOR *)) \
    F(cuArrayCreate, (CUarray *, const CUDA_ARRAY_DESCRIPTOR_v1 *)) \
    F(cuArray3DCreate_v2, (CUarray *, const CUDA_ARRAY3D_DESCRIPTOR *)) \
    F(cuArray3DCreate, (CUarray *, const CUDA_ARRAY3D_DESCRIPTOR_v1 *)) \
    F(cuArrayDestroy, (CUarray)) \
    F(cuMipmappedArrayCreate, (CUmipmappedArray *, const CUDA_ARRAY3D_DESCRIPTOR *, unsigned)) \
    F(cuMipmappedArrayDestroy, (CUmipmappedArray))

#define CUDA_CONTEXTS(F) \
    F(cuDevicePrimaryCtxRetain, (CUcontext *, CUdevice)) \
    F(cuDevicePrimaryCtxRelease_v2, (CUdevice)) \
    F(cuDevicePrimaryCtxRelease, (CUdevice)) \
    F(cuDevicePrimaryCtxReset_v2, (CUdevice)) \
    F(cuDevicePrimaryCtxReset, (CUdevice)) \
    F(cuCtxCreate_v4, (CUcontext *, void *, unsigned, CUdevice)) \
    F(cuCtxCreate_v3, (CUcontext *, void *, int, unsigned, CUdevice)) \
    F(cuCtxCreate_v2, (CUcontext *, unsigned, CUdevice)) \
    F(cuCtxCreate, (CUcontext *, unsigned, CUdevice)) \
    F(cuCtxDestroy_v2, (CUcontext)) \
    F(cuCtxDestroy, (CUcontext))

#define CUDA_INFO(F) \
    F(cuMemGetInfo_v2, (size_t *, size_t *)) \
    F(cuMemGetInfo, (unsigned *, unsigned *)) \
    F(cuDeviceTotalMem_v2, (size_t *, CUdevice)) \
    F(cuDeviceTotalMem, (unsigned *, CUdevice)) \
    F(cuGetProcAddress_v2, (const char *, void **, int, uint64_t, int *)) \
    F(cuGetProcAddress, (const char *, void **, int, uint64_t))

#define KERNEL CUfunction, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, CUstream, void **
#ifdef SHIM_GATED
#define CUDA_LAUNCHES(F) \
    F(cuLaunchKernel, (KERNEL, void **)) \
    F(cuLaunchKernel_ptsz, (KERNEL, void **)) \
    F(cuLaunchKernelEx, (const CUlaunchConfig *, CUfunction, void **, void **)) \
    F(cuLaunchKernelEx_ptsz, (const CUlaunchConfig *, CUfunction, void **, void **)) \
    F(cuLaunchCooperativeKernel, (KERNEL)) \
    F(cuLaunchCooperativeKernel_ptsz, (KERNEL)) \
    F(cuGraphLaunch, (CUgraphExec, CUstream)) \
    F(cuGraphLaunch_ptsz, (CUgraphExec, CUstream))
#else
#define CUDA_LAUNCHES(F)
#endif

#define CUDA_OVERRIDES(F) \
    CUDA_MEMORY(F) CUDA_POOLS(F) CUDA_VMM(F) CUDA_ARRAYS(F) CUDA_CONTEXTS(F) CUDA_INFO(F) CUDA_LAUNCHES(F)

/* What the shim only asks the driver. */
#define CUDA_QUERIES(F) \
    F(cuCtxGetCurrent, (CUcontext *)) \
    F(cuCtxGetDevice, (CUdevice *)) \
    F(cuStreamGetCtx, (CUstream, CUcontext *)) \
    F(cuStreamIsCapturing, (CUstream, int *)) \
    F(cuDeviceGetUuid_v2, (CUuuid *, CUdevice)) \
    F(cuDeviceGetUuid, (CUuuid *, CUdevice)) \
    F(cuDevicePrimaryCtxGetState, (CUdevice, unsigned *, int *)) \
    F(cuDeviceGetMemPool, (CUmemoryPool *, CUdevice)) \
    F(cuDeviceGetDefaultMemPool, (CUmemoryPool *, CUdevice)) \
    F(cuDeviceGetCount, (int *)) \
    F(cuMemPoolGetAttribute, (CUmemoryPool, int, void *))

enum cuda_symbol {
#define NUMBER(name, parameters) AT_##name,
    CUDA_OVERRIDES(NUMBER)
    CUDA_OVERRIDE_COUNT,
    CUDA_BEFORE_QUERIES = CUDA_OVERRIDE_COUNT - 1,
    CUDA_QUERIES(NUMBER)
    CUDA_SYMBOL_COUNT
#undef NUMBER
};

#define TYPE(name, parameters) typedef CUresult name##_type parameters;
CUDA_OVERRIDES(TYPE)
CUDA_QUERIES(TYPE)
#undef TYPE

#define DEFINED_HERE(name, parameters) __attribute__((visibility("default"))) name##_type name;
CUDA_OVERRIDES(DEFINED_HERE)
#undef DEFINED_HERE
