/* The stand-in's own idea of the CUDA driver interface (it must not borrow the shim's). */
#pragma once

#include "machine.h"

#include <stddef.h>

typedef int CUresult;
typedef int CUdevice;
typedef unsigned long long CUdeviceptr;
typedef unsigned long long CUhandle;
typedef struct stream *CUstream;

enum {
    SUCCESS = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    NOT_INITIALIZED = 3,
    INVALID_DEVICE = 101,
    INVALID_CONTEXT = 201,
    NOT_FOUND = 500,
    REFUSED = 999,
};

struct context {
    int device;  /* visible ordinal */
    int primary; /* uses; 0: made by cuCtxCreate */
    bool alive;
};
struct stream {
    struct context *context;
    bool capturing;
};

#define API __attribute__((visibility("default"))) CUresult
#define CALLED \
    static struct calls calls_here = {.name = __func__}; \
    standin_called(&calls_here)

struct calls {
    const char *name;
    unsigned count;
    struct calls *next;
};
void standin_called(struct calls *calls);
CUresult standin_ready(void);                 /* 3 before cuInit and in a forked child */
struct context *standin_current(void);        /* NULL: none */
int standin_physical(int device);             /* of a visible ordinal */
CUresult standin_take(int device, uint64_t bytes);
void standin_give(int device, uint64_t bytes);

/* Everything a context owns goes with it. */
void memory_drop_context(const struct context *context);
void pools_drop_device(int device);
void pools_sync(const struct stream *stream); /* NULL: every stream */
bool pools_free(CUdeviceptr pointer, const struct stream *stream, bool wait);

#define NEED_CONTEXT(name) \
    CALLED; \
    CUresult not_ready = standin_ready(); \
    if (not_ready) \
        return not_ready; \
    struct context *name = standin_current(); \
    if (!name) \
        return INVALID_CONTEXT
