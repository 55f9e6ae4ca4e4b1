/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gph pressure: reading what the kernel says about memory.
 *
 * Parsers of /proc and cgroup v2 files, from text that the caller has read.
 * Each returns false, and leaves its results alone, if the text does not say
 * what is wanted.  Numbers that do not fit are not numbers.
 */
#ifndef GPH_READINGS_H
#define GPH_READINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GPH_UNLIMITED   UINT64_MAX

/* memory.max and its like: bytes, or GPH_UNLIMITED for "max". */
bool gph_parse_limit(const char *text, uint64_t *bytes);

/* The number after @key in lines of "key number": memory.stat, memory.events. */
bool gph_parse_key(const char *text, const char *key, uint64_t *value);

/* The same in lines of "key: number kB", in bytes: /proc/meminfo. */
bool gph_parse_kib(const char *text, const char *key, uint64_t *bytes);

/* /proc/self/cgroup: the path in the v2 hierarchy. */
bool gph_parse_own_cgroup(const char *text, char *path, size_t size);

/*
 * /proc/self/mountinfo: where cgroup v2 is mounted first, and which of its
 * directories is seen there.
 */
bool gph_parse_cgroup_mount(const char *text, char *mount, char *root,
                            size_t size);

/* The directory of cgroup @path; false if the mount does not show it. */
bool gph_cgroup_directory(const char *mount, const char *root,
                          const char *path, char *directory, size_t size);

#endif /* GPH_READINGS_H */
