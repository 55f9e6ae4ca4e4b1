/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gph: the list of secondary MMUs.
 *
 * The contract, the states and the locks are in the header.  No accelerator and
 * no device here, so that the unit test can link it.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/bitops.h"
#include "qemu/lockable.h"
#include "qemu/main-loop.h"
#include "qemu/rcu_queue.h"
#include "hw/virtio/gph-secondary-mmu.h"

/* Runs of trapped memory that one flush replays to a user that joins. */
#define GPH_REPLAY_RUNS     256

/* Of all lists: there is one device.  A leaf: nothing is called inside. */
static QemuMutex state_lock;
static QemuCond state_changed;
static unsigned joining;                /* users in that state */
static unsigned leaving;

static void __attribute__((constructor)) gph_mmus_init_state_lock(void)
{
    qemu_mutex_init(&state_lock);
    qemu_cond_init(&state_changed);
}

/* --- waiting --- */

/* What these say stays true, or somebody else sees to it. */
static bool has_joined(const GphSecondaryMmu *mmu)
{
    return mmu->state > GPH_MMU_JOINING;
}

static bool not_held(const GphSecondaryMmu *mmu)
{
    return mmu->holds == 0;
}

static bool is_gone(const GphSecondaryMmu *mmu)
{
    return mmu->state == GPH_MMU_GONE;
}

static bool nobody_leaves(const GphSecondaryMmu *unused)
{
    return leaving == 0;
}

static bool nobody_moves(const GphSecondaryMmu *unused)
{
    return joining + leaving == 0;
}

static void wait_until(bool (*met)(const GphSecondaryMmu *),
                       const GphSecondaryMmu *mmu)
{
    bool bql = false;

    qemu_mutex_lock(&state_lock);
    if (!met(mmu) && bql_locked()) {
        qemu_mutex_unlock(&state_lock);
        bql_unlock();
        bql = true;
        qemu_mutex_lock(&state_lock);
    }
    while (!met(mmu)) {
        qemu_cond_wait(&state_changed, &state_lock);
    }
    qemu_mutex_unlock(&state_lock);
    if (bql) {
        bql_lock();
    }
}

/* --- states --- */

static bool begin_leaving(GphSecondaryMmu *mmu, GphMmuState from)
{
    bool mine;

    qemu_mutex_lock(&state_lock);
    mine = mmu->state == from;
    if (mine) {
        mmu->state = GPH_MMU_LEAVING;
        leaving++;
        joining -= from == GPH_MMU_JOINING;
        qemu_cond_broadcast(&state_changed);
    }
    qemu_mutex_unlock(&state_lock);
    return mine;
}

static void take_off_list(GphSecondaryMmu *mmu)
{
    GphSecondaryMmuList *list = mmu->list;

    qemu_mutex_lock(list->lock);
    if (mmu->started && mmu->ops->end) {
        mmu->ops->end(mmu, list->runs, list->nr_runs);
    }
    mmu->started = false;
    QLIST_REMOVE_RCU(mmu, next);
    qemu_mutex_unlock(list->lock);
}

/* By the one thread whose begin_leaving() was true. */
static void leave(GphSecondaryMmu *mmu)
{
    wait_until(not_held, mmu);
    take_off_list(mmu);
    mmu->ops->release(mmu);
    qemu_mutex_lock(&state_lock);
    mmu->state = GPH_MMU_GONE;
    leaving--;
    qemu_cond_broadcast(&state_changed);
    qemu_mutex_unlock(&state_lock);
}

static void free_mmu(GphSecondaryMmu *mmu)
{
    g_free(mmu);
}

/* Keeps @mmu on the list; false if it is going. */
static bool hold(GphSecondaryMmu *mmu)
{
    bool ok;

    qemu_mutex_lock(&state_lock);
    ok = mmu->state == GPH_MMU_JOINING || mmu->state == GPH_MMU_LIVE;
    mmu->holds += ok;
    qemu_mutex_unlock(&state_lock);
    return ok;
}

static void drop(GphSecondaryMmu *mmu)
{
    qemu_mutex_lock(&state_lock);
    mmu->holds--;
    qemu_cond_broadcast(&state_changed);
    qemu_mutex_unlock(&state_lock);
}

static bool is_live(GphSecondaryMmu *mmu)
{
    QEMU_LOCK_GUARD(&state_lock);
    return mmu->state == GPH_MMU_LIVE;
}

/* --- registration --- */

static bool insert(GphSecondaryMmuList *list, GphSecondaryMmu *mmu)
{
    QEMU_LOCK_GUARD(list->lock);
    if (list->closed) {
        return false;
    }
    qemu_mutex_lock(&state_lock);
    mmu->state = GPH_MMU_JOINING;
    joining++;
    qemu_mutex_unlock(&state_lock);
    QLIST_INSERT_HEAD_RCU(&list->users, mmu, next);
    return true;
}

