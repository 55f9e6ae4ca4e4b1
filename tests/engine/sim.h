/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A simulated guest and host under the gph reclaim engine.
 *
 * One thread, driven by a stream of bytes: what happens, and when, is read from
 * the stream, also in the middle of a batch (in the flush, during the punch,
 * between two holds of the lock).  So a stream is a schedule, a failing one can
 * be played again, and a fuzzer can search for others.
 *
 * Memory is one number per frame, zero where there is a hole.  An honest guest
 * follows the protocol and knows what each frame must hold; a lying one writes
 * what it likes into the words of every other block, and the blocks between
 * them must not notice.
 */
#ifndef GPH_TEST_SIM_H
#define GPH_TEST_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gph-engine.h"

struct sim {
	uint64_t nr;
	uint16_t *table;
	struct virtio_gph_control control;
	GphEngine *e;
	GphRun ranges[4];
	unsigned int nr_ranges;

	uint32_t *mem;		/* what is in the frame */
	uint32_t *want;		/* what the guest expects there, 0: nothing */
	bool *tlb;		/* a vCPU translates it */
	bool *closed;		/* a user has closed it, not at once as the TLB */
	unsigned int batches;	/* begun and not ended: 0 or 1 */
	GphRun first;		/* of that batch */
	unsigned int nr_runs;
	bool *punched;		/* in this batch */
	uint64_t *head;		/* honest guest: 1 + head of its unit, or 0 */
	uint32_t serial;

	bool lying;
	bool quiet;		/* no guest steps inside callbacks */
	bool busy;		/* inside a guest step */
	unsigned int locked;
	int punch_error;	/* what ->punch() returns, if not 0 */
	int flush_error;
	uint64_t now_us;
	uint64_t us_per_call;
	unsigned int flushes;
	uint64_t first_punch;	/* frame */
	unsigned int punches;

	const uint8_t *data;	/* the stream */
	size_t left;
};

/* Ends the program, naming the place, if @cond is false. */
#define sim_check(cond)							\
	do {								\
		if (!(cond))						\
			sim_fail(#cond, __FILE__, __LINE__);		\
	} while (0)
void sim_fail(const char *what, const char *file, int line)
	__attribute__((noreturn));
/* Named in sim_fail(): how to get the same run again. */
extern char sim_repeat[80];

void sim_init(struct sim *s, uint64_t nr_frames);
void sim_fini(struct sim *s);
gph_word_t sim_word(const struct sim *s, uint64_t frame);
void sim_set_word(struct sim *s, uint64_t frame, gph_word_t word);
/* A vCPU reads the frame: fills its TLB, or faults (true). */
bool sim_read(struct sim *s, uint64_t frame, uint32_t *value);
/* Drive reclaim to its end. */
GphReclaim sim_reclaim(struct sim *s, uint64_t frames, uint64_t max_us);
/* Play @data, then check every frame. */
void sim_play(struct sim *s, const uint8_t *data, size_t len, bool lying);

#endif /* GPH_TEST_SIM_H */
