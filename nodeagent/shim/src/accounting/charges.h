/* What each pointer, array, handle and context of this process stands for, so that freeing it gives the same back. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum kind { MEMORY = 1, ARRAY, MIPMAP, CONTEXT, HANDLE, MAPPING };

struct charge {
    uint64_t key; /* pointer or handle, unique within its kind; 0: empty */
    uint64_t bytes;
    uint64_t owner; /* the context that takes it along when it is destroyed; of a mapping or handle: the memory */
    int16_t gpu;    /* NO_GPU: something else pays for it */
    uint8_t kind;
    uint32_t number; /* of a stream-ordered allocation: its pool, from 1. Of a context: the device. Of a handle: uses */
};

/* Takes a charge out of the table while the driver frees it; false: none of ours. */
bool charge_lift(enum kind kind, uint64_t key, struct charge *charge);

void charge_put(const struct charge *charge);
bool charge_peek(enum kind kind, uint64_t key, struct charge *charge);

/* Lifts some charge whose bytes from its key on meet the range. Looks through the whole table. */
bool charge_lift_within(enum kind kind, uint64_t start, uint64_t end, struct charge *charge);

/* Gives back all that a destroyed context held. */
void charges_drop_owner(uint64_t owner);
