/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of gph's secondary MMUs, named after what the kernel's mmu notifiers
 * had to get right in 2008.  One of these has no test: sorting several locks by
 * address, with a compare function that compared the wrong thing.  Nothing is
 * sorted here, because no two locks of a kind are ever held together.
 */
#include "qemu/osdep.h"
#include <malloc.h>
#include "gph-mmu-machine.h"

/* Longer than any of this takes: a deadlock. */
#define TOO_LONG_SECONDS    15

#define STRESS_ROUNDS       100

static Machine *m;

static void setup(void)
{
    alarm(TOO_LONG_SECONDS);
    m = machine_new();
}

static void teardown(void)
{
    machine_exit(m);
    machine_free(m);
    alarm(0);
}

static uint64_t nr_trapped(void)
{
    uint64_t f, n = 0;

    for (f = 0; f < NR_FRAMES; f++) {
        n += machine_trapped(m, f);
    }
    return n;
}

static void reclaim_job(void *opaque)
{
    machine_reclaim(m, *(uint64_t *)opaque);
}

static void register_job(void *opaque)
{
    Record *r = opaque;

    r->opaque = record_register(r, NULL);
}

static void unregister_job(void *opaque)
{
    gph_mmu_unregister(opaque);
}

static void exit_job(void *opaque)
{
    machine_exit(m);
}

/* --- balanced on every path --- */

/* The youngest user is flushed first: the failing one is in the middle. */
static void test_balanced_on_error(void)
{
    Record *r[3];
    GphSecondaryMmu *u[3];
    int i;

    setup();
    for (i = 0; i < 3; i++) {
        r[i] = record_new(m);
        u[i] = record_register(r[i], &error_abort);
    }
    r[1]->flush_error = -EAGAIN;
    machine_offer(m, 7, 20);
    g_assert_cmpint(machine_reclaim(m, 20), ==, GPH_STOP_FAILED);
    g_assert_cmpuint(r[2]->flushes, ==, 1);
    g_assert_cmpuint(r[1]->flushes, ==, 1);
    g_assert_cmpuint(r[0]->flushes, ==, 0);
    for (i = 0; i < 3; i++) {
        g_assert_cmpuint(r[i]->starts, ==, 1);
        g_assert_cmpuint(r[i]->ends, ==, 1);
        g_assert_cmpuint(r[i]->untrapped_frames, ==, 20);
    }
    g_assert_cmpuint(nr_trapped(), ==, 0);
    g_assert_cmpuint(m->punches, ==, 0);
    /* And it works again. */
    r[1]->flush_error = 0;
    g_assert_cmpint(machine_reclaim(m, 20), ==, GPH_STOP_GOAL);
    for (i = 0; i < 3; i++) {
        g_assert_cmpuint(r[i]->ends, ==, 2);
        gph_mmu_unregister(u[i]);
        record_free(r[i]);
    }
    teardown();
}

static void test_balanced_on_punch_error(void)
{
    Record *r;
    GphSecondaryMmu *u;

    setup();
    r = record_new(m);
    u = record_register(r, &error_abort);
    m->punch_error = -EIO;
    machine_offer(m, 0, 600);
    g_assert_cmpint(machine_reclaim(m, 600), ==, GPH_STOP_FAILED);
    g_assert_cmpuint(r->starts, ==, r->ends);
    g_assert_cmpuint(r->starts, >=, 1);
    g_assert_cmpuint(nr_trapped(), ==, 0);
    gph_mmu_unregister(u);
    record_free(r);
    teardown();
}

static void reset_in_flush(Record *r)
{
    gph_engine_reset(r->m->engine);
}

/* What the reset gave back was closed after that, and is opened once more. */
static void test_balanced_on_reset(void)
{
    Record *r;
    GphSecondaryMmu *u;
    uint64_t f;

    setup();
    r = record_new(m);
    r->in_flush = reset_in_flush;
    u = record_register(r, &error_abort);
    machine_offer(m, 100, 50);
    machine_reclaim(m, 50);
    g_assert_cmpuint(r->starts, ==, 1);
    g_assert_cmpuint(r->ends, ==, 1);
    g_assert_cmpuint(m->punches, ==, 0);
    for (f = 0; f < NR_FRAMES; f++) {
        g_assert_false(r->closed[f]);
    }
    gph_mmu_unregister(u);
    record_free(r);
    teardown();
}

