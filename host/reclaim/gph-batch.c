/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gph reclaim engine: taking a batch of units.
 *
 * The order of steps is the safety of the whole:
 *
 *   1. locked    mark the frames trapped, tell the secondary MMUs
 *   2. unlocked  flush: when it returns nobody translates the frames, and
 *                whoever wants to must come to gph_access() first
 *   3. locked    a unit with a frame that was untrapped meanwhile is lost;
 *                word -> DISCARDING by compare-and-swap from the word that was
 *                chosen; if that fails the guest has taken it back: untrap
 *   4. locked    punch; DISCARDING -> DISCARDED
 *   5. locked    tell the secondary MMUs that the batch is over: on every path
 *
 * Steps 3 and 4 share one hold of the lock, so that gph_access() never sees
 * DISCARDING: an access that comes while the memory goes waits for the lock and
 * finds it gone.  A hold covers at most one block, to bound that wait.
 */
#include <errno.h>

#include "gph-internal.h"

bool gph_batch_has_room(const GphEngine *e)
{
    return e->batch_frames + GPH_BLOCK_FRAMES <= GPH_BATCH_FRAMES;
}

void gph_batch_add(GphEngine *e, const GphUnit *unit)
{
    e->units[e->nr_units++] = *unit;
    e->batch_frames += gph_frames(unit->was);
}

static uint64_t unit_end(const GphUnit *u)
{
    return u->head + gph_frames(u->was);
}

/* Do @u and the unit after it make one run of memory? */
static bool joins(const GphUnit *u)
{
    return unit_end(u) == u[1].head && u->range == u[1].range;
}

static bool unit_trapped(const GphEngine *e, const GphUnit *u)
{
    uint64_t f;

    for (f = u->head; f < unit_end(u); f++) {
        if (!gph_test_bit(e->trapped, f)) {
            return false;
        }
    }
    return true;
}

/* What is takeable has content, so that an old "discarded" is over. */
static void mark_trapped(GphEngine *e, const GphUnit *u)
{
    uint64_t f;

    for (f = u->head; f < unit_end(u); f++) {
        gph_put_bit(e->trapped, f, true);
        gph_put_bit(e->discarded, f, false);
    }
}

static void mark_discarded(GphEngine *e, const GphUnit *u)
{
    uint64_t f;

    for (f = u->head; f < unit_end(u); f++) {
        gph_put_bit(e->discarded, f, true);
    }
}

static unsigned trap_batch(GphEngine *e)
{
    unsigned i, nr_runs = 0;

    gph_lock(e);
    for (i = 0; i < e->nr_units; i++) {
        GphUnit *u = &e->units[i];

        mark_trapped(e, u);
        if (i && joins(u - 1)) {
            e->runs[nr_runs - 1].n += gph_frames(u->was);
        } else {
            e->runs[nr_runs++] = (GphRun){ u->head, gph_frames(u->was) };
        }
    }
    e->ops->trap(e->opaque, e->runs, nr_runs);
    gph_unlock(e);
    return nr_runs;
}

/*
 * A frame that was untrapped during the flush may have been closed by the flush
 * after that: its users are told once more.
 */
static void lose_unit(GphEngine *e, const GphUnit *u)
{
    GphRun run = { u->head, gph_frames(u->was) };
    bool again = !unit_trapped(e, u);

    gph_untrap(e, run.start, run.n);
    if (again) {
        e->ops->untrap(e->opaque, &run);
    }
}

static bool begin_unit(GphEngine *e, const GphUnit *u)
{
    gph_word_t word = u->was;

    if (unit_trapped(e, u) && gph_discard_begin(&word) &&
        gph_cas(e, u->head, u->was, word)) {
        return true;
    }
    e->stats.races_lost++;
    lose_unit(e, u);
    return false;
}

static void end_unit(GphEngine *e, const GphUnit *u)
{
    gph_word_t old = u->was, word;

    gph_discard_begin(&old);
    word = old;
    gph_discard_end(&word);
    mark_discarded(e, u);
    if (!gph_cas(e, u->head, old, word)) {
        gph_violation(e, GPH_BAD_OWNER);
    }
}

