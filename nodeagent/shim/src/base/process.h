/* What /proc tells about processes. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* The inode of this process's pid namespace; 0: unknown. */
uint64_t process_namespace(void);

/* When this process started, in clock ticks since boot; 0: unknown. */
uint64_t process_started(void);

/* Cheap, and wrong about a zombie or a later process with the same pid. */
bool process_exists(uint64_t pid);

/* Whether the process with that pid and start time still runs, as /proc shows it. A zombie does not, for it holds
 * nothing any more, unless threads of it are still ending. */
bool process_runs(uint64_t pid, uint64_t started);
