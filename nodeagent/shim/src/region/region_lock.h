/* The two locks of a region: one on the whole of it, one on each slot that shows whether its owner lives. */
#pragma once

#include "layout.h"

/* Serialises all processes of the workload for the time of a sum. Never waits for the dead: a holder that lost its
 * slot is passed over, one that is stopped is waited for a second at most. */
void region_lock(const struct attachment *attachment);
void region_unlock(const struct attachment *attachment);

/* Locks, unlocks or tests (F_OFD_GETLK) a slot. 0: done, or free; 1: held; -1: refused, with errno. */
int region_slot_lock(int fd, int command, short type, unsigned slot);
bool region_slot_is_held(int fd, unsigned slot);
