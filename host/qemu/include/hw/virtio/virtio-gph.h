/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-gph: guest page hinting device.
 */
#ifndef HW_VIRTIO_GPH_H
#define HW_VIRTIO_GPH_H

#include "exec/memory.h"
#include "hw/virtio/gph-secondary-mmu.h"
#include "hw/virtio/virtio-gph-migration.h"
#include "hw/virtio/virtio.h"
#include "hw/virtio/virtio-gph-pressure.h"
#include "qemu/coroutine.h"
#include "qemu/rcu.h"
#include "qemu/thread.h"
#include "qom/object.h"
#include "system/hostmem.h"

#define TYPE_VIRTIO_GPH "virtio-gph-device"
OBJECT_DECLARE_SIMPLE_TYPE(VirtIOGPH, VIRTIO_GPH)

#define VIRTIO_GPH_TORTURE_PROP "x-torture"

/* A stretch of guest frames and where it is in the backend. */
typedef struct GphSection {
    GphRun run;
    uint64_t offset;                    /* in the RAM block, bytes */
} GphSection;

/* A memory map: sorted, never changed once it is there. */
typedef struct GphSections {
    struct rcu_head rcu;
    unsigned n;
    GphSection section[];
} GphSections;

/* Guest memory as the device sees it: sections of one memfd. */
typedef struct GphMemory {
    RAMBlock *block;
    GphSections *sections;              /* RCU; replaced under the BQL */
    GArray *next;                       /* being built by the listener */
    MemoryListener listener;
    void (*changed)(void *opaque);
    void *opaque;
} GphMemory;

void gph_memory_init(GphMemory *m, RAMBlock *block,
                     void (*changed)(void *opaque), void *opaque);
void gph_memory_fini(GphMemory *m);
/* The frame after the last one. */
uint64_t gph_memory_end(const GphMemory *m);
/* Any thread: where @run is; false if it is not in one section. */
bool gph_memory_ram_addr(const GphMemory *m, const GphRun *run,
                         ram_addr_t *addr);
/* Any thread: the frame at @addr; false if the guest does not see it. */
bool gph_memory_frame(const GphMemory *m, ram_addr_t addr, uint64_t *frame);
int gph_memory_punch(const GphMemory *m, const GphRun *run);
uint64_t gph_memory_allocated(const GphMemory *m);

struct VirtIOGPH {
    VirtIODevice parent_obj;

    uint32_t abi;
    uint32_t torture;                   /* frames per tick, 0: off */
    bool pin;                           /* x-pin */
    uint32_t age_request;

    GphMemory memory;
    uint64_t nr_frames;
    uint64_t control_offset;
    uint64_t region_size;
    MemoryRegion table;

    QemuMutex lock;                     /* the engine's; inside the BQL */
    GphEngine *engine;
    GphSecondaryMmuList mmus;

    QEMUTimer *torture_timer;
    uint64_t torture_seed;
    GphMigration migration;

    CoMutex reclaim_lock;               /* see virtio_gph_reclaim() */
    unsigned reclaimers;                /* running and waiting */
    GphPressureOptions pressure;
    GphPressureWatch *watch;            /* NULL before realize */
};

/* The device, or NULL. */
VirtIOGPH *virtio_gph_find(void);
/* The driver has said that it is ready. */
bool virtio_gph_driver_ok(const VirtIOGPH *s);
/* Why memory cannot be taken now, or NULL. */
const char *virtio_gph_inhibited(void);
/* Ask the guest to look for cold pages. */
void virtio_gph_request_ageing(VirtIOGPH *s);

/*
 * Take up to @frames within @max_us, after whoever is at it has come to the
 * end; waiting counts.  The main loop runs between two batches.  @r says what
 * was achieved.  Returns why it ended; GPH_RUNNING if it was inhibited.
 */
GphStop coroutine_fn virtio_gph_reclaim(VirtIOGPH *s, GphReclaim *r,
                                        uint64_t frames, uint64_t max_us);

#endif /* HW_VIRTIO_GPH_H */
