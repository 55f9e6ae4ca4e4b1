/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gph reclaim engine: the master copy, and accesses to trapped frames.
 *
 * The master copy is two bits per frame that only the host can write: trapped
 * (secondary MMUs must ask before they translate it) and discarded (the engine
 * dropped its content while it was trapped).  A discard fault needs both and
 * the guest's word; anything else resumes.  So a guest that scribbles on its
 * table can make its own accesses fault, or read zeros, and nothing more.
 *
 * A frame stays trapped when the guest has settled it: only an access finds
 * out, gives it back, and takes what else in its block need not be trapped
 * along, so that one exit pays for many frames.
 */
#include <stdlib.h>
#include <string.h>

#include "gph-internal.h"

gph_word_t gph_find_head(const GphEngine *e, uint64_t frame, uint64_t *head)
{
    uint64_t last = UINT64_MAX;
    unsigned order;

    for (order = 0; order <= VIRTIO_GPH_MAX_ORDER; order++) {
        gph_word_t word;

        *head = frame & ~((UINT64_C(1) << order) - 1);
        if (*head == last) {
            continue;
        }
        last = *head;
        word = gph_load(e, *head);
        if (gph_state(word) != VIRTIO_GPH_STABLE && gph_valid(word) &&
            gph_aligned(*head, word) && frame - *head < gph_frames(word)) {
            return word;
        }
    }
    *head = frame;
    return 0;
}

static void untrap_run(GphEngine *e, uint64_t start, uint64_t n)
{
    GphRun run = { start, n };

    if (n) {
        e->ops->untrap(e->opaque, &run);
    }
}

void gph_untrap(GphEngine *e, uint64_t start, uint64_t n)
{
    uint64_t f, from = start;

    for (f = start; f < start + n; f++) {
        if (!gph_test_bit(e->trapped, f)) {
            untrap_run(e, from, f - from);
            from = f + 1;
            continue;
        }
        if (gph_test_bit(e->discarded, f)) {
            e->stats.reused++;
        } else {
            e->stats.rescued++;
        }
        gph_put_bit(e->discarded, f, false);
        gph_put_bit(e->trapped, f, false);
    }
    untrap_run(e, from, f - from);
}

/* Untrap the frames of @block whose words say that they are in use. */
static void untrap_stable(GphEngine *e, uint64_t block)
{
    uint64_t frame = block * GPH_BLOCK_FRAMES;
    uint64_t end = frame + GPH_BLOCK_FRAMES;
    uint64_t next;
    gph_word_t word;

    if (end > e->nr_frames) {
        end = e->nr_frames;
    }
    while (frame < end) {
        next = gph_skip_stable(e, frame, end);
        gph_untrap(e, frame, next - frame);
        if (next == end) {
            break;
        }
        word = gph_load(e, next);
        frame = next + 1;
        if (gph_state(word) != VIRTIO_GPH_STABLE && gph_valid(word) &&
            gph_aligned(next, word)) {
            frame = next + gph_frames(word);
        }
    }
}

static GphAccess access_trapped(GphEngine *e, uint64_t frame, bool can_fault)
{
    uint64_t head;
    gph_word_t word = gph_find_head(e, frame, &head);

    if (gph_gone(word) && gph_test_bit(e->discarded, frame)) {
        if (can_fault) {
            e->stats.faults++;
            return GPH_FAULT;
        }
        gph_violation(e, GPH_BAD_ACCESS);
        gph_untrap(e, frame, 1);
        return GPH_RESUME;
    }
    if (gph_takeable(word) && head + gph_frames(word) <= e->nr_frames) {
        gph_untrap(e, head, gph_frames(word));
    }
    /* Whatever the words are by now: this frame is given back. */
    gph_untrap(e, frame, 1);
    untrap_stable(e, frame / GPH_BLOCK_FRAMES);
    return GPH_RESUME;
}

GphAccess gph_access(GphEngine *e, uint64_t frame, bool can_fault)
{
    GphAccess result = GPH_RESUME;

    if (frame >= e->nr_frames) {
        return GPH_RESUME;
    }
    gph_lock(e);
    if (gph_test_bit(e->trapped, frame)) {
        result = access_trapped(e, frame, can_fault);
    }
    gph_unlock(e);
    return result;
}

const unsigned long *gph_trapped_bitmap(const GphEngine *e)
{
    return e->trapped;
}

void gph_set_ranges(GphEngine *e, const GphRun *ranges, unsigned n)
{
    uint64_t next = 0;
    unsigned i;

    gph_lock(e);
    e->nr_ranges = 0;
    for (i = 0; i < n && e->nr_ranges < GPH_MAX_RANGES; i++) {
        GphRun r = ranges[i];

        if (!r.n || r.start < next || r.start >= e->nr_frames) {
            continue;
        }
        if (r.n > e->nr_frames - r.start) {
            r.n = e->nr_frames - r.start;
        }
        gph_untrap(e, next, r.start - next);
        next = r.start + r.n;
        e->ranges[e->nr_ranges++] = r;
    }
    gph_untrap(e, next, e->nr_frames - next);
    gph_unlock(e);
}

void gph_engine_reset(GphEngine *e)
{
    GphStats stats;

    gph_lock(e);
    e->generation++;
    memset(e->table, 0, e->nr_frames * sizeof(*e->table));
    memset(e->control, 0, sizeof(*e->control));
    /* Not the guest's doing: leave the statistics as they are. */
    stats = e->stats;
    gph_untrap(e, 0, e->nr_frames);
    e->stats = stats;
    gph_unlock(e);
}

void gph_get_stats(GphEngine *e, GphStats *stats)
{
    gph_lock(e);
    *stats = e->stats;
    gph_unlock(e);
}

GphEngine *gph_engine_new(uint16_t *table, uint64_t nr_frames,
                          struct virtio_gph_control *control,
                          const GphEngineOps *ops, void *opaque)
{
    uint64_t longs = (nr_frames + GPH_LONG_BITS - 1) / GPH_LONG_BITS;
    GphEngine *e = calloc(1, sizeof(*e));

    if (!e) {
        return NULL;
    }
    e->table = table;
    e->nr_frames = nr_frames;
    e->nr_blocks = (nr_frames + GPH_BLOCK_FRAMES - 1) / GPH_BLOCK_FRAMES;
    e->control = control;
    e->ops = ops;
    e->opaque = opaque;
    e->trapped = calloc(longs, sizeof(*e->trapped));
    e->discarded = calloc(longs, sizeof(*e->discarded));
    if (!e->trapped || !e->discarded) {
        gph_engine_free(e);
        return NULL;
    }
    return e;
}

void gph_engine_free(GphEngine *e)
{
    if (e) {
        free(e->trapped);
        free(e->discarded);
        free(e);
    }
}
