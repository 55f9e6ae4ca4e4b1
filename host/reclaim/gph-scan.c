/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gph reclaim engine: reading the table.
 *
 * The table is the guest's: any word may hold anything and change while it is
 * read.  A word is read once and believed for nothing but the guest's own
 * memory.  A unit is known by its head alone and a walk steps over what it
 * covers, so that two units of one walk never overlap, and since a head is
 * aligned to its order a unit never leaves its block.
 */
#include <string.h>

#include "gph-internal.h"

/* Four words at once, only to see that they are zero. */
typedef uint64_t __attribute__((may_alias)) GphWords;

uint64_t gph_skip_stable(const GphEngine *e, uint64_t from, uint64_t to)
{
    while (from < to) {
        if (!(from & 3) && to - from >= 4) {
            const GphWords *four = (const GphWords *)&e->table[from];

            if (!__atomic_load_n(four, __ATOMIC_RELAXED)) {
                from += 4;
                continue;
            }
        }
        if (__atomic_load_n(&e->table[from], __ATOMIC_RELAXED)) {
            break;
        }
        from++;
    }
    return from;
}

int gph_find_range(const GphEngine *e, uint64_t start, uint64_t n)
{
    unsigned i;

    for (i = 0; i < e->nr_ranges; i++) {
        const GphRun *r = &e->ranges[i];

        if (start >= r->start && start - r->start < r->n) {
            return n <= r->n - (start - r->start) ? (int)i : -1;
        }
    }
    return -1;
}

unsigned gph_current_epoch(const GphEngine *e)
{
    return GPH_LE16(__atomic_load_n(&e->control->epoch, __ATOMIC_RELAXED)) &
           0xff;
}

static void report(GphEngine *e, GphViolation v)
{
    if (e->scan.count_violations) {
        gph_violation(e, v);
    }
}

/*
 * A guest that makes a head stable and then uses its tails looks, for a
 * moment, like one that lies: it is a lie only if the head has not changed.
 */
static void check_tails(GphEngine *e, uint64_t head, gph_word_t word)
{
    uint64_t end = head + gph_frames(word);

    if (gph_skip_stable(e, head + 1, end) < end && gph_load(e, head) == word) {
        report(e, GPH_BAD_TAIL);
    }
}

/* Look at one word that is not zero; returns how many frames it speaks for. */
static unsigned scan_word(GphEngine *e, uint64_t frame, gph_word_t word)
{
    GphScan *s = &e->scan;
    int range;

    if (gph_pending(word) && gph_valid(word)) {
        return 1;
    }
    if (!gph_valid(word)) {
        report(e, GPH_BAD_WORD);
        return 1;
    }
    if (!gph_aligned(frame, word)) {
        report(e, GPH_BAD_ALIGN);
        return 1;
    }
    range = gph_find_range(e, frame, gph_frames(word));
    if (range < 0) {
        /* Memory below the first range is real, but not worth taking. */
        if (e->nr_ranges && frame >= e->ranges[0].start) {
            report(e, GPH_BAD_RANGE);
        }
        return 1;
    }
    if (gph_state(word) == VIRTIO_GPH_DISCARDING) {
        /* The reclaimer is here, so it is not discarding. */
        report(e, GPH_BAD_OWNER);
    }
    check_tails(e, frame, word);
    s->state[gph_state(word)] += gph_frames(word);
    if (gph_takeable(word)) {
        s->units[s->nr_units++] = (GphUnit){
            .head = frame, .was = word, .range = (uint8_t)range,
        };
    }
    return gph_frames(word);
}

void gph_scan_block(GphEngine *e, uint64_t block)
{
    uint64_t frame = block * GPH_BLOCK_FRAMES;
    uint64_t end = frame + GPH_BLOCK_FRAMES;
    gph_word_t word;

    if (end > e->nr_frames) {
        end = e->nr_frames;
    }
    e->scan.nr_units = 0;
    while ((frame = gph_skip_stable(e, frame, end)) < end) {
        word = gph_load(e, frame);
        frame += word ? scan_word(e, frame, word) : 1;
    }
    /* After the words: no honest word is younger than this epoch. */
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    e->scan.epoch = gph_current_epoch(e);
}

static GphClass classify(unsigned frames)
{
    if (frames == GPH_BLOCK_FRAMES) {
        return GPH_CLASS_BLOCK;
    }
    return frames >= GPH_LONG_RUN ? GPH_CLASS_LONG : GPH_CLASS_SHORT;
}

/*
 * The age of @u at @epoch, which may be past by now: 0 if it is younger.
 * Unused memory costs nothing to take, so it is older than anything.
 */
static unsigned unit_age(const GphEngine *e, const GphUnit *u, unsigned epoch)
{
    unsigned since = (e->scan.epoch - epoch) & 0xff;
    unsigned age = gph_age(u->was, e->scan.epoch);

    if (gph_state(u->was) == VIRTIO_GPH_UNUSED) {
        return 0xff;
    }
    return age > since ? age - since : 0;
}

bool gph_next_piece(const GphEngine *e, unsigned first, unsigned epoch,
                    GphPiece *piece)
{
    const GphUnit *u = &e->scan.units[first];
    const GphUnit *end = &e->scan.units[e->scan.nr_units];
    uint64_t next = 0;
    unsigned age;

    if (u == end) {
        return false;
    }
    *piece = (GphPiece){ .first = first, .age = 0xff };
    do {
        age = unit_age(e, u, epoch);
        piece->age = age < piece->age ? (uint8_t)age : piece->age;
        piece->frames += gph_frames(u->was);
        piece->nr_units++;
        next = u->head + gph_frames(u->was);
        u++;
    } while (u < end && u->head == next && u->range == u[-1].range);
    piece->class = (uint8_t)classify(piece->frames);
    return true;
}

static void count_pieces(GphEngine *e, unsigned epoch, GphCensus *census)
{
    GphPiece p;
    unsigned i;

    for (i = 0; gph_next_piece(e, i, epoch, &p); i += p.nr_units) {
        census->takeable_class[p.class] += p.frames;
    }
}

static void count_masters(GphEngine *e, GphCensus *census)
{
    uint64_t i, n = (e->nr_frames + GPH_LONG_BITS - 1) / GPH_LONG_BITS;

    gph_lock(e);
    for (i = 0; i < n; i++) {
        census->trapped += (unsigned)__builtin_popcountl(e->trapped[i]);
        census->discarded += (unsigned)__builtin_popcountl(e->discarded[i]);
    }
    gph_unlock(e);
}

void gph_census(GphEngine *e, GphCensus *census)
{
    unsigned i, epoch = gph_current_epoch(e);
    uint64_t block, all = 0, rest = 0;

    memset(census, 0, sizeof(*census));
    memset(e->scan.state, 0, sizeof(e->scan.state));
    e->scan.count_violations = false;
    for (block = 0; block < e->nr_blocks; block++) {
        gph_scan_block(e, block);
        count_pieces(e, epoch, census);
    }
    for (i = 0; i < e->nr_ranges; i++) {
        all += e->ranges[i].n;
    }
    for (i = VIRTIO_GPH_STABLE + 1; i < GPH_NR_STATES; i++) {
        census->state[i] = e->scan.state[i];
        rest += e->scan.state[i];
    }
    census->state[VIRTIO_GPH_STABLE] = all - rest;
    count_masters(e, census);
}
