/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gph reclaim engine: takes volatile and unused guest memory back.
 *
 * The engine knows the guest's state table, its own master bitmaps and a few
 * callbacks; it knows nothing of QEMU, of an accelerator or of a system call.
 * The device compiles it as it is, and so do the unit tests and the fuzzer,
 * which put a simulated memory behind the callbacks.
 *
 * Threads.  One thread at a time ("the reclaimer") may call gph_reclaim_*(),
 * gph_take_random(), gph_census() and gph_arrive().  gph_access() may be called
 * by any number of threads at any time.  gph_set_ranges(), gph_engine_reset()
 * and gph_walk_needless() may be called by any thread, one at a time, also
 * while the reclaimer waits in ->flush().
 *
 * The guest may write anything to the table at any time.  Every word is read
 * once per decision, nothing is asserted about it, and no loop is longer than
 * the table, whatever it says.
 */
#ifndef GPH_ENGINE_H
#define GPH_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gph/state.h"

/* Frames in the largest unit; classes and locking go by blocks of this size. */
#define GPH_BLOCK_FRAMES    (1u << VIRTIO_GPH_MAX_ORDER)

/* Frames trapped by one flush of the secondary MMUs. */
#define GPH_BATCH_FRAMES    (4 * GPH_BLOCK_FRAMES)

/* Frames of a long run: 64 KiB. */
#define GPH_LONG_RUN        16u

/* Ranges of guest memory that can be taken; more than these are left alone. */
#define GPH_MAX_RANGES      64

/* A stretch of guest frames. */
typedef struct GphRun {
    uint64_t start;
    uint64_t n;
} GphRun;

typedef struct GphEngineOps {
    /* The engine lock: protects the master bitmaps and the ranges. */
    void (*lock)(void *opaque);
    void (*unlock)(void *opaque);
    /*
     * A batch begins: no new translation of @runs from now on, their bits are
     * set already.  Locked, must not sleep.
     */
    void (*trap)(void *opaque, const GphRun *runs, unsigned n);
    /*
     * No translation of @runs is left when this returns 0.  NOT locked, may
     * sleep; waits for users which may themselves be waiting for the lock.
     */
    int (*flush)(void *opaque, const GphRun *runs, unsigned n);
    /*
     * The batch of the last trap() is over, whether it was flushed or not: each
     * of its frames is untrapped, or its memory is gone.  Once for every trap(),
     * with the same arguments.  Locked, must not sleep.
     */
    void (*trap_end)(void *opaque, const GphRun *runs, unsigned n);
    /*
     * @run may be translated again.  Comes again, later, for what was untrapped
     * while flush() ran, which may have closed it after that.  Locked, must not
     * sleep.
     */
    void (*untrap)(void *opaque, const GphRun *run);
    /* Give the memory of @run back: 0 or -errno.  Locked. */
    int (*punch)(void *opaque, const GphRun *run);
    /* Bytes the guest's memory occupies on the host. */
    uint64_t (*allocated)(void *opaque);
    uint64_t (*now_us)(void *opaque);
} GphEngineOps;

/* What is wrong with a word, for GphStats.violations. */
typedef enum GphViolation {
    GPH_BAD_WORD,           /* no legal word */
    GPH_BAD_ALIGN,          /* head not aligned to its own order */
    GPH_BAD_RANGE,          /* unit not wholly in guest memory */
    GPH_BAD_TAIL,           /* word inside another word's unit is not STABLE */
    GPH_BAD_OWNER,          /* guest made a transition that is the device's */
    GPH_BAD_ACCESS,         /* discarded memory used where it cannot fault */
    GPH_NR_VIOLATIONS
} GphViolation;

/* Run classes, best first. */
typedef enum GphClass {
    GPH_CLASS_BLOCK,        /* a whole aligned 2 MiB block */
    GPH_CLASS_LONG,         /* 64 KiB or more */
    GPH_CLASS_SHORT,
    GPH_NR_CLASSES
} GphClass;

#define GPH_NR_STATES       (VIRTIO_GPH_CLAIMED + 1)

/* Monotonic; written with the lock held or by the reclaimer only. */
typedef struct GphStats {
    uint64_t scans;
    uint64_t batches;
    uint64_t scanned;                   /* frames looked at */
    uint64_t discarded;                 /* frames whose content was dropped */
    uint64_t discarded_class[GPH_NR_CLASSES];
    uint64_t freed_bytes;               /* by ->allocated() */
    uint64_t faults;                    /* accesses answered GPH_FAULT */
    uint64_t rescued;                   /* frames untrapped with content */
    uint64_t reused;                    /* frames untrapped without */
    uint64_t races_lost;                /* units the guest took back in time */
    uint64_t punch_errors;
    uint64_t flush_errors;
    uint64_t violations[GPH_NR_VIOLATIONS];
} GphStats;

