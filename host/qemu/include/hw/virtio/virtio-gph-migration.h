/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-gph: live migration and snapshots.
 *
 * All of it runs under the BQL, but for the page filter, which the thread that
 * sends memory calls.
 */
#ifndef HW_VIRTIO_GPH_MIGRATION_H
#define HW_VIRTIO_GPH_MIGRATION_H

#include "hw/virtio/gph/gph-engine.h"
#include "migration/vmstate.h"
#include "qemu/notify.h"
#include "qemu/thread.h"

typedef struct VirtIOGPH VirtIOGPH;

/* Of the last outgoing and incoming migration or snapshot, in frames. */
typedef struct GphMigrationStats {
    uint64_t skipped_offered;           /* not sent: volatile or unused */
    uint64_t skipped_gone;              /* not sent: discarded before */
    uint64_t taken_back;                /* skipped, then sent after all */
    uint64_t arrived;                   /* discarded on arrival */
} GphMigrationStats;

typedef struct GphMigration {
    bool send_volatile;                 /* migrate-volatile */
    GphMigrationStats stats;

    /* Outgoing, while one runs; by page of the RAM block. */
    unsigned long *skipped;             /* atomic: BQL and page filter */
    unsigned long *needless;            /* at the last look */
    uint64_t nr_pages;
    QemuMutex lock;                     /* protects map; innermost */
    GArray *map;                        /* of GphSection, for the filter */

    /* What the stream holds beside the table. */
    uint8_t sent_volatile;
    int32_t nr_bits;
    unsigned long *discarded;

    NotifierWithReturn precopy;
    NotifierWithReturn postcopy;
    NotifierWithReturn state;
    Error *blocker;
} GphMigration;

extern const VMStateDescription vmstate_virtio_gph;
extern const VMStateDescription vmstate_virtio_gph_device;

/* With the engine made.  False with @errp set if migration must be possible. */
bool virtio_gph_migration_init(VirtIOGPH *s, Error **errp);
void virtio_gph_migration_fini(VirtIOGPH *s);

/*
 * The host has changed the words of @run, or all with NULL, and the memory of
 * @run: a migration must send them again.
 */
void virtio_gph_migration_dirty(VirtIOGPH *s, const GphRun *run);

#endif /* HW_VIRTIO_GPH_MIGRATION_H */
