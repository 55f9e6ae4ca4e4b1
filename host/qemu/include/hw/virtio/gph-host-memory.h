/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the host's kernel says about memory: limits, and events about them.
 *
 * Looks for QEMU's own cgroup v2 and those above it, the host's RAM, and the
 * best PSI trigger that QEMU may set.  Each may be missing; then there is a
 * reason.  Main loop only.
 */
#ifndef HW_VIRTIO_GPH_HOST_MEMORY_H
#define HW_VIRTIO_GPH_HOST_MEMORY_H

#include "hw/virtio/gph/gph-policy.h"

typedef enum GphHostEvent {
    GPH_HOST_STALL,             /* tasks waited for memory */
    GPH_HOST_LIMIT,             /* usage ran into a cgroup's limit */
    GPH_HOST_LOST,              /* what was watched is gone: make a new one */
} GphHostEvent;

typedef void GphHostEventFn(void *opaque, GphHostEvent event);

typedef struct GphHostMemory GphHostMemory;

/* Where the files are; what @event gets.  @root: prefix for tests, or NULL. */
GphHostMemory *gph_host_memory_new(const char *root, GphHostEventFn *event,
                                   void *opaque);
void gph_host_memory_free(GphHostMemory *h);

/*
 * Read all limits that there are, QEMU's own cgroup first; returns how many.
 * A limit of "max" is left out.  @names may be NULL; they are @h's.
 */
unsigned gph_host_memory_read(GphHostMemory *h, GphLimit *limits,
                              const char **names, unsigned max);
/* The cgroup that was there to be read is not any more. */
bool gph_host_memory_lost(const GphHostMemory *h);

/* What is watched, or NULL, and then why not. */
const char *gph_host_memory_cgroup(const GphHostMemory *h, const char **why);
const char *gph_host_memory_psi(const GphHostMemory *h, const char **why);

#endif /* HW_VIRTIO_GPH_HOST_MEMORY_H */
