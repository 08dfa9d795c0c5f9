/* Binds a function of libc to the version every glibc since 2.17 has, so that the shim loads in old containers:
 * glibc 2.34 moved these into libc.so.6 under a new version and kept the old one. */
#pragma once

#if defined __x86_64__
#define OLD_GLIBC(function) __asm__(".symver " #function "," #function "@GLIBC_2.2.5");
#elif defined __aarch64__
#define OLD_GLIBC(function) __asm__(".symver " #function "," #function "@GLIBC_2.17");
#else
#error "the shim is built for x86-64 and arm64"
#endif