/* @a leaves while @b is flushed: it was told of a start, and gets its end. */
static void test_balanced_on_unregister(void)
{
    Record *a, *b;
    GphSecondaryMmu *ua, *ub;
    uint64_t n = 4;
    Job reclaim;

    setup();
    a = record_new(m);
    b = record_new(m);
    b->in_flush = record_block;
    ua = record_register(a, &error_abort);
    ub = record_register(b, &error_abort);
    machine_offer(m, 0, 4);
    job_start(&reclaim, reclaim_job, &n, false);
    record_wait_entered(b);
    g_assert_cmpuint(a->starts, ==, 1);
    gph_mmu_unregister(ua);
    g_assert_cmpuint(a->ends, ==, 1);
    g_assert_cmpuint(a->releases, ==, 1);
    record_let_go(b);
    job_join(&reclaim);
    g_assert_cmpuint(a->flushes, ==, 0);
    g_assert_cmpuint(b->ends, ==, 1);
    g_assert_cmpuint(nr_trapped(), ==, 4);
    b->in_flush = NULL;
    gph_mmu_unregister(ub);
    record_free(a);
    record_free(b);
    teardown();
}

/* --- registration --- */

/* More runs than one replay takes at once. */
static void test_register_sees_trapped(void)
{
    Record *r;
    GphSecondaryMmu *u;
    uint64_t f;

    setup();
    for (f = 0; f < NR_FRAMES; f += 2) {
        machine_offer(m, f, 1);
    }
    g_assert_cmpint(machine_reclaim(m, NR_FRAMES / 2), ==, GPH_STOP_GOAL);
    r = record_new(m);
    u = record_register(r, &error_abort);
    for (f = 0; f < NR_FRAMES; f++) {
        g_assert_cmpint(r->closed[f], ==, f % 2 == 0);
    }
    g_assert_cmpuint(r->flushed_frames, ==, NR_FRAMES / 2);
    g_assert_cmpuint(r->untraps, ==, 0);
    g_assert_cmpuint(r->starts, ==, r->ends);
    g_assert_cmpuint(r->joins, ==, 1);
    gph_mmu_unregister(u);
    record_free(r);
    teardown();
}

static void test_register_fails(void)
{
    Record *r[2];
    Error *err = NULL;
    int i;

    setup();
    machine_offer(m, 5, 3);
    machine_reclaim(m, 3);
    for (i = 0; i < 2; i++) {
        r[i] = record_new(m);
        r[i]->flush_error = i ? 0 : -EAGAIN;
        r[i]->join_error = i ? -ENOMEM : 0;
        g_assert_null(record_register(r[i], &err));
        g_assert_nonnull(err);
        g_clear_pointer(&err, error_free);
        g_assert_cmpuint(r[i]->joins, ==, i);
        record_free(r[i]);
    }
    g_assert_true(QLIST_EMPTY(&m->mmus.users));
    machine_exit(m);
    r[0] = record_new(m);
    g_assert_null(record_register(r[0], &err));
    error_free(err);
    g_assert_cmpuint(r[0]->joins, ==, 0);
    record_free(r[0]);
    teardown();
}

/* In the middle of a batch whose start it has missed, before the punch. */
static void test_register_during_invalidate(void)
{
    Record *a, *late;
    GphSecondaryMmu *ua;
    uint64_t n = 10;
    Job reclaim, reg;

    setup();
    a = record_new(m);
    late = record_new(m);
    a->in_flush = record_block;
    ua = record_register(a, &error_abort);
    machine_offer(m, 30, 10);
    job_start(&reclaim, reclaim_job, &n, false);
    record_wait_entered(a);
    job_start(&reg, register_job, late, true);
    job_join(&reg);
    g_assert_cmpuint(late->flushed_frames, ==, 10);
    g_assert_true(late->closed[30] && late->closed[39]);
    record_let_go(a);
    job_join(&reclaim);
    g_assert_cmpuint(m->punches, >, 0);
    g_assert_cmpuint(late->starts, ==, 1);
    g_assert_cmpuint(late->ends, ==, 1);
    g_assert_cmpuint(late->flushes, ==, 1);
    a->in_flush = NULL;
    gph_mmu_unregister(ua);
    gph_mmu_unregister(late->opaque);
    record_free(a);
    record_free(late);
    teardown();
}

