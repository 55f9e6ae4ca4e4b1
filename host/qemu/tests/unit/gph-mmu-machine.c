/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A machine for the tests of gph's secondary MMUs.
 */
#include "qemu/osdep.h"
#include "qemu/memfd.h"
#include "gph-mmu-machine.h"

/* --- a BQL that excludes; the stub of the unit tests does not --- */

static pthread_mutex_t bql = PTHREAD_MUTEX_INITIALIZER;
static __thread bool have_bql;
static __thread bool have_engine_lock;

bool bql_locked(void)
{
    return have_bql;
}

void bql_lock_impl(const char *file, int line)
{
    /* The order of locks: the BQL is outside the engine lock. */
    g_assert_false(have_bql);
    g_assert_false(have_engine_lock);
    pthread_mutex_lock(&bql);
    have_bql = true;
}

void bql_unlock(void)
{
    g_assert_true(have_bql);
    have_bql = false;
    pthread_mutex_unlock(&bql);
}

void bql_block_unlock(bool increase)
{
}

void rust_bql_mock_lock(void)
{
}

bool engine_locked(void)
{
    return have_engine_lock;
}

/* --- the device's glue --- */

static void op_lock(void *opaque)
{
    qemu_mutex_lock(&((Machine *)opaque)->lock);
    have_engine_lock = true;
}

static void op_unlock(void *opaque)
{
    have_engine_lock = false;
    qemu_mutex_unlock(&((Machine *)opaque)->lock);
}

static void op_trap(void *opaque, const GphRun *runs, unsigned n)
{
    gph_mmus_invalidate_start(&((Machine *)opaque)->mmus, runs, n);
}

static int op_flush(void *opaque, const GphRun *runs, unsigned n)
{
    return gph_mmus_flush(&((Machine *)opaque)->mmus, runs, n);
}

static void op_trap_end(void *opaque, const GphRun *runs, unsigned n)
{
    Machine *m = opaque;

    m->batches++;
    gph_mmus_invalidate_end(&m->mmus);
}

static void op_untrap(void *opaque, const GphRun *run)
{
    gph_mmus_untrap(&((Machine *)opaque)->mmus, run);
}

static void check_punch(Machine *m, uint64_t frame)
{
    unsigned i;

    for (i = 0; i < MAX_RECORDS; i++) {
        Record *r = m->records[i];

        if (r && r->translating && !r->closed[frame]) {
            g_assert_true(r->atomic && r->atomic_closed[frame]);
        }
        if (r && r->still_maps) {
            g_assert_false(r->still_maps(r, frame));
        }
    }
}

static int op_punch(void *opaque, const GphRun *run)
{
    Machine *m = opaque;
    uint64_t f;

    for (f = run->start; f < run->start + run->n; f++) {
        g_assert_true(machine_trapped(m, f));
        check_punch(m, f);
    }
    if (m->punch_error) {
        return m->punch_error;
    }
    m->punches++;
    g_assert_cmpint(fallocate(m->fd,
                              FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                              run->start * FRAME_SIZE, run->n * FRAME_SIZE),
                    ==, 0);
    return 0;
}

static uint64_t op_zero(void *opaque)
{
    return 0;
}

static const GphEngineOps engine_ops = {
    .lock = op_lock,
    .unlock = op_unlock,
    .trap = op_trap,
    .flush = op_flush,
    .trap_end = op_trap_end,
    .untrap = op_untrap,
    .punch = op_punch,
    .allocated = op_zero,
    .now_us = op_zero,
};

Machine *machine_new(void)
{
    Machine *m = g_new0(Machine, 1);
    GphRun all = { 0, NR_FRAMES };
    GphMmuHost host;

    qemu_mutex_init(&m->lock);
    m->table = g_new0(uint16_t, NR_FRAMES);
    m->engine = gph_engine_new(m->table, NR_FRAMES, &m->control, &engine_ops,
                               m);
    host = (GphMmuHost) { .engine = m->engine, .nr_frames = NR_FRAMES };
    gph_mmus_init(&m->mmus, &m->lock, &host);
    gph_set_ranges(m->engine, &all, 1);
    m->fd = qemu_memfd_create("gph-test", NR_FRAMES * FRAME_SIZE, false, 0, 0,
                              &error_abort);
    m->ram = mmap(NULL, NR_FRAMES * FRAME_SIZE, PROT_READ | PROT_WRITE,
                  MAP_SHARED, m->fd, 0);
    g_assert_true(m->ram != MAP_FAILED);
    return m;
}

