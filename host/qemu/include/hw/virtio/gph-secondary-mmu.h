/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gph: secondary MMUs, everything on the host that translates guest frames.
 *
 * Before memory is given back every one of its users must have stopped
 * translating it, and must ask before it translates it again.  The contract is
 * that of the kernel's mmu notifiers:
 *
 *      reclaimer                                      each user
 *      ---------                                      ---------
 *   L  trapped bits set
 *      gph_mmus_invalidate_start() ---- start ------> may drop it here: atomic
 *         the sequence count moves on                 no new translation from
 *   -                                                 here on
 *      gph_mmus_flush() --------------- flush ------> drops it, may sleep
 *   L  per run: punch
 *          or   gph_mmus_untrap() ----- untrap -----> may translate it again
 *   L  gph_mmus_invalidate_end() ------ end --------> on every path, errors too
 *
 *   L: engine lock held; -: none but the BQL, which the flush may drop
 *
 *   kind                 start          flush                      untrap
 *   TCG: only a TLB      nothing: the   flush every vCPU's TLB,    nothing
 *                        fill looks at  wait for the vCPUs
 *                        the bitmap
 *   KVM: second-stage    nothing        MADV_DONTNEED on the       MADV_DONTNEED
 *   tables, on a         (a racing      trapped mapping, then
 *   mapping of its own   access maps    poison it; retry what
 *                        the same       was mapped meanwhile
 *                        bytes again)
 *   exporter: another    nothing        tell the other side, wait  tell it, too
 *   process maps the                    for its answer
 *   memfd
 *
 * The life of a user:
 *
 *              register                  unregister, or device exit
 *      (none) ---------> JOINING -> LIVE -------------------------> LEAVING
 *                           |  replay failed                          |
 *                           +-----------------> LEAVING               | release
 *                                                                     v
 *                                                                    GONE
 *
 * JOINING: it is on the list, so no batch that starts now is missed, and what
 * was trapped before is replayed to it; it may not translate yet.  A flush waits
 * until it has joined.  LEAVING: running flushes of it end, it is taken off the
 * list, then released.  A flush of others does not end before that, so that no
 * memory goes that a leaving user still translates.
 *
 * Locks, outermost first: BQL; engine lock; state lock (in the .c file, leaf).
 *   list of users   changed with the engine lock held; walked with it, or under
 *                   RCU by who may sleep, who then holds the user it is at
 *   state, holds    state lock
 * Whoever waits here for another thread drops the BQL meanwhile if it has it: a
 * flush may need it.  Nobody here waits for a grace period: unregister is also
 * called from MMIO handlers, which are RCU readers themselves, and a flush that
 * sleeps cannot be one.  So unregister waits for who holds its user, and RCU
 * frees the user after the other readers.
 */
#ifndef HW_VIRTIO_GPH_SECONDARY_MMU_H
#define HW_VIRTIO_GPH_SECONDARY_MMU_H

#include "qemu/atomic.h"
#include "qemu/queue.h"
#include "qemu/rcu.h"
#include "qemu/thread.h"
#include "exec/cpu-common.h"
#include "hw/virtio/gph/gph-engine.h"

typedef struct GphSecondaryMmu GphSecondaryMmu;
typedef struct GphSecondaryMmuList GphSecondaryMmuList;

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

/* All but name and release are optional. */
typedef struct GphSecondaryMmuOps {
    const char *name;
    /*
     * A batch begins.  Engine lock held, must not sleep.  A user that can drop
     * its translations here needs no flush.
     */
    void (*start)(GphSecondaryMmu *mmu, const GphRun *runs, unsigned n);
    /*
     * Drop all translations of @runs.  No lock held but the BQL; may sleep, may
     * drop the BQL, must come to an end.  Once at a time for each user.  0, or
     * -errno: the batch is untrapped.  A frame can be untrapped meanwhile; if
     * it is, its untrap comes again after the flush.
     */
    int (*flush)(GphSecondaryMmu *mmu, const GphRun *runs, unsigned n);
    /* The batch of the last start is over.  Engine lock held. */
    void (*end)(GphSecondaryMmu *mmu, const GphRun *runs, unsigned n);
    /*
     * @run may be translated again.  Engine lock held, must not wait for a vCPU
     * or the BQL.  May come twice, and for what was never flushed.
     */
    void (*untrap)(GphSecondaryMmu *mmu, const GphRun *run);
    /*
     * The last step of registration: everything that is not trapped may be
     * translated from now on.  Engine lock held.  0, or -errno: not registered.
     */
    int (*join)(GphSecondaryMmu *mmu);
    /*
     * Exactly once, the last call, before the memory goes: drop every
     * translation, make no new one.  No lock held but the BQL; may sleep.  The
     * user itself is freed later, see gph_mmu_register().
     */
    void (*release)(GphSecondaryMmu *mmu);
} GphSecondaryMmuOps;

typedef enum GphMmuState {
    GPH_MMU_NEW,
    GPH_MMU_JOINING,
    GPH_MMU_LIVE,
    GPH_MMU_LEAVING,
    GPH_MMU_GONE,
} GphMmuState;

/* First in the user's own structure, which comes from g_malloc(). */
struct GphSecondaryMmu {
    struct rcu_head rcu;                /* must be first */
    const GphSecondaryMmuOps *ops;
    const char *name;                   /* for people; NULL: that of ops */
    GphMmuHost host;