/* A batch that starts during the replay: its flush waits for the user. */
static void test_invalidate_during_register(void)
{
    uint64_t n = 8;
    Record *late;
    Job reclaim, reg;

    setup();
    machine_offer(m, 0, 8);
    machine_reclaim(m, 8);
    late = record_new(m);
    late->in_flush = record_block;
    job_start(&reg, register_job, late, true);
    record_wait_entered(late);
    machine_offer(m, 50, 8);
    job_start(&reclaim, reclaim_job, &n, false);
    job_still_runs(&reclaim);
    g_assert_cmpuint(m->punches, ==, 1);
    g_assert_true(machine_trapped(m, 50));
    late->in_flush = NULL;
    record_let_go(late);
    job_join(&reg);
    job_join(&reclaim);
    g_assert_cmpuint(m->punches, ==, 2);
    g_assert_cmpuint(late->flushes, ==, 2);
    g_assert_true(late->closed[0] && late->closed[57]);
    gph_mmu_unregister(late->opaque);
    record_free(late);
    teardown();
}

static void give_back_in_flush(Record *r)
{
    memset(r->m->table, 0, NR_FRAMES * sizeof(*r->m->table));
    gph_access(r->m->engine, 3, true);
    g_assert_false(machine_trapped(r->m, 3));
}

/* What is given back during the replay is not closed when it has ended. */
static void test_untrap_during_register(void)
{
    GphSecondaryMmu *u;
    Record *r;
    uint64_t f;

    setup();
    machine_offer(m, 0, 8);
    machine_offer(m, 700, 8);
    machine_reclaim(m, 16);
    r = record_new(m);
    r->in_flush = give_back_in_flush;
    u = record_register(r, &error_abort);
    for (f = 0; f < NR_FRAMES; f++) {
        g_assert_cmpint(r->closed[f], ==, machine_trapped(m, f));
    }
    g_assert_true(r->closed[700] && !r->closed[3]);
    r->in_flush = NULL;
    gph_mmu_unregister(u);
    record_free(r);
    teardown();
}

/* --- unregister and release --- */

/* Both with the BQL: the flush gets it back while the other waits for it. */
static void test_unregister_waits_for_flush(void)
{
    GphSecondaryMmu *u;
    uint64_t n = 4;
    Job reclaim, unreg;
    Record *r;

    setup();
    r = record_new(m);
    r->in_flush = record_block;
    u = record_register(r, &error_abort);
    machine_offer(m, 0, 4);
    job_start(&reclaim, reclaim_job, &n, false);
    record_wait_entered(r);
    job_start(&unreg, unregister_job, u, true);
    job_still_runs(&unreg);
    g_assert_cmpuint(r->releases, ==, 0);
    record_let_go(r);
    job_join(&unreg);
    g_assert_cmpuint(r->releases, ==, 1);
    g_assert_cmpuint(r->flushes, ==, 1);
    job_join(&reclaim);
    record_free(r);
    teardown();
}

static void block_and_take_bql(Record *r)
{
    record_block(r);
    bql_lock();
    bql_unlock();
}

/* A user that has not dropped its translations yet: the memory must not go. */
static void test_flush_waits_for_release(void)
{
    GphSecondaryMmu *u;
    uint64_t n = 4;
    Job reclaim, unreg;
    Record *r;

    setup();
    r = record_new(m);
    r->in_release = block_and_take_bql;
    u = record_register(r, &error_abort);
    machine_offer(m, 0, 4);
    job_start(&unreg, unregister_job, u, false);
    record_wait_entered(r);
    job_start(&reclaim, reclaim_job, &n, false);
    job_still_runs(&reclaim);
    g_assert_cmpuint(m->punches, ==, 0);
    record_let_go(r);
    job_join(&unreg);
    job_join(&reclaim);
    g_assert_cmpuint(m->punches, ==, 1);
    record_free(r);
    teardown();
}