static void undo_unit(GphEngine *e, const GphUnit *u)
{
    gph_word_t old = u->was, word;

    gph_discard_begin(&old);
    word = old;
    gph_discard_undo(&word, u->was);
    if (!gph_cas(e, u->head, old, word)) {
        gph_violation(e, GPH_BAD_OWNER);
    }
    lose_unit(e, u);
}

static GphClass run_class(uint64_t n)
{
    if (n == GPH_BLOCK_FRAMES) {
        return GPH_CLASS_BLOCK;
    }
    return n >= GPH_LONG_RUN ? GPH_CLASS_LONG : GPH_CLASS_SHORT;
}

/* Units [first, last) are DISCARDING and one run of memory: let it go. */
static uint64_t finish_run(GphEngine *e, unsigned first, unsigned last)
{
    GphRun run;
    unsigned i;

    if (first == last) {
        return 0;
    }
    run.start = e->units[first].head;
    run.n = unit_end(&e->units[last - 1]) - run.start;
    if (e->ops->punch(e->opaque, &run)) {
        e->stats.punch_errors++;
        e->batch_failed = true;
        for (i = first; i < last; i++) {
            undo_unit(e, &e->units[i]);
        }
        return 0;
    }
    for (i = first; i < last; i++) {
        end_unit(e, &e->units[i]);
    }
    e->stats.discarded += run.n;
    e->stats.discarded_class[run_class(run.n)] += run.n;
    return run.n;
}

/* Units [first, last) lie side by side in one block and one range. */
static uint64_t take_group(GphEngine *e, unsigned first, unsigned last)
{
    uint64_t taken = 0;
    unsigned i;

    gph_lock(e);
    for (i = first; i < last; i++) {
        if (!begin_unit(e, &e->units[i])) {
            taken += finish_run(e, first, i);
            first = i + 1;
        }
    }
    taken += finish_run(e, first, last);
    gph_unlock(e);
    return taken;
}

static unsigned group_end(const GphEngine *e, unsigned i)
{
    uint64_t block = e->units[i].head / GPH_BLOCK_FRAMES;

    for (i++; i < e->nr_units; i++) {
        if (!joins(&e->units[i - 1]) ||
            e->units[i].head / GPH_BLOCK_FRAMES != block) {
            break;
        }
    }
    return i;
}

static void lose_batch(GphEngine *e)
{
    unsigned i;

    gph_lock(e);
    e->stats.flush_errors++;
    for (i = 0; i < e->nr_units; i++) {
        lose_unit(e, &e->units[i]);
    }
    gph_unlock(e);
    e->batch_failed = true;
}

static void end_batch(GphEngine *e, unsigned nr_runs)
{
    gph_lock(e);
    e->ops->trap_end(e->opaque, e->runs, nr_runs);
    gph_unlock(e);
    e->stats.batches++;
    e->nr_units = 0;
    e->batch_frames = 0;
}

static uint64_t take_groups(GphEngine *e)
{
    uint64_t taken = 0;
    unsigned i, end;

    for (i = 0; i < e->nr_units; i = end) {
        end = group_end(e, i);
        taken += take_group(e, i, end);
    }
    return taken;
}

uint64_t gph_batch_take(GphEngine *e, uint64_t *freed_bytes)
{
    uint64_t before, after, taken = 0;
    unsigned nr_runs;

    *freed_bytes = 0;
    e->batch_failed = false;
    if (!e->nr_units) {
        return 0;
    }
    nr_runs = trap_batch(e);
    if (e->ops->flush(e->opaque, e->runs, nr_runs)) {
        lose_batch(e);
    } else {
        before = e->ops->allocated(e->opaque);
        taken = take_groups(e);
        after = e->ops->allocated(e->opaque);
        /* The guest may have used more memory meanwhile. */
        *freed_bytes = before > after ? before - after : 0;
        e->stats.freed_bytes += *freed_bytes;
    }
    end_batch(e, nr_runs);
    return taken;
}
