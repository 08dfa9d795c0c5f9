/* A forked child holds none of its parent's GPU memory: every module's state starts empty there. */
#pragma once

/* Names a function of a module that empties its state; called in the child. The linker gathers them in one section, so
 * no constructor is needed. */
#define ON_FORK(function) \
    static void (*const on_fork_##function)(void) __attribute__((used, section("on_fork"))) = function;

/* Starts watching for forks; every call after the first does nothing. */
void fork_watch(void);
