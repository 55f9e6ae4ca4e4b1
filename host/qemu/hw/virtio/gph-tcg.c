/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gph: TCG as a secondary MMU.
 *
 * The only translations are the vCPUs' TLBs, so a trap is a bit in the engine's
 * bitmap that the TLB fill looks at, and a flush empties every TLB.
 *
 * The flush runs as work on each vCPU, between two translation blocks.  That
 * gives more than an empty TLB: no helper of the vCPU holds a host pointer into
 * guest memory any more, and no block is being generated from it.  It works
 * while the VM is stopped, too.
 *
 * Translated code.  A block is entered by a lookup that needs a TLB entry for
 * each of its pages, or by a jump from a block of the same page, so a block of a
 * trapped frame cannot be running after the flush; but it would be found again,
 * stale, if the frame came back without being written.  So blocks of the frames
 * go after the flush and before the memory does.  They cannot be made anew in
 * between: reading the code needs a fill.  It is done here, without the engine
 * lock, because a vCPU that generates code holds page locks when its fill asks
 * for the engine lock.
 *
 * Atomicity.  With one vCPU, or all in one thread, TCG does a guest's locked
 * compare-and-swap as load, compare, store, which is none towards this thread.
 * A vCPU that has flushed runs code for a parallel machine ever after; the
 * engine's own compare-and-swaps only come after a flush.
 */
#include "qemu/osdep.h"
#include "qemu/main-loop.h"
#include "qapi/error.h"
#include "exec/cputlb.h"
#include "exec/exec-all.h"
#include "exec/ram_addr.h"
#include "exec/translation-block.h"
#include "hw/core/cpu.h"
#include "hw/virtio/gph-secondary-mmu.h"
#include "hw/virtio/gph-tcg.h"

GphTcgTraps gph_tcg_traps;
static GphEngine *gph_tcg_engine;

bool gph_tcg_access(hwaddr paddr, bool can_fault)
{
    uint64_t frame = paddr >> VIRTIO_GPH_FRAME_SHIFT;

    return gph_access(gph_tcg_engine, frame, can_fault) == GPH_FAULT;
}

static void flush_one(CPUState *cpu, run_on_cpu_data unused)
{
    tcg_cflags_set(cpu, CF_PARALLEL);
    tlb_flush(cpu);
}

static void flush_done(CPUState *cpu, run_on_cpu_data unused)
{
}

/* Waiting drops the BQL, so that vCPUs can come and go: hold on to them. */
static void flush_all(void)
{
    g_autoptr(GPtrArray) cpus = g_ptr_array_new_with_free_func(object_unref);
    CPUState *cpu;
    guint i;

    CPU_FOREACH(cpu) {
        g_ptr_array_add(cpus, object_ref(OBJECT(cpu)));
        async_run_on_cpu(cpu, flush_one, RUN_ON_CPU_NULL);
    }
    for (i = 0; i < cpus->len; i++) {
        cpu = CPU(g_ptr_array_index(cpus, i));
        if (!cpu->unplug) {
            run_on_cpu(cpu, flush_done, RUN_ON_CPU_NULL);
        }
    }
}

static void drop_code(const GphMmuHost *host, const GphRun *run)
{
    uint64_t bytes = run->n << VIRTIO_GPH_FRAME_SHIFT;
    ram_addr_t addr;

    if (host->ram_addr(host->opaque, run, &addr) &&
        !cpu_physical_memory_all_dirty(addr, bytes, DIRTY_MEMORY_CODE)) {
        tb_invalidate_phys_range(addr, addr + bytes - 1);
    }
}

static int gph_tcg_flush(GphSecondaryMmu *mmu, const GphRun *runs, unsigned n)
{
    unsigned i;

    assert(bql_locked());
    flush_all();
    for (i = 0; i < n; i++) {
        drop_code(&mmu->host, &runs[i]);
    }
    return 0;
}

static void gph_tcg_release(GphSecondaryMmu *mmu)
{
    gph_tcg_traps.nr_frames = 0;
    flush_all();
    gph_tcg_engine = NULL;
}

static const GphSecondaryMmuOps gph_tcg_ops = {
    .name = "tcg",
    .flush = gph_tcg_flush,
    .release = gph_tcg_release,
};

static GphSecondaryMmu *gph_tcg_new(const GphMmuHost *host, Error **errp)
{
    GphSecondaryMmu *mmu = g_new0(GphSecondaryMmu, 1);

    mmu->ops = &gph_tcg_ops;
    mmu->host = *host;
    gph_tcg_engine = host->engine;
    gph_tcg_traps.trapped = gph_trapped_bitmap(host->engine);
    gph_tcg_traps.nr_frames = host->nr_frames;
    return mmu;
}

static void gph_tcg_register(void)
{
    gph_accel_mmu_register("tcg", gph_tcg_new);
}

type_init(gph_tcg_register)
