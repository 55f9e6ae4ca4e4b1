/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gph: an exporter of guest memory as a secondary MMU.
 *
 *   join     notify_populate for what is not trapped
 *   flush    notify_discard, and wait for it
 *   untrap   notify_populate; an error cannot be undone, the frame is the
 *            guest's again: the exporter is broken, and no more memory is taken
 *   release  notify_discard for what is populated
 *
 * A bitmap says what is populated.  So the listener gets each change once,
 * whatever comes twice or not at all: an untrap during the flush comes again
 * after it, and one after a flush that failed half way is about frames that
 * were never discarded here.
 *
 * The lock orders a flush and the untrap of a frame in it by a vCPU.  It is
 * inside the engine lock.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/bitmap.h"
#include "qemu/bitops.h"
#include "qemu/cutils.h"
#include "qemu/lockable.h"
#include "hw/virtio/gph-exporter.h"

#define GPH_FRAME_SIZE  (UINT64_C(1) << VIRTIO_GPH_FRAME_SHIFT)

struct GphExporter {
    GphSecondaryMmu mmu;                /* must be first */
    RamDiscardListener *rdl;
    MemoryRegionSection section;
    GphRun frames;                      /* of the section */
    QemuMutex lock;
    bool joined;
    unsigned long *populated;           /* from frames.start on */
    char name[32];
};

static GphExporter *from_mmu(GphSecondaryMmu *mmu)
{
    return container_of(mmu, GphExporter, mmu);
}

/* --- runs of the section's frames, counted from its first --- */

/* The part of @run that is in the section; n is 0 if there is none. */
static GphRun clip(const GphExporter *e, const GphRun *run)
{
    uint64_t start = MAX(run->start, e->frames.start);
    uint64_t end = MIN(run->start + run->n, e->frames.start + e->frames.n);
    GphRun r = { start - e->frames.start, end > start ? end - start : 0 };

    return r;
}

static MemoryRegionSection section_of(const GphExporter *e, const GphRun *run)
{
    MemoryRegionSection s = e->section;

    s.offset_within_region += run->start * GPH_FRAME_SIZE;
    s.offset_within_address_space += run->start * GPH_FRAME_SIZE;
    s.size = int128_make64(run->n * GPH_FRAME_SIZE);
    return s;
}

/* What of @run is populated; exporter lock held. */
static void discard(GphExporter *e, const GphRun *run)
{
    uint64_t f, end = run->start + run->n;
    MemoryRegionSection s;
    GphRun r;

    for (f = run->start; f < end; f = r.start + r.n) {
        r.start = find_next_bit(e->populated, end, f);
        r.n = find_next_zero_bit(e->populated, end, r.start) - r.start;
        if (r.n) {
            s = section_of(e, &r);
            e->rdl->notify_discard(e->rdl, &s);
            bitmap_clear(e->populated, r.start, r.n);
        }
    }
}

/* What of @run is not populated; exporter lock held. */
static int populate(GphExporter *e, const GphRun *run)
{
    uint64_t f, end = run->start + run->n;
    MemoryRegionSection s;
    GphRun r;
    int ret;

    for (f = run->start; f < end; f = r.start + r.n) {
        r.start = find_next_zero_bit(e->populated, end, f);
        r.n = find_next_bit(e->populated, end, r.start) - r.start;
        if (r.n) {
            s = section_of(e, &r);
            ret = e->rdl->notify_populate(e->rdl, &s);
            if (ret) {
                return ret;
            }
            bitmap_set(e->populated, r.start, r.n);
        }
    }
    return 0;
}

/* --- as a secondary MMU --- */

static int gph_exporter_flush(GphSecondaryMmu *mmu, const GphRun *runs,
                              unsigned n)
{
    GphExporter *e = from_mmu(mmu);
    GphRun r;
    unsigned i;

    if (qatomic_read(&mmu->broken)) {
        return -EIO;
    }
    for (i = 0; i < n; i++) {
        r = clip(e, &runs[i]);
        QEMU_LOCK_GUARD(&e->lock);
        discard(e, &r);
    }
    return 0;
}

static void gph_exporter_untrap(GphSecondaryMmu *mmu, const GphRun *run)
{
    GphExporter *e = from_mmu(mmu);
    GphRun r = clip(e, run);

    QEMU_LOCK_GUARD(&e->lock);
    if (e->joined && populate(e, &r)) {
        gph_mmu_set_broken(mmu, "an exporter of guest memory (vhost-user, "
                           "vfio-user, ...) could not map a page again");
    }
}

/* Nothing is (un)trapped meanwhile; frames past the table never are. */
static int gph_exporter_join(GphSecondaryMmu *mmu)
{
    GphExporter *e = from_mmu(mmu);
    const unsigned long *trapped = gph_trapped_bitmap(mmu->host.engine);
    uint64_t f, next, end = e->frames.start + e->frames.n;
    uint64_t known = MIN(end, mmu->host.nr_frames);
    int ret = 0;

    QEMU_LOCK_GUARD(&e->lock);
    for (f = e->frames.start; f < end && !ret;) {
        GphRun run;

        next = f < known ? find_next_bit(trapped, known, f) : known;
        run = (GphRun) { f, (next < known ? next : end) - f };
        run = clip(e, &run);
        ret = populate(e, &run);
        f = next < known ? find_next_zero_bit(trapped, known, next) : end;
    }
    e->joined = !ret;
    return ret;
}

static void gph_exporter_release(GphSecondaryMmu *mmu)
{
    GphExporter *e = from_mmu(mmu);
    GphRun all = { 0, e->frames.n };

    WITH_QEMU_LOCK_GUARD(&e->lock) {
        discard(e, &all);
    }
    e->rdl->section = NULL;
    qemu_mutex_destroy(&e->lock);
    g_free(e->populated);
}

static const GphSecondaryMmuOps gph_exporter_ops = {
    .name = "exporter",
    .flush = gph_exporter_flush,
    .untrap = gph_exporter_untrap,
    .join = gph_exporter_join,
    .release = gph_exporter_release,
};

GphExporter *gph_exporter_register(RamDiscardListener *rdl,
                                   const MemoryRegionSection *section,
                                   GphSecondaryMmuList *mmus, const char *name,
                                   Error **errp)
{
    uint64_t size = int128_get64(section->size);
    GphExporter *e;

    if (!QEMU_IS_ALIGNED(size | section->offset_within_region |
                         section->offset_within_address_space,
                         GPH_FRAME_SIZE)) {
        error_setg(errp, "'%s' exports memory that is not in whole pages of "
                   "%" PRIu64 " bytes", name, GPH_FRAME_SIZE);
        return NULL;
    }
    e = g_new0(GphExporter, 1);
    e->mmu.ops = &gph_exporter_ops;
    e->mmu.name = e->name;
    pstrcpy(e->name, sizeof(e->name), name);
    e->rdl = rdl;
    e->section = *section;
    e->frames.start = section->offset_within_address_space / GPH_FRAME_SIZE;
    e->frames.n = size / GPH_FRAME_SIZE;
    e->populated = bitmap_new(e->frames.n);
    qemu_mutex_init(&e->lock);
    rdl->section = &e->section;
    return gph_mmu_register(mmus, &e->mmu, errp) ? e : NULL;
}

void gph_exporter_unregister(GphExporter *e)
{
    gph_mmu_unregister(&e->mmu);
}
