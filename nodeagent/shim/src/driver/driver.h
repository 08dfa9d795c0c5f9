/* Finds the real library's functions: the one this library stands in front of and has as a DT_NEEDED. */
#pragma once

struct symbol {
    const char *name;
    void *ours;            /* what the shim defines under this name, NULL where it defines nothing */
    _Atomic(void *) found; /* the driver's, once looked up */
};

/* Each shim library brings its own three. */
extern const char driver_library[];
extern struct symbol driver_symbols[];
int driver_function_missing(void); /* called in place of a function that an older driver lacks */

void *driver_function(struct symbol *symbol);

/* The driver's function of that name, ready to call. */
#define DRIVER(name) ((name##_type *)driver_function(&driver_symbols[AT_##name]))
