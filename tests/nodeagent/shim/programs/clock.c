/* Nanoseconds that calls take, through whichever libcuda.so.1 is found: clock COUNT
 * Prints the median of nine rounds of COUNT launches, and of COUNT allocations and frees. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

typedef int (*function)();
enum { ROUNDS = 9 };

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    double difference = *(const double *)a - *(const double *)b;
    return (difference > 0) - (difference < 0);
}

static double median(double *times)
{
    qsort(times, ROUNDS, sizeof *times, compare);
    return times[ROUNDS / 2];
}

int main(int argc, char **argv)
{
    void *library = dlopen("libcuda.so.1", RTLD_NOW), *context;
    long count = argc == 2 ? atol(argv[1]) : 0;
    if (!library || count <= 0)
        return 2;
    function init = (function)dlsym(library, "cuInit"), create = (function)dlsym(library, "cuCtxCreate_v2");
    function launch = (function)dlsym(library, "cuLaunchKernel");
    function allocate = (function)dlsym(library, "cuMemAlloc_v2"), release = (function)dlsym(library, "cuMemFree_v2");
    unsigned long long pointer;
    double launches[ROUNDS], allocations[ROUNDS];
    if (init(0u) || create(&context, 0u, 0))
        return 1;
    for (int round = 0; round < ROUNDS; round++) {
        double start = now();
        for (long i = 0; i < count; i++)
            launch(NULL, 1u, 1u, 1u, 1u, 1u, 1u, 0u, NULL, NULL, NULL);
        launches[round] = (now() - start) / (double)count;
        start = now();
        for (long i = 0; i < count; i++)
            if (allocate(&pointer, (size_t)1024) || release(pointer))
                return 1;
        allocations[round] = (now() - start) / (double)count;
    }
    printf("launch=%.2f alloc=%.2f\n", median(launches), median(allocations));
    return 0;
}
