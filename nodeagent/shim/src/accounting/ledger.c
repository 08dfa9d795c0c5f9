#define _GNU_SOURCE
#include "ledger.h"

#include "base/fault.h"
#include "fork.h"
#include "region/region.h"
#include "region/region_lock.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

/* A killed neighbour of the same workload gets this long to leave before its memory counts against us. */
enum { EXIT_POLLS = 40, EXIT_POLL_NS = 200000 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct attachment at; /* at.region is NULL until the first use */
static struct region alone;  /* stands in for a region that cannot be used: this process counts for itself */

/* What this process holds: the truth that its slot repeats. */
static struct { uint64_t bytes, contexts; } own[MAX_GPUS];

uint64_t ledger_limit(int gpu)
{
    return gpu == NO_GPU ? 0 : limits_get()->gpu[gpu].memory;
}

static void publish(int gpu)
{
    struct account *account = &at.region->slot[at.slot].gpu[gpu];
    atomic_store_explicit(&account->bytes, own[gpu].bytes, memory_order_relaxed);
    atomic_store_explicit(&account->contexts, own[gpu].contexts, memory_order_relaxed);
}

static void attach(void)
{
    const struct limits *limits = limits_get();
    if (limits->gpus > 0 && !region_attach(&at, limits)) {
        complain("migctl: cannot share accounts through %s: %s. This process is held to the whole limit by itself.\n",
                 limits->region, strerror(errno));
        at = (struct attachment){.region = &alone, .fd = -1};
    } else if (limits->gpus == 0) {
        at = (struct attachment){.region = &alone, .fd = -1};
    }
    fork_watch();
}

/* Attaches to the region. A slot that is no longer ours (a program that closed every descriptor was taken for dead, or
 * something wrote over it) is given up for a fresh one with the same contents. */
static void enter(void)
{
    pthread_mutex_lock(&mutex);
    if (!at.region)
        attach();
    region_lock(&at);
    if (at.fd < 0 || at.region->slot[at.slot].token == at.token)
        return;
    region_unlock(&at);
    region_detach(&at);
    attach();
    region_lock(&at);
    for (int gpu = 0; gpu < MAX_GPUS; gpu++)
        publish(gpu);
}

static void leave(void)
{
    region_unlock(&at);
    pthread_mutex_unlock(&mutex);
}

static uint64_t add(uint64_t a, uint64_t b)
{
    uint64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

static uint64_t weight(int gpu, uint64_t bytes, uint64_t contexts)
{
    uint64_t context = at.region->gpu[gpu].context, product;
    if (context == 0)
        context = limits_get()->gpu[gpu].context;
    return __builtin_mul_overflow(contexts, context, &product) ? UINT64_MAX : add(bytes, product);
}

static unsigned slots_in_use(void)
{
    unsigned high = at.region->high;
    return high < SLOTS ? high : SLOTS;
}

/* What the workload has used up of its limit, the driver's own part included. */
static uint64_t sum(int gpu)
{
    uint64_t total = add(limits_get()->gpu[gpu].reserved, weight(gpu, own[gpu].bytes, own[gpu].contexts));
    for (unsigned i = 0; i < slots_in_use(); i++) {
        const struct account *account = &at.region->slot[i].gpu[gpu];
        if (i != at.slot)
            total = add(total, weight(gpu, account->bytes, account->contexts));
    }
    return total;
}

/* Clears the slots of dead processes; true: some that hold memory of this GPU are about to die. */
static bool sweep(int gpu)
{
    bool exiting = false;
    for (unsigned i = 0; i < slots_in_use(); i++) {
        struct slot *slot = &at.region->slot[i];
        if (i == at.slot || !(slot->gpu[gpu].bytes | slot->gpu[gpu].contexts))
            continue;
        enum slot_state state = region_slot_state(at.region, at.fd, i);
        exiting |= state == SLOT_EXITING;
        FAULT("sweep");
        if (state == SLOT_DEAD)
            region_clear_slot(slot);
    }
    return exiting;
}

static bool try_to_take(int gpu, uint64_t bytes, unsigned contexts, bool *exiting)
{
    enter();
    FAULT("locked");
    uint64_t limit = ledger_limit(gpu), wanted = weight(gpu, bytes, contexts);
    bool fits = add(sum(gpu), wanted) <= limit;
    if (!fits) {
        *exiting = sweep(gpu);
        fits = add(sum(gpu), wanted) <= limit;
    }
    if (fits) {
        own[gpu].bytes += bytes;
        own[gpu].contexts += contexts;
        publish(gpu);
        FAULT("taken");
    }
    leave();
    return fits;
}

bool ledger_take(int gpu, uint64_t bytes, unsigned contexts)
{
    const struct timespec pause = {.tv_nsec = EXIT_POLL_NS};
    if (gpu == NO_GPU)
        return false;
    for (int poll = 0; poll < EXIT_POLLS; poll++) {
        bool exiting = false;
        if (try_to_take(gpu, bytes, contexts, &exiting))
            return true;
        if (!exiting)
            return false;
        nanosleep(&pause, NULL);
    }
    return false;
}

void ledger_give(int gpu, uint64_t bytes, unsigned contexts)
{
    if (gpu == NO_GPU)
        return;
    enter();
    own[gpu].bytes -= bytes;
    own[gpu].contexts -= contexts;
    publish(gpu);
    FAULT("given");
    leave();
}

uint64_t ledger_used(int gpu)
{
    if (gpu == NO_GPU)
        return 0;
    enter();
    sweep(gpu);
    uint64_t total = sum(gpu);
    leave();
    return total;
}

struct time_slice ledger_time_slice(int gpu)
{
    struct time_slice slice = {0, 0};
    if (gpu == NO_GPU)
        return slice;
    pthread_mutex_lock(&mutex);
    if (at.region) {
        uint32_t word = atomic_load_explicit(&at.region->gpu[gpu].time_slice, memory_order_relaxed);
        slice = (struct time_slice){.start = word >> 16, .length = word & 0xffff};
    }
    pthread_mutex_unlock(&mutex);
    return slice;
}

static void forget(void)
{
    mutex = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    if (at.region)
        region_detach(&at);
    at.region = NULL;
    memset(own, 0, sizeof own);
}
ON_FORK(forget)
