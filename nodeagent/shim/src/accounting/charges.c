#include "charges.h"

#include "fork.h"
#include "ledger.h"
#include "base/limits.h"

#include <pthread.h>
#include <stdlib.h>

enum { FIRST_SIZE = 256 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct charge *table; /* open addressing, linear probing; a power of two */
static size_t size, count;

static size_t home(uint64_t key, unsigned kind)
{
    return (size_t)((key ^ kind) * 0x9e3779b97f4a7c15u >> 20) & (size - 1);
}

static struct charge *find(enum kind kind, uint64_t key)
{
    if (!size)
        return NULL;
    size_t i = home(key, kind);
    while (table[i].key && !(table[i].key == key && table[i].kind == kind))
        i = (i + 1) & (size - 1);
    return &table[i];
}

static bool grow(void)
{
    struct charge *old = table, *bigger;
    size_t old_size = size, wanted = size ? 2 * size : FIRST_SIZE;
    bigger = calloc(wanted, sizeof *bigger);
    if (!bigger)
        return false;
    table = bigger;
    size = wanted;
    for (size_t i = 0; i < old_size; i++)
        if (old[i].key)
            *find(old[i].kind, old[i].key) = old[i];
    free(old);
    return true;
}

/* Linear probing without tombstones: what follows the hole moves up where its chain starts before it. */
static void close_hole(size_t hole)
{
    for (size_t i = (hole + 1) & (size - 1); table[i].key; i = (i + 1) & (size - 1)) {
        size_t start = home(table[i].key, table[i].kind);
        if (((i - start) & (size - 1)) >= ((i - hole) & (size - 1))) {
            table[hole] = table[i];
            hole = i;
        }
    }
    table[hole].key = 0;
    count--;
}

/* Without host memory for the table the charge stands until the process ends: too much counted, never too little. */
void charge_put(const struct charge *charge)
{
    pthread_mutex_lock(&mutex);
    if (4 * (count + 1) <= 3 * size || grow() || count + 1 < size) {
        struct charge *place = find(charge->kind, charge->key);
        count += place->key == 0;
        *place = *charge;
    }
    pthread_mutex_unlock(&mutex);
}

bool charge_lift(enum kind kind, uint64_t key, struct charge *charge)
{
    pthread_mutex_lock(&mutex);
    struct charge *place = key ? find(kind, key) : NULL;
    bool found = place && place->key;
    if (found) {
        *charge = *place;
        close_hole((size_t)(place - table));
    }
    pthread_mutex_unlock(&mutex);
    return found;
}

bool charge_peek(enum kind kind, uint64_t key, struct charge *charge)
{
    pthread_mutex_lock(&mutex);
    const struct charge *place = key ? find(kind, key) : NULL;
    bool found = place && place->key;
    if (found)
        *charge = *place;
    pthread_mutex_unlock(&mutex);
    return found;
}

bool charge_lift_within(enum kind kind, uint64_t start, uint64_t end, struct charge *charge)
{
    bool found = false;
    pthread_mutex_lock(&mutex);
    for (size_t i = 0; i < size && !found; i++)
        if (table[i].key && table[i].kind == kind && table[i].key < end && table[i].key + table[i].bytes > start) {
            *charge = table[i];
            close_hole(i);
            found = true;
        }
    pthread_mutex_unlock(&mutex);
    return found;
}

void charges_drop_owner(uint64_t owner)
{
    uint64_t freed[MAX_GPUS] = {0};
    pthread_mutex_lock(&mutex);
    for (size_t i = 0; i < size;) {
        if (table[i].key && table[i].owner == owner && table[i].kind <= MIPMAP && table[i].gpu != NO_GPU) {
            freed[table[i].gpu] += table[i].bytes;
            close_hole(i);
        } else {
            i++;
        }
    }
    pthread_mutex_unlock(&mutex);
    for (int gpu = 0; gpu < MAX_GPUS; gpu++)
        if (freed[gpu])
            ledger_give(gpu, freed[gpu], 0);
}

static void forget(void)
{
    mutex = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    table = NULL;
    size = count = 0;
}
ON_FORK(forget)
