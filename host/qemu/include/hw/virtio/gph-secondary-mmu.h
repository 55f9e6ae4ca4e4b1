/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gph: secondary MMUs, everything on the host that translates guest frames.
 *
 * Before memory is given back every one of its users must have stopped
 * translating it, and must ask before it translates it again.  The contract is
 * that of the kernel's mmu notifiers: a trap is always followed by the fate of
 * every frame in it, either untrapped again or kept trapped and discarded; a
 * user may not establish a translation of a trapped frame; a user that must
 * sleep to get rid of its translations does so in flush, where no lock is held.
 *
 *   kind                 trap           flush                      untrap
 *   TCG: only a TLB      nothing: the   flush every vCPU's TLB,    nothing
 *                        fill looks at  wait for the vCPUs
 *                        the bitmap
 *   KVM: second-stage    nothing        MADV_DONTNEED on the       MADV_DONTNEED
 *   tables, on a         (a racing      trapped mapping, then
 *   mapping of its own   access maps    poison it; retry what
 *                        the same       was mapped meanwhile
 *                        bytes again)
 *   exporter: another    note the runs  tell the other side, wait  tell it, too
 *   process maps the                    for its answer
 *   memfd
 *
 * Users come when the device is realized, before anything can be trapped, and
 * go with it.  All calls are made with the BQL held; flush may drop it.
 */
#ifndef HW_VIRTIO_GPH_SECONDARY_MMU_H
#define HW_VIRTIO_GPH_SECONDARY_MMU_H

#include "qemu/queue.h"
#include "exec/cpu-common.h"
#include "hw/virtio/gph/gph-engine.h"

typedef struct GphSecondaryMmu GphSecondaryMmu;

/* What a user may ask of its host. */
typedef struct GphMmuHost {
    GphEngine *engine;
    uint64_t nr_frames;
    RAMBlock *block;                    /* that all frames are in */
    /* Where @run is in QEMU's RAM; false if the memory map has changed. */
    bool (*ram_addr)(void *opaque, const GphRun *run, ram_addr_t *addr);
    /* The other way round, for one address.  Both from any thread. */
    bool (*frame)(void *opaque, ram_addr_t addr, uint64_t *frame);
    void *opaque;
} GphMmuHost;

typedef struct GphSecondaryMmuOps {
    const char *name;
    /* Engine lock held, must not sleep. */
    void (*trap)(GphSecondaryMmu *mmu, const GphRun *runs, unsigned n);
    /* No lock held, may sleep.  0, or -errno: the batch is untrapped. */
    int (*flush)(GphSecondaryMmu *mmu, const GphRun *runs, unsigned n);
    /* Engine lock held, must not sleep. */
    void (*untrap)(GphSecondaryMmu *mmu, const GphRun *run);
    /* Exactly once, the last call; nothing is trapped any more. */
    void (*release)(GphSecondaryMmu *mmu);
} GphSecondaryMmuOps;

struct GphSecondaryMmu {
    const GphSecondaryMmuOps *ops;
    GphMmuHost host;
    QLIST_ENTRY(GphSecondaryMmu) next;
};

typedef QLIST_HEAD(, GphSecondaryMmu) GphSecondaryMmuList;

/* One per accelerator: makes its secondary MMU, or fails with a cure. */
typedef GphSecondaryMmu *(*GphAccelMmuNew)(const GphMmuHost *host,
                                           Error **errp);

/* At module initialization; @accel is its name for "-accel". */
void gph_accel_mmu_register(const char *accel, GphAccelMmuNew create);
/* True if -accel @accel has one. */
bool gph_accel_mmu_supported(const char *accel, Error **errp);
/* The secondary MMU of the accelerator in use. */
GphSecondaryMmu *gph_accel_mmu_new(const GphMmuHost *host, Error **errp);

void gph_mmus_add(GphSecondaryMmuList *list, GphSecondaryMmu *mmu);
void gph_mmus_trap(GphSecondaryMmuList *list, const GphRun *runs, unsigned n);
int gph_mmus_flush(GphSecondaryMmuList *list, const GphRun *runs, unsigned n);
void gph_mmus_untrap(GphSecondaryMmuList *list, const GphRun *run);
void gph_mmus_release(GphSecondaryMmuList *list);

#endif /* HW_VIRTIO_GPH_SECONDARY_MMU_H */
