/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gph reclaim engine: what its own files share.
 *
 * gph-scan.c reads the table, gph-batch.c takes memory, gph-engine.c owns the
 * master bitmaps and answers accesses, gph-reclaim.c decides what to take,
 * gph-migrate.c says what another host does not need.
 */
#ifndef GPH_INTERNAL_H
#define GPH_INTERNAL_H

#include "gph-engine.h"

/* A word that was found takeable, and where. */
typedef struct GphUnit {
    uint64_t head;
    gph_word_t was;
    uint8_t range;                      /* index into ranges[] */
} GphUnit;

/* Neighbouring units of one block that are taken together. */
typedef struct GphPiece {
    unsigned first;                     /* index into GphScan.units[] */
    unsigned nr_units;
    unsigned frames;
    uint8_t class;
    uint8_t age;                        /* of the youngest */
} GphPiece;

/* One block as one walk saw it. */
typedef struct GphScan {
    bool count_violations;
    unsigned epoch;                     /* the guest's, just after the block */
    unsigned nr_units;
    GphUnit units[GPH_BLOCK_FRAMES];
    uint64_t state[GPH_NR_STATES];      /* accumulates over blocks */
} GphScan;

struct GphEngine {
    uint16_t *table;
    uint64_t nr_frames;
    uint64_t nr_blocks;
    struct virtio_gph_control *control;
    const GphEngineOps *ops;
    void *opaque;

    /* The master copy; by the lock, but trapped[] is read without it, too. */
    unsigned long *trapped;
    unsigned long *discarded;
    uint64_t generation;                /* of device resets */
    GphRun ranges[GPH_MAX_RANGES];      /* sorted, disjoint */
    unsigned nr_ranges;
    GphStats stats;

    /* The reclaimer's own. */
    uint64_t cursor;                    /* block where the next sweep goes on */
    GphScan scan;
    GphUnit units[GPH_BATCH_FRAMES];    /* the batch */
    GphRun runs[GPH_BATCH_FRAMES];
    unsigned nr_units;
    unsigned batch_frames;
    bool batch_failed;
};

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define GPH_LE16(x) ((uint16_t)(x))
#else
#define GPH_LE16(x) __builtin_bswap16(x)
#endif

static inline gph_word_t gph_load(const GphEngine *e, uint64_t frame)
{
    return GPH_LE16(__atomic_load_n(&e->table[frame], __ATOMIC_RELAXED));
}

/* Full order on success: what the flush made true holds before it. */
static inline bool gph_cas(GphEngine *e, uint64_t frame, gph_word_t old,
                           gph_word_t new)
{
    uint16_t expected = GPH_LE16(old);

    return __atomic_compare_exchange_n(&e->table[frame], &expected,
                                       GPH_LE16(new), false,
                                       __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

static inline unsigned gph_frames(gph_word_t word)
{
    return 1u << gph_order(word);
}

static inline bool gph_aligned(uint64_t head, gph_word_t word)
{
    return !(head & (gph_frames(word) - 1));
}

/* Bitmaps: one writer at a time (the lock), readers of any kind. */
#define GPH_LONG_BITS (8 * sizeof(unsigned long))

static inline bool gph_test_bit(const unsigned long *map, uint64_t bit)
{
    unsigned long w = __atomic_load_n(&map[bit / GPH_LONG_BITS],
                                      __ATOMIC_RELAXED);
    return w >> (bit % GPH_LONG_BITS) & 1;
}

static inline void gph_put_bit(unsigned long *map, uint64_t bit, bool value)
{
    unsigned long *w = &map[bit / GPH_LONG_BITS];
    unsigned long mask = 1ul << (bit % GPH_LONG_BITS);

    __atomic_store_n(w, value ? *w | mask : *w & ~mask, __ATOMIC_RELAXED);
}

static inline void gph_lock(GphEngine *e)
{
    e->ops->lock(e->opaque);
}

static inline void gph_unlock(GphEngine *e)
{
    e->ops->unlock(e->opaque);
}

static inline void gph_violation(GphEngine *e, GphViolation v)
{
    __atomic_fetch_add(&e->stats.violations[v], 1, __ATOMIC_RELAXED);
}

/* The first frame in [from, to) whose word is not zero, or @to. */
uint64_t gph_skip_stable(const GphEngine *e, uint64_t from, uint64_t to);
/* Index of the range that holds all of [start, start + n), or -1. */
int gph_find_range(const GphEngine *e, uint64_t start, uint64_t n);
/* Read block @block into e->scan. */
void gph_scan_block(GphEngine *e, uint64_t block);
/* The piece that begins at unit @first of e->scan, as old as it was at @epoch. */
bool gph_next_piece(const GphEngine *e, unsigned first, unsigned epoch,
                    GphPiece *piece);
unsigned gph_current_epoch(const GphEngine *e);

/* The word whose unit holds @frame, and its head; 0 if there is none. */
gph_word_t gph_find_head(const GphEngine *e, uint64_t frame, uint64_t *head);
/* Untrap what is trapped of [start, start + n).  Locked. */
void gph_untrap(GphEngine *e, uint64_t start, uint64_t n);

/*
 * Batches: room for a whole block, add, take all (returns frames taken).  No
 * block may be read twice for one batch: the guest may have cut its memory into
 * other units meanwhile, and a unit that is lost would give back the frames of
 * one that is gone.
 */
bool gph_batch_has_room(const GphEngine *e);
void gph_batch_add(GphEngine *e, const GphUnit *unit);
uint64_t gph_batch_take(GphEngine *e, uint64_t *freed_bytes);

#endif /* GPH_INTERNAL_H */
