/* Starts another program in the way it is told, with libcuda open and in use, and passes its output on. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

int main(int count, char **words)
{
    void *library = dlopen("libcuda.so.1", RTLD_NOW), *context;
    unsigned long long pointer;
    int (*init)(unsigned) = (int (*)(unsigned))dlsym(library, "cuInit");
    int (*create)(void **, unsigned, int) = (int (*)(void **, unsigned, int))dlsym(library, "cuCtxCreate_v2");
    int (*allocate)(unsigned long long *, size_t) = (int (*)(unsigned long long *, size_t))dlsym(library, "cuMemAlloc_v2");
    int (*release)(unsigned long long) = (int (*)(unsigned long long))dlsym(library, "cuMemFree_v2");
    pid_t child = -1;
    if (count < 3 || init(0) || create(&context, 0, 0) || allocate(&pointer, 1) || release(pointer))
        return 1;
    if (strcmp(words[1], "posix_spawn") == 0)
        posix_spawn(&child, words[2], NULL, NULL, words + 2, environ);
    else if ((child = strcmp(words[1], "vfork") == 0 ? vfork() : fork()) == 0) {
        execv(words[2], words + 2);
        _exit(127);
    }
    int status;
    if (waitpid(child, &status, 0) < 0)
        return 1;
    return WEXITSTATUS(status);
}