/* Tell @mmu of what is not trapped (any more) in @run. */
static void untrap_rest(GphSecondaryMmu *mmu, const GphRun *run)
{
    const unsigned long *trapped = gph_trapped_bitmap(mmu->host.engine);
    uint64_t f, end = run->start + run->n;
    GphRun rest;

    for (f = run->start; f < end; f = rest.start + rest.n) {
        rest.start = find_next_zero_bit(trapped, end, f);
        rest.n = find_next_bit(trapped, end, rest.start) - rest.start;
        if (rest.n && mmu->ops->untrap) {
            mmu->ops->untrap(mmu, &rest);
        }
    }
}

/* A batch for @mmu alone: balanced, and what is given back meanwhile is. */
static int replay_runs(GphSecondaryMmu *mmu, const GphRun *runs, unsigned n)
{
    unsigned i;
    int ret = 0;

    qemu_mutex_lock(mmu->list->lock);
    if (mmu->ops->start) {
        mmu->ops->start(mmu, runs, n);
    }
    qemu_mutex_unlock(mmu->list->lock);
    if (mmu->ops->flush) {
        ret = mmu->ops->flush(mmu, runs, n);
    }
    qemu_mutex_lock(mmu->list->lock);
    for (i = 0; i < n; i++) {
        untrap_rest(mmu, &runs[i]);
    }
    if (mmu->ops->end) {
        mmu->ops->end(mmu, runs, n);
    }
    qemu_mutex_unlock(mmu->list->lock);
    return ret;
}

/*
 * No lock for the bitmap.  What was trapped before @mmu was on the list is in
 * it; of what is trapped later @mmu is told as everybody is.
 */
static int replay(GphSecondaryMmu *mmu)
{
    const unsigned long *trapped = gph_trapped_bitmap(mmu->host.engine);
    uint64_t f = 0, nr = mmu->host.nr_frames;
    GphRun runs[GPH_REPLAY_RUNS];
    unsigned n;
    int ret;

    do {
        for (n = 0; n < GPH_REPLAY_RUNS; n++) {
            runs[n].start = find_next_bit(trapped, nr, f);
            if (runs[n].start >= nr) {
                break;
            }
            f = find_next_zero_bit(trapped, nr, runs[n].start);
            runs[n].n = f - runs[n].start;
        }
        ret = n ? replay_runs(mmu, runs, n) : 0;
    } while (n == GPH_REPLAY_RUNS && !ret);
    return ret;
}

static int join(GphSecondaryMmu *mmu)
{
    int ret;

    QEMU_LOCK_GUARD(mmu->list->lock);
    ret = mmu->ops->join ? mmu->ops->join(mmu) : 0;
    if (!ret) {
        QEMU_LOCK_GUARD(&state_lock);
        mmu->state = GPH_MMU_LIVE;
        joining--;
        qemu_cond_broadcast(&state_changed);
    }
    return ret;
}

bool gph_mmu_register(GphSecondaryMmuList *list, GphSecondaryMmu *mmu,
                      Error **errp)
{
    int ret;

    mmu->list = list;
    mmu->host = list->host;
    if (!mmu->name) {
        mmu->name = mmu->ops->name;
    }
    if (!insert(list, mmu)) {
        error_setg(errp, "virtio-gph is going away, '%s' cannot join it",
                   mmu->name);
        mmu->ops->release(mmu);
        g_free(mmu);
        return false;
    }
    ret = replay(mmu);
    if (!ret) {
        ret = join(mmu);
    }
    if (ret) {
        error_setg_errno(errp, -ret, "'%s' cannot follow virtio-gph",
                         mmu->name);
        begin_leaving(mmu, GPH_MMU_JOINING);
        leave(mmu);
        call_rcu(mmu, free_mmu, rcu);
    }
    return !ret;
}

void gph_mmu_unregister(GphSecondaryMmu *mmu)
{
    if (begin_leaving(mmu, GPH_MMU_LIVE)) {
        leave(mmu);
    } else {
        wait_until(is_gone, mmu);
    }
    call_rcu(mmu, free_mmu, rcu);
}

void gph_mmu_set_broken(GphSecondaryMmu *mmu, const char *why)
{
    qatomic_set(&mmu->broken, why);
}

/* --- the list --- */

void gph_mmus_init(GphSecondaryMmuList *list, QemuMutex *lock,
                   const GphMmuHost *host)
{
    *list = (GphSecondaryMmuList) { .lock = lock, .host = *host };
}

bool gph_mmus_add(GphSecondaryMmuList *list, GphSecondaryMmu *mmu, Error **errp)
{
    mmu->owned = true;
    return gph_mmu_register(list, mmu, errp);
}