typedef struct Reader {
    QemuSemaphore entered, go;
    bool visited;
} Reader;

static void visit(const GphSecondaryMmu *mmu, void *opaque)
{
    const User *user = container_of(mmu, User, mmu);
    Reader *reader = opaque;

    qemu_sem_post(&reader->entered);
    qemu_sem_wait(&reader->go);
    g_assert_cmphex(user->magic, ==, USER_MAGIC);
    g_assert_cmpstr(mmu->name, ==, "sleeping");
    reader->visited = true;
}

static void reader_job(void *opaque)
{
    gph_mmus_foreach(&m->mmus, visit, opaque);
}

/*
 * Unregister from an MMIO handler, which is a reader itself, so it cannot wait
 * for them; but their user stays until they are gone.
 */
static void test_unregister_and_readers(void)
{
    GphSecondaryMmu *u;
    Reader reader = { };
    Record *r;
    Job job;

    setup();
    qemu_sem_init(&reader.entered, 0);
    qemu_sem_init(&reader.go, 0);
    r = record_new(m);
    u = record_register(r, &error_abort);
    job_start(&job, reader_job, &reader, false);
    qemu_sem_wait(&reader.entered);
    rcu_read_lock();
    gph_mmu_unregister(u);
    rcu_read_unlock();
    g_assert_cmpuint(r->releases, ==, 1);
    job_still_runs(&job);
    qemu_sem_post(&reader.go);
    job_join(&job);
    g_assert_true(reader.visited);
    record_free(r);
    teardown();
}

static void test_release_once(void)
{
    Record *r[3];
    GphSecondaryMmu *u[2];
    User *owned = g_new0(User, 1);
    int i;

    setup();
    for (i = 0; i < 3; i++) {
        r[i] = record_new(m);
    }
    u[0] = record_register(r[0], &error_abort);
    u[1] = record_register(r[1], &error_abort);
    owned->r = r[2];
    owned->mmu.ops = u[0]->ops;
    g_assert_true(gph_mmus_add(&m->mmus, &owned->mmu, &error_abort));
    gph_mmu_unregister(u[0]);
    g_assert_cmpuint(r[0]->releases, ==, 1);
    machine_exit(m);
    for (i = 0; i < 3; i++) {
        g_assert_cmpuint(r[i]->releases, ==, 1);
    }
    /* Released, but not freed: it is its owner's until that lets go. */
    drain_call_rcu();
    g_assert_cmphex(container_of(u[1], User, mmu)->magic, ==, USER_MAGIC);
    gph_mmu_unregister(u[1]);
    for (i = 0; i < 3; i++) {
        record_free(r[i]);
    }
    teardown();
}

/* Who comes second waits for the first: after it the memory goes. */
static void test_release_before_memory(void)
{
    Job first, second;
    int exit_first;

    for (exit_first = 0; exit_first < 2; exit_first++) {
        GphSecondaryMmu *u;
        Record *r;

        setup();
        r = record_new(m);
        r->in_release = record_block;
        u = record_register(r, &error_abort);
        job_start(&first, exit_first ? exit_job : unregister_job, u, true);
        record_wait_entered(r);
        job_start(&second, exit_first ? unregister_job : exit_job, u, false);
        job_still_runs(&second);
        record_let_go(r);
        job_join(&second);
        job_join(&first);
        record_free(r);
        teardown();
    }
}

static void test_release_race(void)
{
    Job unreg, ex;
    int i;

    for (i = 0; i < STRESS_ROUNDS; i++) {
        GphSecondaryMmu *u;
        Record *r;

        setup();
        r = record_new(m);
        u = record_register(r, &error_abort);
        job_start(&unreg, unregister_job, u, i & 1);
        job_start(&ex, exit_job, NULL, i & 2);
        job_join(&unreg);
        job_join(&ex);
        record_free(r);
        teardown();
    }
}

/* --- the fast path --- */

static unsigned nr_locks;
static __thread bool count_locks;
static QemuMutexLockFunc real_lock;

