/* Places where a test kills the process; nothing in the library that is shipped. */
#pragma once

#ifdef SHIM_FAULTS
void fault_point(const char *name); /* tests/nodeagent/shim/faults.c */
#define FAULT(name) fault_point(name)
#else
#define FAULT(name) ((void)0)
#endif
