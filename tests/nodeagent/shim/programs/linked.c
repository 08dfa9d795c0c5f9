/* A program linked against libcuda.so.1: fills what it is given, byte range by byte range, and prints how it ended. */
#include <stdio.h>
#include <stdlib.h>

int cuInit(unsigned);
int cuDevicePrimaryCtxRetain(void **, int);
int cuCtxSetCurrent(void *);
int cuMemAlloc_v2(unsigned long long *, size_t);

int main(int count, char **words)
{
    void *context;
    unsigned long long pointer, piece = strtoull(words[count - 1], NULL, 10) / 4, held = 0;
    int result = cuInit(0);
    if (!result)
        result = cuDevicePrimaryCtxRetain(&context, 0);
    if (!result)
        result = cuCtxSetCurrent(context);
    while (!result && !(result = cuMemAlloc_v2(&pointer, piece)))
        held += piece;
    printf("%llu bytes, then %d\n", held, result);
    return 0;
}