    /* The list's own. */
    GphSecondaryMmuList *list;
    QLIST_ENTRY(GphSecondaryMmu) next;
    GphMmuState state;
    unsigned holds;                     /* sleeping readers that are at it */
    bool started;                       /* start without end; engine lock */
    bool owned;                         /* by the list: nobody unregisters it */
    uint64_t flushes;
    const char *broken;                 /* why, or NULL; a literal */
};

struct GphSecondaryMmuList {
    QLIST_HEAD(, GphSecondaryMmu) users;
    QemuMutex *lock;                    /* the engine's; NULL: no list yet */
    GphMmuHost host;
    unsigned seq;                       /* of invalidate_start */
    const GphRun *runs;                 /* of the running batch, or NULL */
    unsigned nr_runs;
    bool closed;                        /* nobody may register any more */
};

/* --- the device's side --- */

/* @lock is what the engine's lock operation takes. */
void gph_mmus_init(GphSecondaryMmuList *list, QemuMutex *lock,
                   const GphMmuHost *host);
/*
 * Release every user, each exactly once, also those that are just coming or
 * going; nobody can register after that.  BQL held or not, no other lock.
 */
void gph_mmus_exit(GphSecondaryMmuList *list);
/* Register @mmu and keep it until gph_mmus_exit(). */
bool gph_mmus_add(GphSecondaryMmuList *list, GphSecondaryMmu *mmu,
                  Error **errp);

/*
 * A batch.  The trapped bits of @runs are set.  Engine lock held since then.
 * @runs must stay until the end.
 */
void gph_mmus_invalidate_start(GphSecondaryMmuList *list, const GphRun *runs,
                               unsigned n);
/* Once per batch, by the thread that has started it.  0, or -errno. */
int gph_mmus_flush(GphSecondaryMmuList *list, const GphRun *runs, unsigned n);
/* Once per start.  Engine lock held. */
void gph_mmus_invalidate_end(GphSecondaryMmuList *list);
/* The trapped bits of @run are clear.  Engine lock held. */
void gph_mmus_untrap(GphSecondaryMmuList *list, const GphRun *run);

/* Why memory must not be taken any more, or NULL.  Any thread. */
const char *gph_mmus_broken(const GphSecondaryMmuList *list);
/* @visit must not sleep.  Any thread. */
void gph_mmus_foreach(const GphSecondaryMmuList *list,
                      void (*visit)(const GphSecondaryMmu *mmu, void *opaque),
                      void *opaque);

/* --- the users' side --- */

/*
 * @mmu must have no translation yet, and may make none before this returns.
 * What is trapped is flushed by then.  Takes @mmu over, whatever the result: it
 * is released exactly once, and freed by g_free() after unregister, or here if
 * it fails.  BQL held or not, no other lock; may drop the BQL.
 */
bool gph_mmu_register(GphSecondaryMmuList *list, GphSecondaryMmu *mmu,
                      Error **errp);
/*
 * When this returns @mmu was released, here or by the device's exit, and no
 * call of it runs or will run.  Must be called once for each gph_mmu_register()
 * that has worked, also after the device's exit.  O(1); waits for a running
 * flush of @mmu.  BQL held or not, no other lock; may drop the BQL.  Not from
 * @mmu's own calls.
 */
void gph_mmu_unregister(GphSecondaryMmu *mmu);
/* @mmu cannot keep the contract any more: no more memory is taken. */
void gph_mmu_set_broken(GphSecondaryMmu *mmu, const char *why);

/*
 * For a user with a translation table of its own, to fill it on demand:
 *
 *      do {
 *          seq = gph_mmus_read_begin(list);
 *          if frame is trapped: ask gph_access(), on GPH_FAULT give up
 *          find the host page
 *          lock the table
 *          if gph_mmus_read_retry(list, seq): unlock the table, again
 *          enter the translation
 *          unlock the table
 *      }
 *
 * and flush takes the same lock to remove.  The bits are set before the count
 * moves on: who reads the new count sees them, and who read the old one either
 * enters before flush removes, or retries.  So nobody has to wait for the end
 * of the batch.  TCG has no table: its vCPUs take part in the flush.
 */
static inline unsigned gph_mmus_read_begin(const GphSecondaryMmuList *list)
{
    return qatomic_load_acquire(&list->seq);
}

static inline bool gph_mmus_read_retry(const GphSecondaryMmuList *list,
                                       unsigned seq)
{
    smp_rmb();
    return qatomic_read(&list->seq) != seq;
}

/* --- accelerators: gph-accel-mmu.c --- */

/* One per accelerator: makes its secondary MMU, or fails with a cure. */
typedef GphSecondaryMmu *(*GphAccelMmuNew)(const GphMmuHost *host,
                                           Error **errp);

/* At module initialization; @accel is its name for "-accel". */
void gph_accel_mmu_register(const char *accel, GphAccelMmuNew create);
/* True if -accel @accel has one. */
bool gph_accel_mmu_supported(const char *accel, Error **errp);
/* The secondary MMU of the accelerator in use. */
GphSecondaryMmu *gph_accel_mmu_new(const GphMmuHost *host, Error **errp);

#endif /* HW_VIRTIO_GPH_SECONDARY_MMU_H */