void machine_exit(Machine *m)
{
    gph_engine_reset(m->engine);
    gph_mmus_exit(&m->mmus);
    g_assert_true(QLIST_EMPTY(&m->mmus.users));
    g_assert_null(m->mmus.runs);
}

void machine_free(Machine *m)
{
    gph_engine_free(m->engine);
    munmap(m->ram, NR_FRAMES * FRAME_SIZE);
    close(m->fd);
    qemu_mutex_destroy(&m->lock);
    g_free(m->table);
    g_free(m);
}

void machine_offer(Machine *m, uint64_t start, uint64_t n)
{
    uint64_t f;

    for (f = start; f < start + n; f++) {
        qatomic_set(&m->table[f], gph_make(VIRTIO_GPH_VOLATILE, 0, 0));
    }
}

GphStop machine_reclaim(Machine *m, uint64_t n)
{
    bool had_bql = bql_locked();
    GphReclaim r;
    GphStop stop;

    if (!had_bql) {
        bql_lock();
    }
    gph_reclaim_start(m->engine, &r, n, 1000000);
    do {
        stop = gph_reclaim_step(m->engine, &r);
    } while (stop == GPH_RUNNING);
    if (!had_bql) {
        bql_unlock();
    }
    return stop;
}

bool machine_trapped(const Machine *m, uint64_t frame)
{
    const unsigned long *map = gph_trapped_bitmap(m->engine);

    return qatomic_read(&map[BIT_WORD(frame)]) & BIT_MASK(frame);
}

/* --- users that record --- */

static Record *record_of(GphSecondaryMmu *mmu)
{
    Record *r = container_of(mmu, User, mmu)->r;

    g_assert_cmpuint(r->releases, ==, 0);
    return r;
}

/* Not by the machine's ops: the list takes the engine lock itself, too. */
static void check_engine_locked(Record *r, bool locked)
{
    bool got = qemu_mutex_trylock(&r->m->lock) == 0;

    if (got) {
        qemu_mutex_unlock(&r->m->lock);
    }
    if (locked) {
        g_assert_false(got);
    } else {
        g_assert_false(have_engine_lock);
    }
}

static uint64_t mark(bool *map, const GphRun *runs, unsigned n, bool value)
{
    uint64_t sum = 0;
    unsigned i;

    for (i = 0; i < n; i++) {
        memset(&map[runs[i].start], value, runs[i].n);
        sum += runs[i].n;
    }
    return sum;
}

static void user_start(GphSecondaryMmu *mmu, const GphRun *runs, unsigned n)
{
    Record *r = record_of(mmu);
    uint64_t frames = mark(r->atomic_closed, runs, n, true);

    check_engine_locked(r, true);
    r->started_frames += frames;
    r->starts++;
}

static void user_end(GphSecondaryMmu *mmu, const GphRun *runs, unsigned n)
{
    Record *r = record_of(mmu);
    unsigned i;
    uint64_t f;

    check_engine_locked(r, true);
    r->ends++;
    g_assert_cmpuint(r->ends, <=, r->starts);
    /* One that leaves gets its end early, and closes everything anyway. */
    for (i = 0; i < n && mmu->state != GPH_MMU_LEAVING; i++) {
        for (f = runs[i].start; f < runs[i].start + runs[i].n; f++) {
            if (!machine_trapped(r->m, f)) {
                g_assert_false(r->closed[f]);
            }
        }
    }
}

static int user_flush(GphSecondaryMmu *mmu, const GphRun *runs, unsigned n)
{
    Record *r = record_of(mmu);
    bool drop_bql = bql_locked();

    check_engine_locked(r, false);
    g_assert_false(qatomic_xchg(&r->busy, true));
    if (r->in_flush) {
        if (drop_bql) {
            bql_unlock();
        }
        r->in_flush(r);
        if (drop_bql) {
            bql_lock();
        }
    }
    r->flushes++;
    if (!r->flush_error) {
        r->flushed_frames += mark(r->closed, runs, n, true);
    }
    qatomic_set(&r->busy, false);
    return r->flush_error;
}

