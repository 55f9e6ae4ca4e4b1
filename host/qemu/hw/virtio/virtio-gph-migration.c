/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-gph: live migration and snapshots.
 *
 * The table travels as RAM.  A device section holds the master copy, the ageing
 * counter and whether offered (volatile and unused) memory was sent.  Unless
 * migrate-volatile=on it is not: it arrives discarded, as if the host had taken
 * it in the moment the VM was stopped.  Memory that is gone is never sent.
 *
 *
 * Which pages are left out.  Migration sends what its bitmap of dirty pages
 * says, in rounds; each begins with a sync that adds what was written since.
 *
 *   before a sync   every page in `skipped` whose word does not allow it any
 *                   more leaves `skipped` and is marked dirty
 *   after a sync    every page whose word allows it leaves the bitmap of dirty
 *                   pages and enters `skipped`
 *   before a send   (page filter) the same for the one page, so that memory
 *                   that was taken since is not read: a read of a hole
 *                   allocates memory
 *
 * Why no byte is lost.  Call a page settled if its present content is at the
 * destination, or its dirty bit (in the bitmap, or still in the log) is set, or
 * it is in `skipped`.  Every page is settled at the start, all are dirty, and
 * stays so: a send clears the bit before it reads; a write sets the log; the
 * host punching a hole sets the log; skipping moves the page from bitmap to
 * `skipped`; leaving `skipped` sets the log.  Each word is read once for the
 * decision, and it does not matter that the guest may change it the moment
 * after: an upgrade without a write, which no dirty log sees, leaves the page
 * in `skipped`, where the next look before a sync finds it.
 *
 * The last sync comes with the VM stopped, and the BQL is held from before its
 * first look until the device section is written.  Nobody changes a word in
 * that time: no vCPU runs, and reclaim needs the BQL for its compare-and-swaps.
 * So after it, what is in `skipped` is what the table that is sent offers or
 * calls gone, and the destination, which reads that table by the same walk,
 * discards all of it: no page is taken there as content that was not sent.
 * With migrate-volatile=on, the same of what is gone.
 *
 * Words that the host changed are marked dirty here, since no vCPU wrote them:
 * by the punch, which comes between the two compare-and-swaps of a discard,
 * both under one hold of the BQL.
 *
 * The source's own table is left alone.  Whatever goes wrong, it runs on.
 *
 *
 * The destination.  RAM comes before device state, so the table is there when
 * the device section is.  Its post_load traps all that is gone and drops what
 * memory it has (old content, after loadvm), before a vCPU can run.  The
 * chipset's sections come before those of PCI devices, so the map of guest
 * memory is the source's by then.
 *
 * A stream is not trusted more than a guest: numbers are compared with this
 * machine's before they mean anything, the bitmap is as long as this machine
 * says, and what it holds counts only where the word agrees.
 *
 * Stream versions: the sections have one each; a change of their fields raises
 * it, a change of the table's meaning raises VIRTIO_GPH_ABI.
 */
#include "qemu/osdep.h"
#include <linux/virtio_gph.h>
#include "exec/ram_addr.h"
#include "exec/ramblock.h"
#include "hw/virtio/virtio-gph.h"
#include "migration/blocker.h"
#include "migration/misc.h"
#include "migration/options.h"
#include "migration/postcopy-ram.h"
#include "migration/register.h"
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "qemu/lockable.h"
#include "trace.h"

#define GPH_FRAME_BYTES (UINT64_C(1) << VIRTIO_GPH_FRAME_SHIFT)
#define GPH_SAVE_ID     "virtio-gph/prepare"

/* --- dirty logging --- */

static void set_dirty(MemoryRegion *mr, uint64_t offset, uint64_t bytes)
{
    /* Not memory_region_set_dirty(): TCG's code bit is not ours to touch. */
    uint8_t mask = memory_region_get_dirty_log_mask(mr) &
                   (1 << DIRTY_MEMORY_MIGRATION);

    cpu_physical_memory_set_dirty_range(memory_region_get_ram_addr(mr) + offset,
                                        bytes, mask);
}

void virtio_gph_migration_dirty(VirtIOGPH *s, const GphRun *run)
{
    MemoryRegion *ram = s->memory.block->mr;
    ram_addr_t addr;

    if (!run) {
        set_dirty(&s->table, 0, s->region_size);
        return;
    }
    set_dirty(&s->table, run->start * sizeof(gph_word_t),
              run->n * sizeof(gph_word_t));
    if (gph_memory_ram_addr(&s->memory, run, &addr)) {
        set_dirty(ram, addr - memory_region_get_ram_addr(ram),
                  run->n << VIRTIO_GPH_FRAME_SHIFT);
    }
}

/* --- source --- */