/* The table as it looked during one walk, in frames. */
typedef struct GphCensus {
    uint64_t state[GPH_NR_STATES];      /* a pending frame counts as stable */
    uint64_t takeable_class[GPH_NR_CLASSES];
    uint64_t trapped;
    uint64_t discarded;                 /* by the engine's master copy */
} GphCensus;

typedef enum GphStop {
    GPH_RUNNING,
    GPH_STOP_GOAL,
    GPH_STOP_TIME,
    GPH_STOP_EMPTY,
    GPH_STOP_RESET,                     /* device reset on the way */
    GPH_STOP_FAILED,                    /* flush or punch did not work */
} GphStop;

/* One call for memory; made by gph_reclaim_start(), driven by _step(). */
typedef struct GphReclaim {
    uint64_t goal;                      /* frames */
    uint64_t deadline;                  /* by ->now_us() */
    uint64_t discarded;                 /* frames, so far */
    uint64_t freed_bytes;
    uint64_t scanned;
    uint64_t generation;
    unsigned epoch;                     /* the guest's, at the start */
    GphStop stop;
    unsigned sweep;                     /* index into sweeps[] */
    unsigned nr_sweeps;
    uint64_t left;                      /* blocks left in this sweep */
    struct GphSweep {
        uint8_t class;
        uint8_t min_age;
        uint8_t max_age;
    } sweeps[GPH_NR_CLASSES + 1];
} GphReclaim;

typedef struct GphEngine GphEngine;

typedef enum GphAccess {
    GPH_RESUME,                         /* not trapped (any more): go on */
    GPH_FAULT,                          /* content gone: discard fault */
} GphAccess;

/* @table and @control stay the caller's; NULL if out of memory. */
GphEngine *gph_engine_new(uint16_t *table, uint64_t nr_frames,
                          struct virtio_gph_control *control,
                          const GphEngineOps *ops, void *opaque);
void gph_engine_free(GphEngine *e);

/* Zero the table, untrap everything.  What runs meanwhile stops. */
void gph_engine_reset(GphEngine *e);

/* The guest memory that can be taken.  Frames that fall out are untrapped. */
void gph_set_ranges(GphEngine *e, const GphRun *ranges, unsigned n);

/*
 * A user of guest memory meets trapped frame @frame.  @can_fault: a discard
 * fault can be delivered for this access.
 */
GphAccess gph_access(GphEngine *e, uint64_t frame, bool can_fault);

/* The trapped bitmap, for users that look a frame up without the lock. */
const unsigned long *gph_trapped_bitmap(const GphEngine *e);

/* Scan, choose, then one batch per step until the result is not RUNNING. */
void gph_reclaim_start(GphEngine *e, GphReclaim *r, uint64_t frames,
                       uint64_t max_us);
GphStop gph_reclaim_step(GphEngine *e, GphReclaim *r);

/* Torture: up to one batch of random takeable units; @seed is advanced. */
uint64_t gph_take_random(GphEngine *e, uint64_t *seed, uint64_t max_frames);

/*
 * Migration: memory whose content the destination does not need.
 *
 * gph_walk_needless() calls @fn for every run of it, lowest first; @gone: the
 * content has been dropped already, else the guest offers it (only with
 * @takeable).  gph_frame_needless() says it of one frame; any thread may ask.
 * gph_copy_discarded() copies the master copy, nr_frames bits.
 */
typedef void GphRunFn(void *opaque, const GphRun *run, bool gone);
void gph_walk_needless(GphEngine *e, bool takeable, GphRunFn *fn,
                       void *opaque);
bool gph_frame_needless(const GphEngine *e, uint64_t frame, bool takeable);
void gph_copy_discarded(GphEngine *e, unsigned long *map);
/*
 * The table has arrived, and nobody runs: trap and drop what was not sent, by
 * the table, the source's master copy @discarded, and, if it did not send what
 * was offered, @take.  Returns 0 and the number of frames, or -errno; then the
 * guest must not run.  Waits for the secondary MMUs.
 */
int gph_arrive(GphEngine *e, const unsigned long *discarded, bool take,
               uint64_t *frames);

void gph_census(GphEngine *e, GphCensus *census);
void gph_get_stats(GphEngine *e, GphStats *stats);

#endif /* GPH_ENGINE_H */
