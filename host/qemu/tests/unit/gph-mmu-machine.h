/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A machine for the tests of gph's secondary MMUs: the real reclaim engine on a
 * memfd, the real list, users that record what they are told, and a BQL.
 *
 * The table and the memory are small, everything else is what the device does.
 * Whatever a test is about, each punch checks that no user could still
 * translate the frame, and each call of a user that it has not been released.
 */
#ifndef GPH_MMU_MACHINE_H
#define GPH_MMU_MACHINE_H

#include "qapi/error.h"
#include "qemu/bitops.h"
#include "qemu/lockable.h"
#include "qemu/main-loop.h"
#include "qemu/rcu.h"
#include "qemu/thread.h"
#include "hw/virtio/gph-secondary-mmu.h"

#define NR_FRAMES   (2 * GPH_BLOCK_FRAMES)
#define FRAME_SIZE  (1u << VIRTIO_GPH_FRAME_SHIFT)
#define MAX_RECORDS 8

/* What a user was told, and how it behaves.  The test's; outlives the user. */
typedef struct Record {
    struct Machine *m;
    unsigned starts, ends, flushes, untraps, joins, releases;
    uint64_t started_frames, flushed_frames, untrapped_frames;
    bool closed[NR_FRAMES];             /* by flush, until untrap */
    bool atomic_closed[NR_FRAMES];      /* by start, until untrap */
    bool translating;                   /* from join to release */

    /* Behaviour. */
    bool atomic;                        /* closes in start, has no flush */
    int flush_error;
    int join_error;
    void (*in_flush)(struct Record *r); /* BQL dropped, before it closes */
    void (*in_release)(struct Record *r);
    bool (*still_maps)(struct Record *r, uint64_t frame);
    void *opaque;
    QemuSemaphore entered, go;
    bool busy;                          /* in flush or release */
} Record;

typedef struct Machine {
    uint16_t *table;
    struct virtio_gph_control control;
    GphEngine *engine;
    QemuMutex lock;
    GphSecondaryMmuList mmus;
    int fd;
    uint8_t *ram;
    int punch_error;
    unsigned punches, batches;
    Record *records[MAX_RECORDS];       /* by the engine lock */
} Machine;

/* Large, so that free() fills it: see test_readers(). */
typedef struct User {
    GphSecondaryMmu mmu;
    Record *r;
    unsigned magic;
    char pad[4096];
} User;
#define USER_MAGIC  0x67706831

Machine *machine_new(void);
/* As a device that goes; @m may be used by users that unregister late. */
void machine_exit(Machine *m);
void machine_free(Machine *m);
/* Offer @n frames from @start on, each its own unit. */
void machine_offer(Machine *m, uint64_t start, uint64_t n);
/* Take up to @n frames, as the main loop does: with the BQL. */
GphStop machine_reclaim(Machine *m, uint64_t n);
bool machine_trapped(const Machine *m, uint64_t frame);
bool engine_locked(void);

Record *record_new(Machine *m);
void record_free(Record *r);
/* NULL if it fails; with the BQL if the caller has it. */
GphSecondaryMmu *record_register(Record *r, Error **errp);

/* A flush or release that says that it is there, and waits. */
void record_block(Record *r);
void record_wait_entered(Record *r);
void record_let_go(Record *r);

typedef struct Job {
    QemuThread thread;
    void (*fn)(void *opaque);
    void *opaque;
    bool bql;                           /* run with the BQL held */
    bool done;
} Job;

void job_start(Job *job, void (*fn)(void *opaque), void *opaque, bool bql);
void job_join(Job *job);
/* A while later @job has not come to its end. */
void job_still_runs(Job *job);

void test_exporter_add(void);

#endif /* GPH_MMU_MACHINE_H */
