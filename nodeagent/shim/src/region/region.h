/* Attaches this process to the region of its workload, and tells which slots are in use. */
#pragma once

#include "layout.h"

/* Opens the region of these limits and claims a slot; false: unusable, with errno. */
bool region_attach(struct attachment *attachment, const struct limits *limits);

/* Gives the mapping and the descriptor back; the slot stays until the last descriptor of it is closed. */
void region_detach(struct attachment *attachment);

enum slot_state { SLOT_ALIVE, SLOT_EXITING, SLOT_DEAD };

/* EXITING: killed, but the kernel has not given back everything it held. */
enum slot_state region_slot_state(const struct region *region, int fd, unsigned slot);
void region_clear_slot(struct slot *slot);
