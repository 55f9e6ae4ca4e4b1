/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gph reclaim engine: memory whose content need not go to another host.
 *
 * The content of a frame is not needed where the guest offers it (VOLATILE or
 * UNUSED), or where it is gone: the word says so and the master copy agrees.  A
 * word that only claims to be gone is memory like any other.
 *
 * Source and destination read the same table by the same walk, so they agree
 * which frames these are, whatever the guest wrote.
 */
#include <errno.h>
#include <string.h>

#include "gph-internal.h"

typedef void GphUnitFn(GphEngine *e, const GphUnit *u, void *opaque);

/* Look at one word that is not zero; returns how many frames it speaks for. */
static unsigned visit(GphEngine *e, uint64_t frame, gph_word_t word,
                      GphUnitFn *fn, void *opaque)
{
    int range;

    if (gph_state(word) == VIRTIO_GPH_STABLE || !gph_valid(word) ||
        !gph_aligned(frame, word)) {
        return 1;
    }
    range = gph_find_range(e, frame, gph_frames(word));
    if (range < 0) {
        return 1;
    }
    if (gph_takeable(word) || gph_gone(word)) {
        GphUnit u = { .head = frame, .was = word, .range = (uint8_t)range };

        fn(e, &u, opaque);
    }
    return gph_frames(word);
}

static void walk(GphEngine *e, GphUnitFn *fn, void *opaque)
{
    uint64_t frame = 0;
    gph_word_t word;

    while ((frame = gph_skip_stable(e, frame, e->nr_frames)) < e->nr_frames) {
        word = gph_load(e, frame);
        frame += word ? visit(e, frame, word, fn, opaque) : 1;
    }
}

/* --- runs: neighbours of one kind in one range --- */

typedef struct GphRunner {
    GphRunFn *fn;
    void *opaque;
    GphRun run;
    uint8_t range;
    bool gone;
} GphRunner;

static void finish(GphRunner *r)
{
    if (r->run.n) {
        r->fn(r->opaque, &r->run, r->gone);
    }
    r->run.n = 0;
}

static void add(GphRunner *r, uint64_t start, uint64_t n, uint8_t range,
                bool gone)
{
    if (r->run.n && r->run.start + r->run.n == start && r->range == range &&
        r->gone == gone) {
        r->run.n += n;
        return;
    }
    finish(r);
    r->run = (GphRun){ start, n };
    r->range = range;
    r->gone = gone;
}

static void add_gone(GphEngine *e, GphRunner *r, const GphUnit *u)
{
    uint64_t f;

    for (f = u->head; f < u->head + gph_frames(u->was); f++) {
        if (gph_test_bit(e->discarded, f)) {
            add(r, f, 1, u->range, true);
        }
    }
}

/* --- source --- */

typedef struct GphNeedless {
    bool takeable;
    GphRunner runner;
} GphNeedless;

static void needless_unit(GphEngine *e, const GphUnit *u, void *opaque)
{
    GphNeedless *w = opaque;

    if (gph_gone(u->was)) {
        add_gone(e, &w->runner, u);
    } else if (w->takeable) {
        add(&w->runner, u->head, gph_frames(u->was), u->range, false);
    }
}

void gph_walk_needless(GphEngine *e, bool takeable, GphRunFn *fn, void *opaque)
{
    GphNeedless w = {
        .takeable = takeable, .runner = { .fn = fn, .opaque = opaque },
    };

    walk(e, needless_unit, &w);
    finish(&w.runner);
}

bool gph_frame_needless(const GphEngine *e, uint64_t frame, bool takeable)
{
    uint64_t head;
    gph_word_t word;

    if (frame >= e->nr_frames) {
        return false;
    }
    word = gph_find_head(e, frame, &head);
    if (gph_gone(word)) {
        return gph_test_bit(e->discarded, frame);
    }
    return takeable && gph_takeable(word);
}

void gph_copy_discarded(GphEngine *e, unsigned long *map)
{
    uint64_t longs = (e->nr_frames + GPH_LONG_BITS - 1) / GPH_LONG_BITS;

    gph_lock(e);
    memcpy(map, e->discarded, longs * sizeof(*map));
    gph_unlock(e);
}

/* --- destination --- */

typedef struct GphArrival {
    GphEngine *e;
    bool take;
    int error;
    unsigned nr_runs;                   /* of e->runs */
    uint64_t frames;
    GphRunner runner;
} GphArrival;

/* What a batch does, for runs that nobody can be using. */
static void apply(GphArrival *a)
{
    GphEngine *e = a->e;
    unsigned i;

    if (!a->nr_runs) {
        return;
    }
    gph_lock(e);
    e->ops->trap(e->opaque, e->runs, a->nr_runs);
    gph_unlock(e);
    a->error = e->ops->flush(e->opaque, e->runs, a->nr_runs);
    gph_lock(e);
    for (i = 0; i < a->nr_runs && !a->error; i++) {
        a->error = e->ops->punch(e->opaque, &e->runs[i]);
    }
    e->ops->trap_end(e->opaque, e->runs, a->nr_runs);
    gph_unlock(e);
    a->nr_runs = 0;
}

static void arrived_run(void *opaque, const GphRun *run, bool gone)
{
    GphArrival *a = opaque;
    uint64_t f;

    (void)gone;
    if (a->error) {
        return;
    }
    gph_lock(a->e);
    for (f = run->start; f < run->start + run->n; f++) {
        gph_put_bit(a->e->trapped, f, true);
        gph_put_bit(a->e->discarded, f, true);
    }
    gph_unlock(a->e);
    a->frames += run->n;
    a->e->runs[a->nr_runs++] = *run;
    if (a->nr_runs == GPH_BATCH_FRAMES) {
        apply(a);
    }
}

static void arrived_unit(GphEngine *e, const GphUnit *u, void *opaque)
{
    GphArrival *a = opaque;
    gph_word_t word = u->was;

    if (gph_gone(word)) {
        add_gone(e, &a->runner, u);
        return;
    }
    if (!a->take) {
        return;
    }
    gph_discard_begin(&word);
    gph_discard_end(&word);
    if (!gph_cas(e, u->head, u->was, word)) {
        a->error = -EBUSY;
        return;
    }
    add(&a->runner, u->head, gph_frames(word), u->range, true);
}

/* Nothing is trapped, and what the stream says was discarded. */
static void set_masters(GphEngine *e, const unsigned long *discarded)
{
    GphStats stats;
    uint64_t f;

    gph_lock(e);
    stats = e->stats;
    gph_untrap(e, 0, e->nr_frames);
    e->stats = stats;
    for (f = 0; f < e->nr_frames; f++) {
        gph_put_bit(e->discarded, f, gph_test_bit(discarded, f));
    }
    e->generation++;
    gph_unlock(e);
}

static void only_trapped_are_discarded(GphEngine *e)
{
    uint64_t i, n = (e->nr_frames + GPH_LONG_BITS - 1) / GPH_LONG_BITS;

    gph_lock(e);
    for (i = 0; i < n; i++) {
        e->discarded[i] &= e->trapped[i];
    }
    gph_unlock(e);
}

int gph_arrive(GphEngine *e, const unsigned long *discarded, bool take,
               uint64_t *frames)
{
    GphArrival a = {
        .e = e, .take = take, .runner = { .fn = arrived_run, .opaque = &a },
    };

    set_masters(e, discarded);
    walk(e, arrived_unit, &a);
    finish(&a.runner);
    if (!a.error) {
        apply(&a);
    }
    only_trapped_are_discarded(e);
    *frames = a.frames;
    return a.error;
}
