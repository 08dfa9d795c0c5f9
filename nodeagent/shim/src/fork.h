/* A forked child holds none of its parent's GPU memory: every book starts empty there. */
#pragma once

void fork_watch(void);