static void counting_lock(QemuMutex *mutex, const char *file, int line)
{
    nr_locks += count_locks;
    real_lock(mutex, file, line);
}

static unsigned locks_of_flush(void)
{
    GphRun run = { 0, 1 };

    real_lock = qatomic_read(&qemu_mutex_lock_func);
    qatomic_set(&qemu_mutex_lock_func, counting_lock);
    nr_locks = 0;
    count_locks = true;
    gph_mmus_flush(&m->mmus, &run, 1);
    count_locks = false;
    qatomic_set(&qemu_mutex_lock_func, real_lock);
    return nr_locks;
}

static void test_fast_path_back(void)
{
    GphSecondaryMmu *u[2];
    Record *r[2];
    int i;

    setup();
    g_assert_cmpuint(locks_of_flush(), ==, 0);
    for (i = 0; i < 2; i++) {
        r[i] = record_new(m);
        u[i] = record_register(r[i], &error_abort);
    }
    g_assert_cmpuint(locks_of_flush(), >, 0);
    gph_mmu_unregister(u[0]);
    g_assert_cmpuint(locks_of_flush(), >, 0);
    gph_mmu_unregister(u[1]);
    g_assert_cmpuint(locks_of_flush(), ==, 0);
    record_free(r[0]);
    record_free(r[1]);
    /* Also after one that could not join. */
    machine_offer(m, 0, 1);
    machine_reclaim(m, 1);
    r[0] = record_new(m);
    r[0]->flush_error = -EIO;
    g_assert_null(record_register(r[0], NULL));
    g_assert_cmpuint(locks_of_flush(), ==, 0);
    record_free(r[0]);
    teardown();
}

/* --- kinds of users --- */

static void bql_and_engine_in_flush(Record *r)
{
    bql_lock();
    bql_unlock();
    gph_access(r->m->engine, 500, true);
}

/* Each call checks the lock that it is made with. */
static void test_sleeping_and_atomic_users(void)
{
    GphSecondaryMmu *us, *ua;
    Record *sleeping, *atomic;

    setup();
    sleeping = record_new(m);
    atomic = record_new(m);
    sleeping->in_flush = bql_and_engine_in_flush;
    atomic->atomic = true;
    us = record_register(sleeping, &error_abort);
    ua = record_register(atomic, &error_abort);
    machine_offer(m, 0, 16);
    g_assert_cmpint(machine_reclaim(m, 16), ==, GPH_STOP_GOAL);
    g_assert_cmpuint(sleeping->flushed_frames, ==, 16);
    g_assert_cmpuint(atomic->started_frames, ==, 16);
    g_assert_cmpuint(atomic->flushes, ==, 0);
    g_assert_cmpuint(atomic->ends, ==, 1);
    g_assert_cmpint(us->flushes, ==, 1);
    gph_mmu_unregister(us);
    gph_mmu_unregister(ua);
    record_free(sleeping);
    record_free(atomic);
    teardown();
}

/* Scattered or in one piece: N frames are told once, in as many runs. */
static void test_exactness(void)
{
    static const uint64_t counts[] = { 16, 64, 256 };
    unsigned i, stride;

    for (stride = 1; stride <= 3; stride += 2) {
        for (i = 0; i < ARRAY_SIZE(counts); i++) {
            uint64_t f, n = counts[i];
            GphSecondaryMmu *u;
            Record *r;

            setup();
            r = record_new(m);
            u = record_register(r, &error_abort);
            for (f = 0; f < n; f++) {
                machine_offer(m, f * stride, 1);
            }
            g_assert_cmpint(machine_reclaim(m, n), ==, GPH_STOP_GOAL);
            g_assert_cmpuint(r->flushes, ==, 1);
            g_assert_cmpuint(r->starts, ==, 1);
            g_assert_cmpuint(r->started_frames, ==, n);
            g_assert_cmpuint(r->flushed_frames, ==, n);
            g_assert_cmpuint(r->untraps, ==, 0);
            gph_engine_reset(m->engine);
            g_assert_cmpuint(r->untrapped_frames, ==, n);
            g_assert_cmpuint(r->untraps, ==, stride == 1 ? 1 : n);
            gph_mmu_unregister(u);
            record_free(r);
            teardown();
        }
    }
}

