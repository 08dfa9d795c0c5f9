/* Processes of one workload that allocate and free at random, and launch now and then, until each has made its number of rounds, while the parent
 * kills every seventh that reports a hundred rounds and starts another in its place.
 *
 *     storm PROCESSES THREADS ROUNDS SIZE      SIZE: the largest request in bytes
 *
 * Prints how often memory was given and refused, and how many processes were killed. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { HELD = 32, OUT_OF_MEMORY = 2 };
typedef unsigned long long pointer;
typedef int (*function)();

static function init, retain, set_current, allocate, release, draw, drop, create, map, unmap, give, wait_all, info, reserve, launch;
static struct { atomic_long given, refused, failed; } *counts;
static int threads, rounds;
static uint64_t largest;
static int report; /* where a child writes its pid after every hundred rounds */
static void *context;

static void load(void)
{
    void *library = dlopen("libcuda.so.1", RTLD_NOW);
    static const struct { const char *name; function *into; } table[] = {
        {"cuInit", &init}, {"cuDevicePrimaryCtxRetain", &retain}, {"cuCtxSetCurrent", &set_current},
        {"cuMemAlloc_v2", &allocate}, {"cuMemFree_v2", &release}, {"cuMemAllocAsync", &draw}, {"cuMemFreeAsync", &drop},
        {"cuMemCreate", &create}, {"cuMemMap", &map}, {"cuMemUnmap", &unmap}, {"cuMemRelease", &give},
        {"cuCtxSynchronize", &wait_all}, {"cuMemGetInfo_v2", &info}, {"cuMemAddressReserve", &reserve},
        {"cuLaunchKernel", &launch},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (!library || !(*table[i].into = (function)dlsym(library, table[i].name)))
            abort();
}

static uint64_t next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void count(int result)
{
    if (result == 0)
        counts->given++;
    else if (result == OUT_OF_MEMORY)
        counts->refused++;
    else
        counts->failed++;
}

/* Memory apart from its address, as expandable segments use it. */
static int get_apart(pointer *address, size_t bytes)
{
    static const int pinned[8] = {1, 0, 1, 0};
    pointer handle;
    int result = create(&handle, bytes, pinned, 0ull);
    if (result)
        return result;
    reserve(address, bytes, (size_t)0, 0ull, 0ull);
    map(*address, bytes, (size_t)0, handle, 0ull);
    return give(handle);
}

static void *work(void *seed)
{
    struct { pointer at; size_t bytes; int how; } held[HELD] = {{0}};
    uint64_t state = (uintptr_t)seed * 0x9e3779b97f4a7c15u + (uint64_t)getpid();
    size_t free_bytes, total;
    set_current(context);
    for (int round = 0; round < rounds; round++) {
        int i = (int)(next(&state) % HELD), result = 0;
        if (held[i].at) {
            result = held[i].how == 0 ? release(held[i].at) : held[i].how == 1 ? drop(held[i].at, NULL)
                                                            : unmap(held[i].at, held[i].bytes);
            if (result)
                counts->failed++;
            held[i].at = 0;
        } else {
            held[i].bytes = next(&state) % largest + 1;
            held[i].how = (int)(next(&state) % 3);
            result = held[i].how == 0 ? allocate(&held[i].at, held[i].bytes)
                     : held[i].how == 1 ? draw(&held[i].at, held[i].bytes, NULL)
                                        : get_apart(&held[i].at, held[i].bytes);
            count(result);
            if (result)
                held[i].at = 0;
        }
        if (round % 16 == 0)
            wait_all();
        if (round % 64 == 0) {
            info(&free_bytes, &total);
            launch(NULL, 1u, 1u, 1u, 1u, 1u, 1u, 0u, NULL, NULL, NULL);
        }
        if (round % 100 == 99 && report >= 0 && write(report, &(int){getpid()}, sizeof(int)) < 0)
            abort();
    }
    return NULL;
}

static int child(void)
{
    pthread_t thread[64];
    load();
    int result = init(0u);
    if (!result)
        while ((result = retain(&context, 0)) == OUT_OF_MEMORY)
            poll(NULL, 0, 1); /* the others hold all of it: their turn ends */
    if (result)
        return 1;
    for (long i = 0; i < threads; i++)
        pthread_create(&thread[i], NULL, work, (void *)(i + 1));
    for (int i = 0; i < threads; i++)
        pthread_join(thread[i], NULL);
    return 0;
}

static int alive[1024], alive_count;

static void start(void)
{
    int pid = fork();
    if (pid == 0)
        _exit(child());
    alive[alive_count++] = pid;
}

/* True where it was one of the living: only those may be killed. */
static bool strike(int pid)
{
    for (int i = 0; i < alive_count; i++)
        if (alive[i] == pid) {
            alive[i] = alive[--alive_count];
            return true;
        }
    return false;
}

int main(int argc, char **argv)
{
    if (argc != 5)
        return 2;
    int processes = atoi(argv[1]), pipes[2], pid, reports = 0, killed = 0, bad = 0, status;
    threads = atoi(argv[2]);
    rounds = atoi(argv[3]);
    largest = strtoull(argv[4], NULL, 10);
    counts = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (pipe(pipes))
        return 1;
    report = pipes[1];
    for (int i = 0; i < processes; i++)
        start();
    while (alive_count) {
        struct pollfd reading = {.fd = pipes[0], .events = POLLIN};
        while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
            strike(pid);
            bad += WIFEXITED(status) && WEXITSTATUS(status);
            bad += WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL;
        }
        if (poll(&reading, 1, 10) != 1 || read(pipes[0], &pid, sizeof pid) != sizeof pid)
            continue;
        if (processes > 1 && killed < 3 * processes && ++reports % 7 == 0 && strike(pid)) {
            kill(pid, SIGKILL);
            killed++;
            start();
        }
    }
    printf("given=%ld refused=%ld failed=%ld killed=%d bad=%d\n", counts->given, counts->refused, counts->failed, killed,
           bad);
    return bad || counts->failed;
}