/* The pages of @run in the RAM block; false if they cannot be tracked. */
static bool run_pages(VirtIOGPH *s, const GphRun *run, uint64_t *page)
{
    ram_addr_t addr;

    if (!gph_memory_ram_addr(&s->memory, run, &addr)) {
        return false;
    }
    *page = (addr - s->memory.block->offset) >> VIRTIO_GPH_FRAME_SHIFT;
    return *page + run->n <= s->migration.nr_pages;
}

static void mark_needless(void *opaque, const GphRun *run, bool gone)
{
    VirtIOGPH *s = opaque;
    uint64_t page;

    if (run_pages(s, run, &page)) {
        bitmap_set(s->migration.needless, page, run->n);
    }
}

/* Pages [page, page + n) were skipped and are needed. */
static void take_back(VirtIOGPH *s, uint64_t page, uint64_t n)
{
    GphMigration *m = &s->migration;
    uint64_t i;

    /* Bit by bit: the page filter may be setting others of the same long. */
    for (i = page; i < page + n; i++) {
        clear_bit_atomic(i, m->skipped);
    }
    set_dirty(s->memory.block->mr, page << VIRTIO_GPH_FRAME_SHIFT,
              n << VIRTIO_GPH_FRAME_SHIFT);
    m->stats.taken_back += n;
}

static void look_again(VirtIOGPH *s)
{
    GphMigration *m = &s->migration;
    unsigned long page = find_first_bit(m->skipped, m->nr_pages);
    unsigned long end;

    while (page < m->nr_pages) {
        if (!test_bit(page, m->needless)) {
            end = page + 1;
            while (end < m->nr_pages && test_bit(end, m->skipped) &&
                   !test_bit(end, m->needless)) {
                end++;
            }
            take_back(s, page, end - page);
            page = end;
        } else {
            page++;
        }
        page = find_next_bit(m->skipped, m->nr_pages, page);
    }
}

static void copy_map(VirtIOGPH *s)
{
    GphMigration *m = &s->migration;

    QEMU_LOCK_GUARD(&m->lock);
    g_array_set_size(m->map, 0);
    g_array_append_vals(m->map, s->memory.sections->section,
                        s->memory.sections->n);
}

static void before_sync(VirtIOGPH *s)
{
    GphMigration *m = &s->migration;

    copy_map(s);
    bitmap_zero(m->needless, m->nr_pages);
    gph_walk_needless(s->engine, !m->send_volatile, mark_needless, s);
    look_again(s);
}

static void skip_run(void *opaque, const GphRun *run, bool gone)
{
    VirtIOGPH *s = opaque;
    GphMigration *m = &s->migration;
    uint64_t page;

    if (!run_pages(s, run, &page)) {
        return;
    }
    bitmap_set_atomic(m->skipped, page, run->n);
    qemu_guest_free_page_hint(s->memory.block->host +
                              (page << VIRTIO_GPH_FRAME_SHIFT),
                              run->n << VIRTIO_GPH_FRAME_SHIFT);
    if (gone) {
        m->stats.skipped_gone += run->n;
    } else {
        m->stats.skipped_offered += run->n;
    }
}

static void after_sync(VirtIOGPH *s)
{
    GphMigration *m = &s->migration;

    m->stats.skipped_gone = 0;
    m->stats.skipped_offered = 0;
    gph_walk_needless(s->engine, !m->send_volatile, skip_run, s);
    trace_virtio_gph_migration_sync(m->stats.skipped_offered,
                                    m->stats.skipped_gone,
                                    m->stats.taken_back);
}

static bool find_frame(GphMigration *m, uint64_t offset, uint64_t *frame)
{
    guint i;

    QEMU_LOCK_GUARD(&m->lock);
    for (i = 0; i < m->map->len; i++) {
        const GphSection *section = &g_array_index(m->map, GphSection, i);
        uint64_t n = (offset - section->offset) >> VIRTIO_GPH_FRAME_SHIFT;

        if (offset >= section->offset && n < section->run.n) {
            *frame = section->run.start + n;
            return true;
        }
    }
    return false;
}

/* The thread that sends memory is about to: is it of no use by now? */
static bool skip_page(void *opaque, RAMBlock *block, uint64_t offset)
{
    VirtIOGPH *s = opaque;
    GphMigration *m = &s->migration;
    uint64_t frame;

    if (block != s->memory.block || !find_frame(m, offset, &frame) ||
        !gph_frame_needless(s->engine, frame, !m->send_volatile)) {
        return false;
    }
    set_bit_atomic(offset >> VIRTIO_GPH_FRAME_SHIFT, m->skipped);
    return true;
}

static void end_outgoing(GphMigration *m)
{
    precopy_set_page_filter(NULL, NULL);
    g_clear_pointer(&m->skipped, g_free);
    g_clear_pointer(&m->needless, g_free);
}

