// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The gph reclaim engine with real threads, also under ThreadSanitizer.
 *
 * Each vCPU thread owns some frames and has a TLB of its own, which it empties
 * when a flush asks it to, between two accesses, as TCG does.  It writes a frame,
 * offers it, reads it now and then, takes it back, and then either the
 * compare-and-swap fails or the frame must hold what was written.
 */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "gph-engine.h"

#define NR_CPUS		3
#define NR_FRAMES	(2 * GPH_BLOCK_FRAMES)
#define BITS		(8 * sizeof(unsigned long))

struct cpu {
	pthread_t thread;
	unsigned int id;
	unsigned int seen;		/* flush requests done */
	bool tlb[NR_FRAMES];
	uint32_t serial;
	unsigned long lost, kept, faults;
};

static uint16_t table[NR_FRAMES];
static struct virtio_gph_control control;
static uint32_t mem[NR_FRAMES];
static uint32_t want[NR_FRAMES];	/* by the owner: what it has offered */
static struct cpu cpus[NR_CPUS];
static unsigned int flush_request;
static bool in_batch;		/* by the engine lock */
static bool stop;
static GphEngine *engine;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void check(bool ok, const char *what)
{
	if (!ok) {
		fprintf(stderr, "test-threads: %s\n", what);
		abort();
	}
}

/* --- vCPU --- */

static bool cas(uint64_t f, uint16_t old, uint16_t new)
{
	return __atomic_compare_exchange_n(&table[f], &old, new, false,
					   __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

static bool trapped(uint64_t f)
{
	return __atomic_load_n(&gph_trapped_bitmap(engine)[f / BITS],
			       __ATOMIC_RELAXED) >> (f % BITS) & 1;
}

static void between_blocks(struct cpu *c)
{
	unsigned int request = __atomic_load_n(&flush_request,
					       __ATOMIC_ACQUIRE);

	if (request != c->seen) {
		memset(c->tlb, 0, sizeof(c->tlb));
		__atomic_store_n(&c->seen, request, __ATOMIC_RELEASE);
	}
}

/* The frame's memory, or NULL for a discard fault. */
static uint32_t *translate(struct cpu *c, uint64_t f)
{
	between_blocks(c);
	if (!c->tlb[f]) {
		if (trapped(f) && gph_access(engine, f, true) == GPH_FAULT) {
			c->faults++;
			return NULL;
		}
		c->tlb[f] = true;
	}
	return &mem[f];
}

static uint16_t offered_word(uint32_t value)
{
	return gph_make(VIRTIO_GPH_VOLATILE, 0, value & 0xff);
}

static void offer(struct cpu *c, uint64_t f, uint32_t value)
{
	uint32_t *p = translate(c, f);

	check(p, "a stable frame faults");
	*p = value;
	want[f] = value;
	check(cas(f, 0, offered_word(value)), "a stable word changed");
}

static void take_back(struct cpu *c, uint64_t f)
{
	uint32_t *p, value = want[f];

	want[f] = 0;
	if (cas(f, offered_word(value), 0)) {
		p = translate(c, f);
		check(p && *p == value, "a frame taken back has changed");
		c->kept++;
		return;
	}
	while (gph_state(__atomic_load_n(&table[f], __ATOMIC_ACQUIRE)) ==
	       VIRTIO_GPH_DISCARDING)
		translate(c, f);
	__atomic_store_n(&table[f], 0, __ATOMIC_RELEASE);
	c->lost++;
}

static void use(struct cpu *c, uint64_t f, unsigned int how)
{
	uint32_t *p;

	if (!want[f]) {
		offer(c, f, ++c->serial);
	} else if (how % 4) {
		p = translate(c, f);
		check(!p || *p == want[f], "an offered frame has changed");
	} else {
		take_back(c, f);
	}
}

static void *run_cpu(void *opaque)
{
	struct cpu *c = opaque;
	unsigned int seed = c->id + 1;

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		uint64_t f = rand_r(&seed) % NR_FRAMES;

		if (f % NR_CPUS == c->id)
			use(c, f, rand_r(&seed));
		between_blocks(c);
	}
	/* Nobody waits for this one any more. */
	__atomic_store_n(&c->seen, ~0u, __ATOMIC_RELEASE);
	return NULL;
}

/* --- host --- */

static void op_lock(void *opaque)
{
	pthread_mutex_lock(&mutex);
}

static void op_unlock(void *opaque)
{
	pthread_mutex_unlock(&mutex);
}

static void op_trap(void *opaque, const GphRun *runs, unsigned int n)
{
	check(!in_batch, "a batch begins in a batch");
	in_batch = true;
}

static int op_flush(void *opaque, const GphRun *runs, unsigned int n)
{
	unsigned int request = flush_request + 1;

	__atomic_store_n(&flush_request, request, __ATOMIC_RELEASE);
	for (unsigned int i = 0; i < NR_CPUS; i++)
		while (__atomic_load_n(&cpus[i].seen, __ATOMIC_ACQUIRE) <
		       request)
			sched_yield();
	return 0;
}

static void op_trap_end(void *opaque, const GphRun *runs, unsigned int n)
{
	check(in_batch, "a batch ends that did not begin");
	in_batch = false;
}

static void op_untrap(void *opaque, const GphRun *run)
{
}

static int op_punch(void *opaque, const GphRun *run)
{
	memset(&mem[run->start], 0, run->n * sizeof(*mem));
	return 0;
}

static uint64_t op_zero(void *opaque)
{
	return 0;
}

static const GphEngineOps ops = {
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

static void reclaim_for(unsigned int seconds)
{
	time_t end = time(NULL) + seconds;
	uint64_t seed = 1;
	GphReclaim r;

	while (time(NULL) < end) {
		gph_take_random(engine, &seed, 64);
		gph_reclaim_start(engine, &r, 64, 1);
		while (gph_reclaim_step(engine, &r) == GPH_RUNNING)
			;
	}
}

int main(int argc, char **argv)
{
	GphRun all = { 0, NR_FRAMES };
	unsigned int seconds = argc > 1 ? strtoul(argv[1], NULL, 0) : 5, i;
	unsigned long lost = 0, kept = 0, faults = 0;
	GphStats stats;

	engine = gph_engine_new(table, NR_FRAMES, &control, &ops, NULL);
	check(engine, "out of memory");
	gph_set_ranges(engine, &all, 1);
	for (i = 0; i < NR_CPUS; i++) {
		cpus[i].id = i;
		pthread_create(&cpus[i].thread, NULL, run_cpu, &cpus[i]);
	}
	reclaim_for(seconds);
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (i = 0; i < NR_CPUS; i++) {
		pthread_join(cpus[i].thread, NULL);
		lost += cpus[i].lost;
		kept += cpus[i].kept;
		faults += cpus[i].faults;
	}
	gph_get_stats(engine, &stats);
	for (i = 0; i < GPH_NR_VIOLATIONS; i++)
		check(!stats.violations[i], "an honest guest is blamed");
	check(lost && kept, "the two sides never met");
	printf("threads: %lu kept, %lu lost, %lu faults, %lu rescued\n", kept,
	       lost, faults, (unsigned long)stats.rescued);
	gph_engine_free(engine);
	return 0;
}
