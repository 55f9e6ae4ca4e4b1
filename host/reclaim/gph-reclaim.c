/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gph reclaim engine: what to take, and in what order.
 *
 * A first walk counts the takeable frames by class and age.  Whole blocks come
 * before long runs before short ones, and inside a class the oldest come first,
 * so the counts say where the goal will be met: every better class is taken
 * whole, in that one class everything older than a threshold age, and of the
 * threshold age as much as is still missing.  Each of these is a sweep over the
 * table, which begins where the last one stopped, batch by batch.
 *
 * A time budget that ends early keeps the order of the classes; inside the
 * class it ends in, frames of the chosen ages are taken in table order.
 */
#include <string.h>

#include "gph-internal.h"

/* Blocks between two looks at the clock while there is nothing to take. */
#define GPH_CLOCK_BLOCKS    4096

#define GPH_NR_AGES         256

typedef uint64_t GphHistogram[GPH_NR_CLASSES][GPH_NR_AGES];

static bool out_of_time(GphEngine *e, const GphReclaim *r)
{
    return e->ops->now_us(e->opaque) >= r->deadline;
}

static bool count_ages(GphEngine *e, GphReclaim *r, GphHistogram hist)
{
    uint64_t block;
    unsigned i;
    GphPiece p;

    e->scan.count_violations = true;
    for (block = 0; block < e->nr_blocks; block++) {
        if (!(block % GPH_CLOCK_BLOCKS) && block && out_of_time(e, r)) {
            return false;
        }
        gph_scan_block(e, block);
        for (i = 0; gph_next_piece(e, i, r->epoch, &p); i += p.nr_units) {
            hist[p.class][p.age] += p.frames;
        }
    }
    e->scan.count_violations = false;
    r->scanned += e->nr_frames;
    return true;
}

static void add_sweep(GphReclaim *r, unsigned class, unsigned min_age,
                      unsigned max_age)
{
    r->sweeps[r->nr_sweeps++] = (struct GphSweep){
        .class = (uint8_t)class,
        .min_age = (uint8_t)min_age,
        .max_age = (uint8_t)max_age,
    };
}

/* Add the sweeps of one class; returns what they can give at most. */
static uint64_t plan_class(GphReclaim *r, unsigned class, const uint64_t *ages,
                           uint64_t missing)
{
    uint64_t sum = 0;
    unsigned age;

    for (age = GPH_NR_AGES - 1; age > 0; age--) {
        if (sum + ages[age] >= missing) {
            break;
        }
        sum += ages[age];
    }
    if (sum + ages[age] < missing) {
        /* Not even all of it is enough. */
        add_sweep(r, class, 0, GPH_NR_AGES - 1);
        return sum + ages[age];
    }
    if (age < GPH_NR_AGES - 1) {
        add_sweep(r, class, age + 1, GPH_NR_AGES - 1);
    }
    add_sweep(r, class, age, age);
    return missing;
}

static void plan(GphReclaim *r, const GphHistogram hist)
{
    uint64_t missing = r->goal;
    unsigned class;

    for (class = 0; class < GPH_NR_CLASSES && missing; class++) {
        missing -= plan_class(r, class, hist[class], missing);
    }
}

void gph_reclaim_start(GphEngine *e, GphReclaim *r, uint64_t frames,
                       uint64_t max_us)
{
    GphHistogram hist;

    memset(hist, 0, sizeof(hist));
    memset(r, 0, sizeof(*r));
    r->goal = frames;
    r->deadline = e->ops->now_us(e->opaque) + max_us;
    r->generation = e->generation;
    r->epoch = gph_current_epoch(e);
    r->left = e->nr_blocks;
    e->stats.scans++;
    if (!count_ages(e, r, hist)) {
        r->stop = GPH_STOP_TIME;
    } else {
        plan(r, hist);
    }
    e->stats.scanned += r->scanned;
}

/* Put what the current sweep wants of the scanned block into the batch. */
static void gather_block(GphEngine *e, GphReclaim *r)
{
    const struct GphSweep *sweep = &r->sweeps[r->sweep];
    unsigned i, j;
    GphPiece p;

    for (i = 0; gph_next_piece(e, i, r->epoch, &p); i += p.nr_units) {
        if (p.class != sweep->class || p.age < sweep->min_age ||
            p.age > sweep->max_age) {
            continue;
        }
        for (j = i; j < i + p.nr_units; j++) {
            if (r->discarded + e->batch_frames >= r->goal) {
                return;
            }
            gph_batch_add(e, &e->scan.units[j]);
        }
    }
}

/* False at the end of a sweep. */
static bool next_block(GphEngine *e, GphReclaim *r)
{
    e->cursor = (e->cursor + 1) % e->nr_blocks;
    if (--r->left) {
        return true;
    }
    r->left = e->nr_blocks;
    r->sweep++;
    return false;
}

/*
 * Fill a batch; false when the time is over.  A batch ends with its sweep: the
 * next one reads the same blocks again, and two readings may overlap.
 */
static bool gather(GphEngine *e, GphReclaim *r)
{
    unsigned n = 0;

    while (r->sweep < r->nr_sweeps && gph_batch_has_room(e) &&
           r->discarded + e->batch_frames < r->goal) {
        if (++n == GPH_CLOCK_BLOCKS) {
            if (out_of_time(e, r)) {
                return false;
            }
            n = 0;
        }
        gph_scan_block(e, e->cursor);
        gather_block(e, r);
        if (!next_block(e, r) && e->nr_units) {
            break;
        }
    }
    return true;
}

static GphStop why_stop(GphEngine *e, GphReclaim *r)
{
    if (r->discarded >= r->goal) {
        return GPH_STOP_GOAL;
    }
    if (r->generation != e->generation) {
        return GPH_STOP_RESET;
    }
    if (e->batch_failed) {
        return GPH_STOP_FAILED;
    }
    if (r->sweep == r->nr_sweeps) {
        return GPH_STOP_EMPTY;
    }
    return out_of_time(e, r) ? GPH_STOP_TIME : GPH_RUNNING;
}

GphStop gph_reclaim_step(GphEngine *e, GphReclaim *r)
{
    uint64_t freed;

    if (r->stop != GPH_RUNNING) {
        return r->stop;
    }
    gather(e, r);
    r->discarded += gph_batch_take(e, &freed);
    r->freed_bytes += freed;
    r->stop = why_stop(e, r);
    return r->stop;
}

static uint64_t next_random(uint64_t *seed)
{
    /* xorshift64; any seed but zero will do */
    *seed = *seed ? *seed : 1;
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

/* Blocks looked at for one batch of random units: bounds the work. */
#define GPH_RANDOM_BLOCKS   64

uint64_t gph_take_random(GphEngine *e, uint64_t *seed, uint64_t max_frames)
{
    uint64_t block = next_random(seed) % e->nr_blocks;
    uint64_t blocks = e->nr_blocks < GPH_RANDOM_BLOCKS ? e->nr_blocks :
                      GPH_RANDOM_BLOCKS;
    uint64_t n, freed;
    unsigned i;

    e->scan.count_violations = true;
    for (n = 0; n < blocks && gph_batch_has_room(e); n++) {
        gph_scan_block(e, (block + n) % e->nr_blocks);
        for (i = 0; i < e->scan.nr_units; i++) {
            if (e->batch_frames < max_frames && next_random(seed) & 0x100) {
                gph_batch_add(e, &e->scan.units[i]);
            }
        }
    }
    e->scan.count_violations = false;
    return gph_batch_take(e, &freed);
}