static int gph_precopy_notify(NotifierWithReturn *n, void *data, Error **errp)
{
    VirtIOGPH *s = container_of(n, VirtIOGPH, migration.precopy);
    PrecopyNotifyData *pnd = data;

    if (!s->migration.skipped) {
        return 0;
    }
    switch (pnd->reason) {
    case PRECOPY_NOTIFY_BEFORE_BITMAP_SYNC:
        before_sync(s);
        break;
    case PRECOPY_NOTIFY_AFTER_BITMAP_SYNC:
        after_sync(s);
        break;
    case PRECOPY_NOTIFY_CLEANUP:
        end_outgoing(&s->migration);
        break;
    default:
        break;
    }
    return 0;
}

/* Why what is about to begin cannot be done, or NULL. */
static const char *refuse_outgoing(void)
{
    if (migrate_postcopy_ram()) {
        return "postcopy: the destination would run before it knows which "
               "memory is gone; turn postcopy-ram off";
    }
    if (migrate_background_snapshot()) {
        return "a background snapshot: it does not see guest writes through "
               "other mappings of the memory; turn background-snapshot off";
    }
    if (migrate_colo()) {
        return "COLO: two running guests cannot share page states; turn "
               "x-colo off";
    }
    return NULL;
}

/* First of all: may refuse, in the answer to the command that asks for it. */
static int gph_save_prepare(void *opaque, Error **errp)
{
    VirtIOGPH *s = opaque;
    GphMigration *m = &s->migration;
    const char *reason = refuse_outgoing();

    if (reason) {
        error_setg(errp, "virtio-gph does not support %s", reason);
        return -EOPNOTSUPP;
    }
    end_outgoing(m);
    memset(&m->stats, 0, sizeof(m->stats));
    m->nr_pages = s->memory.block->used_length >> VIRTIO_GPH_FRAME_SHIFT;
    m->skipped = bitmap_new(m->nr_pages);
    m->needless = bitmap_new(m->nr_pages);
    precopy_set_page_filter(skip_page, s);
    return 0;
}

static const SaveVMHandlers gph_save_handlers = {
    .save_prepare = gph_save_prepare,
};

/* RDMA registers, and so allocates and pins, what it does not send. */
static int gph_migration_notify(NotifierWithReturn *n, MigrationEvent *event,
                                Error **errp)
{
    if (event->type == MIG_EVENT_PRECOPY_SETUP && migrate_rdma()) {
        error_setg(errp, "virtio-gph does not support RDMA migration: it pins "
                   "guest memory; use another transport");
        return -EOPNOTSUPP;
    }
    return 0;
}

/* --- destination --- */

static int gph_postcopy_notify(NotifierWithReturn *n, void *data, Error **errp)
{
    struct PostcopyNotifyData *pnd = data;

    if (pnd->reason == POSTCOPY_NOTIFY_PROBE) {
        error_setg(errp, "virtio-gph does not support %s",
                   "postcopy; turn postcopy-ram off");
        return -ENOENT;
    }
    return 0;
}

/* What must be the same on both sides; comes before any memory. */
typedef struct GphLayout {
    VirtIOGPH *parent;
    uint32_t abi;
    uint64_t nr_frames;
    uint64_t control_offset;
    uint64_t region_size;
} GphLayout;

static int gph_layout_pre_save(void *opaque)
{
    GphLayout *layout = opaque;
    const VirtIOGPH *s = layout->parent;

    layout->abi = s->abi;
    layout->nr_frames = s->nr_frames;
    layout->control_offset = s->control_offset;
    layout->region_size = s->region_size;
    return 0;
}

static int gph_layout_post_load(void *opaque, int version_id)
{
    GphLayout *layout = opaque;
    const VirtIOGPH *s = layout->parent;

    if (layout->abi != s->abi) {
        error_report("virtio-gph: the source has ABI version %" PRIu32 ", this "
                     "device %" PRIu32 "; use the same QEMU and x-abi",
                     layout->abi, s->abi);
        return -EINVAL;
    }
    if (layout->nr_frames != s->nr_frames ||
        layout->control_offset != s->control_offset ||
        layout->region_size != s->region_size) {
        error_report("virtio-gph: the source's table has %" PRIu64 " words in "
                     "%" PRIu64 " bytes, this one %" PRIu64 " in %" PRIu64
                     "; use the same machine type and memory size",
                     layout->nr_frames, layout->region_size, s->nr_frames,
                     s->region_size);
        return -EINVAL;
    }
    return 0;
}