/* --- a user with a table of its own --- */

typedef struct Table {
    QemuMutex lock;
    bool maps[NR_FRAMES];
    bool stop;
    uint64_t filled, faults, retries;
} Table;

static bool table_maps(Record *r, uint64_t frame)
{
    Table *t = r->opaque;

    return qatomic_read(&t->maps[frame]);
}

/* Slow, so that fills come in the middle. */
static void table_flush(Record *r)
{
    Table *t = r->opaque;
    uint64_t f;

    for (f = 0; f < NR_FRAMES; f++) {
        if (machine_trapped(m, f)) {
            QEMU_LOCK_GUARD(&t->lock);
            qatomic_set(&t->maps[f], false);
        }
    }
}

static bool table_fill(Table *t, uint64_t frame, void (*between)(void))
{
    unsigned seq;

    for (;;) {
        seq = gph_mmus_read_begin(&m->mmus);
        if (machine_trapped(m, frame) &&
            gph_access(m->engine, frame, true) == GPH_FAULT) {
            qatomic_set(&t->faults, t->faults + 1);
            return false;
        }
        if (between) {
            between();
        }
        qemu_mutex_lock(&t->lock);
        if (!gph_mmus_read_retry(&m->mmus, seq)) {
            break;
        }
        qemu_mutex_unlock(&t->lock);
        t->retries++;
    }
    qatomic_set(&t->maps[frame], true);
    qemu_mutex_unlock(&t->lock);
    t->filled++;
    return true;
}

static void take_frame_9_once(void)
{
    static bool taken;

    if (!taken) {
        taken = true;
        machine_offer(m, 9, 1);
        g_assert_cmpint(machine_reclaim(m, 1), ==, GPH_STOP_GOAL);
    }
}

static void test_sequence_count(void)
{
    GphSecondaryMmu *u;
    Table table = { };
    Record *r;

    setup();
    qemu_mutex_init(&table.lock);
    r = record_new(m);
    r->opaque = &table;
    r->in_flush = table_flush;
    r->still_maps = table_maps;
    u = record_register(r, &error_abort);
    g_assert_true(table_fill(&table, 9, NULL));
    g_assert_cmpuint(table.retries, ==, 0);
    /* Asked, found free to use, and then the whole batch came and went. */
    g_assert_false(table_fill(&table, 9, take_frame_9_once));
    g_assert_cmpuint(table.retries, ==, 1);
    g_assert_false(table.maps[9]);
    /* Another batch is no reason to wait: only its frames are trapped. */
    g_assert_true(table_fill(&table, 10, NULL));
    g_assert_cmpuint(table.retries, ==, 1);
    gph_mmu_unregister(u);
    record_free(r);
    teardown();
}

static void fill_job(void *opaque)
{
    Table *t = opaque;
    uint64_t f = 0;

    while (!qatomic_read(&t->stop)) {
        f = (f + 7) % 64;
        if (!table_fill(t, f, NULL)) {
            /* Settled by the guest, and given back by the next fill. */
            qatomic_set(&m->table[f], 0);
        }
    }
}

static void test_sequence_count_threads(void)
{
    GphSecondaryMmu *u;
    Table table = { };
    Record *r;
    Job job;

    setup();
    qemu_mutex_init(&table.lock);
    r = record_new(m);
    r->opaque = &table;
    r->in_flush = table_flush;
    r->still_maps = table_maps;
    u = record_register(r, &error_abort);
    job_start(&job, fill_job, &table, false);
    while (m->punches < STRESS_ROUNDS ||
           qatomic_read(&table.faults) < STRESS_ROUNDS) {
        uint64_t f;

        for (f = 0; f < 64; f++) {
            qatomic_cmpxchg(&m->table[f], 0,
                            gph_make(VIRTIO_GPH_VOLATILE, 0, 0));
        }
        machine_reclaim(m, 64);
    }
    qatomic_set(&table.stop, true);
    job_join(&job);
    g_assert_cmpuint(table.filled, >, 0);
    gph_mmu_unregister(u);
    record_free(r);
    teardown();
}