static void user_untrap(GphSecondaryMmu *mmu, const GphRun *run)
{
    Record *r = record_of(mmu);

    check_engine_locked(r, true);
    mark(r->atomic_closed, run, 1, false);
    r->untrapped_frames += mark(r->closed, run, 1, false);
    r->untraps++;
}

static int user_join(GphSecondaryMmu *mmu)
{
    Record *r = record_of(mmu);
    uint64_t f;

    check_engine_locked(r, true);
    r->joins++;
    /* Everything that is trapped was replayed by now. */
    for (f = 0; f < NR_FRAMES && !r->atomic; f++) {
        if (machine_trapped(r->m, f) && r->starts == r->ends) {
            g_assert_true(r->closed[f]);
        }
    }
    r->translating = !r->join_error;
    return r->join_error;
}

static void user_release(GphSecondaryMmu *mmu)
{
    Record *r = record_of(mmu);

    g_assert_false(qatomic_xchg(&r->busy, true));
    g_assert_cmpuint(r->starts, ==, r->ends);
    if (r->in_release) {
        r->in_release(r);
    }
    qemu_mutex_lock(&r->m->lock);
    r->translating = false;
    qemu_mutex_unlock(&r->m->lock);
    qatomic_set(&r->busy, false);
    r->releases++;
}

static const GphSecondaryMmuOps sleeping_ops = {
    .name = "sleeping",
    .start = user_start,
    .flush = user_flush,
    .end = user_end,
    .untrap = user_untrap,
    .join = user_join,
    .release = user_release,
};

static const GphSecondaryMmuOps atomic_ops = {
    .name = "atomic",
    .start = user_start,
    .end = user_end,
    .untrap = user_untrap,
    .join = user_join,
    .release = user_release,
};

Record *record_new(Machine *m)
{
    Record *r = g_new0(Record, 1);
    unsigned i;

    r->m = m;
    qemu_sem_init(&r->entered, 0);
    qemu_sem_init(&r->go, 0);
    QEMU_LOCK_GUARD(&m->lock);
    for (i = 0; m->records[i]; i++) {
        g_assert_cmpuint(i + 1, <, MAX_RECORDS);
    }
    m->records[i] = r;
    return r;
}

void record_free(Record *r)
{
    unsigned i;

    g_assert_cmpuint(r->releases, ==, 1);
    g_assert_cmpuint(r->starts, ==, r->ends);
    WITH_QEMU_LOCK_GUARD(&r->m->lock) {
        for (i = 0; i < MAX_RECORDS; i++) {
            if (r->m->records[i] == r) {
                r->m->records[i] = NULL;
            }
        }
    }
    g_free(r);
}

GphSecondaryMmu *record_register(Record *r, Error **errp)
{
    User *user = g_new0(User, 1);

    user->r = r;
    user->magic = USER_MAGIC;
    user->mmu.ops = r->atomic ? &atomic_ops : &sleeping_ops;
    return gph_mmu_register(&r->m->mmus, &user->mmu, errp) ? &user->mmu : NULL;
}

void record_block(Record *r)
{
    qemu_sem_post(&r->entered);
    qemu_sem_wait(&r->go);
}

void record_wait_entered(Record *r)
{
    qemu_sem_wait(&r->entered);
}

void record_let_go(Record *r)
{
    qemu_sem_post(&r->go);
}

/* --- threads --- */

static void *job_run(void *opaque)
{
    Job *job = opaque;

    rcu_register_thread();
    if (job->bql) {
        bql_lock();
    }
    job->fn(job->opaque);
    if (job->bql) {
        bql_unlock();
    }
    qatomic_store_release(&job->done, true);
    rcu_unregister_thread();
    return NULL;
}

void job_start(Job *job, void (*fn)(void *opaque), void *opaque, bool bql)
{
    *job = (Job) { .fn = fn, .opaque = opaque, .bql = bql };
    qemu_thread_create(&job->thread, "job", job_run, job,
                       QEMU_THREAD_JOINABLE);
}

void job_join(Job *job)
{
    qemu_thread_join(&job->thread);
    g_assert_true(job->done);
}

void job_still_runs(Job *job)
{
    g_usleep(20 * 1000);
    g_assert_false(qatomic_load_acquire(&job->done));
}