static const VMStateDescription vmstate_gph_layout = {
    .name = "virtio-gph/layout",
    .pre_save = gph_layout_pre_save,
    .post_load = gph_layout_post_load,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT32(abi, GphLayout),
        VMSTATE_UINT64(nr_frames, GphLayout),
        VMSTATE_UINT64(control_offset, GphLayout),
        VMSTATE_UINT64(region_size, GphLayout),
        VMSTATE_END_OF_LIST()
    },
};

static const VMStateDescription vmstate_gph_early = {
    .name = "virtio-gph-early",
    .minimum_version_id = 1,
    .version_id = 1,
    .early_setup = true,
    .priority = MIG_PRI_VIRTIO_MEM,
    .fields = (const VMStateField[]) {
        VMSTATE_WITH_TMP(VirtIOGPH, GphLayout, vmstate_gph_layout),
        VMSTATE_END_OF_LIST()
    },
};

static int gph_device_pre_save(void *opaque)
{
    VirtIOGPH *s = opaque;

    gph_copy_discarded(s->engine, s->migration.discarded);
    s->migration.sent_volatile = s->migration.send_volatile;
    return 0;
}

static int gph_device_post_load(void *opaque, int version_id)
{
    VirtIOGPH *s = opaque;
    GphMigration *m = &s->migration;
    int ret;

    if (m->sent_volatile > 1) {
        error_report("virtio-gph: bad value %u in the migration stream",
                     m->sent_volatile);
        return -EINVAL;
    }
    ret = gph_arrive(s->engine, m->discarded, !m->sent_volatile,
                     &m->stats.arrived);
    trace_virtio_gph_migration_arrive(m->sent_volatile, m->stats.arrived, ret);
    if (ret) {
        error_report("virtio-gph: cannot discard what was not sent: %s",
                     strerror(-ret));
    }
    return ret;
}

const VMStateDescription vmstate_virtio_gph_device = {
    .name = "virtio-gph-device",
    .minimum_version_id = 1,
    .version_id = 1,
    .pre_save = gph_device_pre_save,
    .post_load = gph_device_post_load,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT32(age_request, VirtIOGPH),
        VMSTATE_UINT8(migration.sent_volatile, VirtIOGPH),
        VMSTATE_BITMAP(migration.discarded, VirtIOGPH, 0, migration.nr_bits),
        VMSTATE_END_OF_LIST()
    },
};

const VMStateDescription vmstate_virtio_gph = {
    .name = "virtio-gph",
    .minimum_version_id = 1,
    .version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_VIRTIO_DEVICE,
        VMSTATE_END_OF_LIST()
    },
};

/* --- device --- */

static bool add_blocker(VirtIOGPH *s, Error **errp)
{
    GphMigration *m = &s->migration;

    if (s->nr_frames > INT32_MAX) {
        error_setg(&m->blocker, "virtio-gph: the machine has too much memory "
                   "for a migration stream");
        return migrate_add_blocker(&m->blocker, errp) == 0;
    }
    error_setg(&m->blocker, "virtio-gph does not support CPR: the table does "
               "not stay in memory; use mode normal");
    return migrate_add_blocker_modes(&m->blocker, errp, MIG_MODE_CPR_REBOOT,
                                     MIG_MODE_CPR_TRANSFER, -1) == 0;
}

bool virtio_gph_migration_init(VirtIOGPH *s, Error **errp)
{
    GphMigration *m = &s->migration;

    if (!add_blocker(s, errp)) {
        return false;
    }
    qemu_mutex_init(&m->lock);
    m->map = g_array_new(false, false, sizeof(GphSection));
    m->nr_bits = s->nr_frames;
    m->discarded = bitmap_new(s->nr_frames);
    m->precopy.notify = gph_precopy_notify;
    precopy_add_notifier(&m->precopy);
    m->postcopy.notify = gph_postcopy_notify;
    postcopy_add_notifier(&m->postcopy);
    migration_add_notifier(&m->state, gph_migration_notify);
    vmstate_register_any(VMSTATE_IF(s), &vmstate_gph_early, s);
    register_savevm_live(GPH_SAVE_ID, VMSTATE_INSTANCE_ID_ANY, 1,
                         &gph_save_handlers, s);
    return true;
}

void virtio_gph_migration_fini(VirtIOGPH *s)
{
    GphMigration *m = &s->migration;

    if (m->map) {
        end_outgoing(m);
        unregister_savevm(NULL, GPH_SAVE_ID, s);
        vmstate_unregister(VMSTATE_IF(s), &vmstate_gph_early, s);
        migration_remove_notifier(&m->state);
        postcopy_remove_notifier(&m->postcopy);
        precopy_remove_notifier(&m->precopy);
        g_clear_pointer(&m->discarded, g_free);
        g_array_free(m->map, true);
        m->map = NULL;
        qemu_mutex_destroy(&m->lock);
    }
    migrate_del_blocker(&m->blocker);
}