/* --- everything at once --- */

static bool stop_stress;
static unsigned nr_come_and_gone;

static void come_and_go_job(void *opaque)
{
    bool atomic = GPOINTER_TO_INT(opaque) & 1;
    bool bql = GPOINTER_TO_INT(opaque) & 2;

    while (!qatomic_read(&stop_stress)) {
        Record *r = record_new(m);
        GphSecondaryMmu *u;

        r->atomic = atomic;
        if (bql) {
            bql_lock();
        }
        u = record_register(r, &error_abort);
        gph_mmu_unregister(u);
        if (bql) {
            bql_unlock();
        }
        record_free(r);
        sched_yield();
        qatomic_inc(&nr_come_and_gone);
    }
}

static void access_job(void *opaque)
{
    uint64_t f = 0;

    while (!qatomic_read(&stop_stress)) {
        f = (f + 5) % 128;
        if (machine_trapped(m, f) &&
            gph_access(m->engine, f, true) == GPH_FAULT) {
            qatomic_set(&m->table[f], 0);
        }
    }
}

static void test_stress(void)
{
    Job jobs[4];
    int i;

    setup();
    stop_stress = false;
    for (i = 0; i < 3; i++) {
        job_start(&jobs[i], come_and_go_job, GINT_TO_POINTER(i), false);
    }
    job_start(&jobs[3], access_job, NULL, false);
    while (m->punches < STRESS_ROUNDS ||
           qatomic_read(&nr_come_and_gone) < STRESS_ROUNDS) {
        uint64_t f;

        for (f = 0; f < 128; f++) {
            qatomic_cmpxchg(&m->table[f], 0,
                            gph_make(VIRTIO_GPH_VOLATILE, 0, 0));
        }
        machine_reclaim(m, 128);
    }
    qatomic_set(&stop_stress, true);
    for (i = 0; i < 4; i++) {
        job_join(&jobs[i]);
    }
    teardown();
}

int main(int argc, char **argv)
{
    /* Freed memory is overwritten, so that use of it shows. */
    mallopt(M_PERTURB, 0x5a);
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/gph-mmu/balanced-on-error", test_balanced_on_error);
    g_test_add_func("/gph-mmu/balanced-on-punch-error",
                    test_balanced_on_punch_error);
    g_test_add_func("/gph-mmu/balanced-on-reset", test_balanced_on_reset);
    g_test_add_func("/gph-mmu/balanced-on-unregister",
                    test_balanced_on_unregister);
    g_test_add_func("/gph-mmu/register-sees-trapped",
                    test_register_sees_trapped);
    g_test_add_func("/gph-mmu/register-fails", test_register_fails);
    g_test_add_func("/gph-mmu/register-during-invalidate",
                    test_register_during_invalidate);
    g_test_add_func("/gph-mmu/invalidate-during-register",
                    test_invalidate_during_register);
    g_test_add_func("/gph-mmu/untrap-during-register",
                    test_untrap_during_register);
    g_test_add_func("/gph-mmu/unregister-waits-for-flush",
                    test_unregister_waits_for_flush);
    g_test_add_func("/gph-mmu/flush-waits-for-release",
                    test_flush_waits_for_release);
    g_test_add_func("/gph-mmu/unregister-and-readers",
                    test_unregister_and_readers);
    g_test_add_func("/gph-mmu/release-once", test_release_once);
    g_test_add_func("/gph-mmu/release-before-memory",
                    test_release_before_memory);
    g_test_add_func("/gph-mmu/release-race", test_release_race);
    g_test_add_func("/gph-mmu/fast-path-back", test_fast_path_back);
    g_test_add_func("/gph-mmu/sleeping-and-atomic-users",
                    test_sleeping_and_atomic_users);
    g_test_add_func("/gph-mmu/exactness", test_exactness);
    g_test_add_func("/gph-mmu/sequence-count", test_sequence_count);
    g_test_add_func("/gph-mmu/sequence-count-threads",
                    test_sequence_count_threads);
    g_test_add_func("/gph-mmu/stress", test_stress);
    test_exporter_add();
    return g_test_run();
}