/* A user that nobody else is taking off the list; it is this thread's now. */
static GphSecondaryMmu *take_one(GphSecondaryMmuList *list)
{
    GphSecondaryMmu *mmu;

    QEMU_LOCK_GUARD(list->lock);
    list->closed = true;
    QLIST_FOREACH(mmu, &list->users, next) {
        if (begin_leaving(mmu, GPH_MMU_LIVE)) {
            break;
        }
    }
    return mmu;
}

void gph_mmus_exit(GphSecondaryMmuList *list)
{
    GphSecondaryMmu *mmu;

    if (!list->lock) {
        return;
    }
    do {
        mmu = take_one(list);
        if (mmu) {
            /* Its owner may free it as soon as it is gone. */
            bool owned = mmu->owned;

            leave(mmu);
            if (owned) {
                call_rcu(mmu, free_mmu, rcu);
            }
        } else {
            wait_until(nobody_moves, NULL);
        }
    } while (mmu || !QLIST_EMPTY_RCU(&list->users));
}

void gph_mmus_invalidate_start(GphSecondaryMmuList *list, const GphRun *runs,
                               unsigned n)
{
    GphSecondaryMmu *mmu;

    assert(!list->runs);
    list->runs = runs;
    list->nr_runs = n;
    /* After the trapped bits: see gph_mmus_read_begin(). */
    qatomic_store_release(&list->seq, list->seq + 1);
    QLIST_FOREACH(mmu, &list->users, next) {
        mmu->started = true;
        if (mmu->ops->start) {
            mmu->ops->start(mmu, runs, n);
        }
    }
}

void gph_mmus_invalidate_end(GphSecondaryMmuList *list)
{
    GphSecondaryMmu *mmu;

    assert(list->runs);
    QLIST_FOREACH(mmu, &list->users, next) {
        if (mmu->started && mmu->ops->end) {
            mmu->ops->end(mmu, list->runs, list->nr_runs);
        }
        mmu->started = false;
    }
    list->runs = NULL;
}

void gph_mmus_untrap(GphSecondaryMmuList *list, const GphRun *run)
{
    GphSecondaryMmu *mmu;

    QLIST_FOREACH(mmu, &list->users, next) {
        if (mmu->ops->untrap) {
            mmu->ops->untrap(mmu, run);
        }
    }
}

/*
 * @mmu is held.  Who has joined after the start has got it all by replay.  Who
 * began to leave meanwhile is waited for in the end.
 */
static int flush_one(GphSecondaryMmu *mmu, const GphRun *runs, unsigned n)
{
    wait_until(has_joined, mmu);
    if (!mmu->started || !mmu->ops->flush || !is_live(mmu)) {
        return 0;
    }
    qatomic_set(&mmu->flushes, mmu->flushes + 1);
    return mmu->ops->flush(mmu, runs, n);
}

/*
 * A user that is held stays on the list, and so leads to the next.  One that is
 * going is only looked at under RCU.
 */
static int flush_all(GphSecondaryMmuList *list, const GphRun *runs, unsigned n)
{
    GphSecondaryMmu *mmu, *next;
    int ret = 0;

    rcu_read_lock();
    for (mmu = QLIST_FIRST_RCU(&list->users); mmu && !ret; mmu = next) {
        bool held = hold(mmu);

        if (held) {
            rcu_read_unlock();
            ret = flush_one(mmu, runs, n);
            rcu_read_lock();
        }
        next = QLIST_NEXT_RCU(mmu, next);
        if (held) {
            drop(mmu);
        }
    }
    rcu_read_unlock();
    return ret;
}

int gph_mmus_flush(GphSecondaryMmuList *list, const GphRun *runs, unsigned n)
{
    int ret;

    if (QLIST_EMPTY_RCU(&list->users)) {
        /* A user is counted as leaving before it is off the list. */
        smp_rmb();
        if (!qatomic_read(&leaving)) {
            return 0;
        }
    }
    ret = flush_all(list, runs, n);
    wait_until(nobody_leaves, NULL);
    return ret;
}

const char *gph_mmus_broken(const GphSecondaryMmuList *list)
{
    const GphSecondaryMmu *mmu;
    const char *why;

    RCU_READ_LOCK_GUARD();
    QLIST_FOREACH_RCU(mmu, &list->users, next) {
        why = qatomic_read(&mmu->broken);
        if (why) {
            return why;
        }
    }
    return NULL;
}

void gph_mmus_foreach(const GphSecondaryMmuList *list,
                      void (*visit)(const GphSecondaryMmu *mmu, void *opaque),
                      void *opaque)
{
    const GphSecondaryMmu *mmu;

    RCU_READ_LOCK_GUARD();
    QLIST_FOREACH_RCU(mmu, &list->users, next) {
        visit(mmu, opaque);
    }
}
