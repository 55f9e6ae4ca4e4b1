// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A simulated guest and host under the gph reclaim engine: the simulation.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

char sim_repeat[80] = "(no seed)";

void sim_fail(const char *what, const char *file, int line)
{
	fprintf(stderr, "%s:%d: check failed: %s; %s\n", file, line, what,
		sim_repeat);
	abort();
}

/* --- the stream --- */

static unsigned int next(struct sim *s)
{
	if (!s->left)
		return 0;
	s->left--;
	return *s->data++;
}

static uint64_t next_frame(struct sim *s)
{
	uint64_t n = next(s) << 8;

	return (n | next(s)) % s->nr;
}

/* --- host --- */

static void guest_steps(struct sim *s);

static void op_lock(void *opaque)
{
	struct sim *s = opaque;

	sim_check(!s->locked);
	s->locked = 1;
}

static void op_unlock(void *opaque)
{
	struct sim *s = opaque;

	sim_check(s->locked);
	s->locked = 0;
	guest_steps(s);
}

static void op_trap(void *opaque, const GphRun *runs, unsigned int n)
{
	struct sim *s = opaque;

	sim_check(s->locked && n && !s->batches);
	s->batches++;
	s->nr_runs = n;
	s->first = runs[0];
	memset(s->punched, 0, s->nr * sizeof(*s->punched));
	for (unsigned int i = 0; i < n; i++)
		sim_check(runs[i].n && runs[i].start + runs[i].n <= s->nr);
}

static bool trapped(const struct sim *s, uint64_t frame)
{
	const unsigned int bits = 8 * sizeof(unsigned long);

	return gph_trapped_bitmap(s->e)[frame / bits] >> (frame % bits) & 1;
}

/* The second of two users fails: the first has closed what it was told to. */
static int op_flush(void *opaque, const GphRun *runs, unsigned int n)
{
	struct sim *s = opaque;
	uint64_t f;

	sim_check(!s->locked && s->batches);
	s->flushes++;
	guest_steps(s);
	for (unsigned int i = 0; i < n; i++) {
		for (f = runs[i].start; f < runs[i].start + runs[i].n; f++) {
			s->closed[f] = true;
			if (!s->flush_error)
				s->tlb[f] = false;
		}
	}
	guest_steps(s);
	return s->flush_error;
}

/* Whatever came between, the books are balanced. */
static void op_trap_end(void *opaque, const GphRun *runs, unsigned int n)
{
	struct sim *s = opaque;

	sim_check(s->locked && s->batches == 1);
	s->batches--;
	sim_check(n == s->nr_runs && runs[0].start == s->first.start &&
		  runs[0].n == s->first.n);
	for (uint64_t f = 0; f < s->nr; f++)
		sim_check(s->closed[f] == trapped(s, f));
}

static void op_untrap(void *opaque, const GphRun *run)
{
	struct sim *s = opaque;

	sim_check(s->locked && run->n);
	sim_check(run->start + run->n <= s->nr);
	for (uint64_t f = run->start; f < run->start + run->n; f++) {
		sim_check(!trapped(s, f));
		s->closed[f] = false;
	}
}

static bool in_ranges(const struct sim *s, const GphRun *run)
{
	for (unsigned int i = 0; i < s->nr_ranges; i++) {
		const GphRun *r = &s->ranges[i];

		if (run->start >= r->start &&
		    run->start + run->n <= r->start + r->n)
			return true;
	}
	return false;
}

static void check_punch(struct sim *s, uint64_t f)
{
	sim_check(!s->tlb[f]);
	sim_check(trapped(s, f));
	sim_check(!s->punched[f]);
	s->punched[f] = true;
	if (s->lying)
		sim_check(f / GPH_BLOCK_FRAMES % 2 == 0);
	else if (s->head[f])
		sim_check(gph_state(sim_word(s, s->head[f] - 1)) ==
			  VIRTIO_GPH_DISCARDING);
	else
		sim_check(s->quiet);
}

static int op_punch(void *opaque, const GphRun *run)
{
	struct sim *s = opaque;
	uint64_t f;

	sim_check(s->locked && s->batches);
	sim_check(in_ranges(s, run));
	for (f = run->start; f < run->start + run->n; f++)
		check_punch(s, f);
	guest_steps(s);
	if (s->punch_error)
		return s->punch_error;
	if (!s->punches++)
		s->first_punch = run->start;
	memset(&s->mem[run->start], 0, run->n * sizeof(*s->mem));
	guest_steps(s);
	return 0;
}

static uint64_t op_allocated(void *opaque)
{
	struct sim *s = opaque;
	uint64_t n = 0;

	for (uint64_t f = 0; f < s->nr; f++)
		n += s->mem[f] != 0;
	return n << VIRTIO_GPH_FRAME_SHIFT;
}

static uint64_t op_now_us(void *opaque)
{
	struct sim *s = opaque;

	s->now_us += s->us_per_call;
	return s->now_us;
}

static const GphEngineOps ops = {
	.lock = op_lock,
	.unlock = op_unlock,
	.trap = op_trap,
	.flush = op_flush,
	.trap_end = op_trap_end,
	.untrap = op_untrap,
	.punch = op_punch,
	.allocated = op_allocated,
	.now_us = op_now_us,
};

/* --- guest --- */

gph_word_t sim_word(const struct sim *s, uint64_t frame)
{
	return __atomic_load_n(&s->table[frame], __ATOMIC_RELAXED);
}

void sim_set_word(struct sim *s, uint64_t frame, gph_word_t word)
{
	__atomic_store_n(&s->table[frame], word, __ATOMIC_RELAXED);
}

static void fill(struct sim *s, uint64_t frame)
{
	s->mem[frame] = s->want[frame] = ++s->serial;
}

bool sim_read(struct sim *s, uint64_t frame, uint32_t *value)
{
	if (!s->tlb[frame]) {
		if (trapped(s, frame) &&
		    gph_access(s->e, frame, true) == GPH_FAULT)
			return true;
		/* The fill: a bit set from here on is followed by a flush. */
		s->tlb[frame] = true;
	}
	*value = s->mem[frame];
	return false;
}

static unsigned int unit_frames(const struct sim *s, uint64_t head)
{
	unsigned int n = 0;

	while (head + n < s->nr && s->head[head + n] == head + 1)
		n++;
	return n;
}

static void downgrade(struct sim *s)
{
	unsigned int order = next(s) % 16, state = next(s) % 4;
	uint64_t f, head, n;
	GphRun run;

	order = order > VIRTIO_GPH_MAX_ORDER ? 0 : order;
	n = 1ull << order;
	head = next_frame(s) & ~(n - 1);
	run = (GphRun){ head, n };
	if (head + n > s->nr || !in_ranges(s, &run))
		return;
	for (f = head; f < head + n; f++)
		if (s->head[f] || !s->want[f])
			return;
	for (f = head; f < head + n; f++)
		s->head[f] = head + 1;
	state = state ? VIRTIO_GPH_VOLATILE : VIRTIO_GPH_UNUSED;
	sim_set_word(s, head, gph_make(state, order, s->control.epoch));
}

/* The unit is STABLE again; without content if it was discarded. */
static void take_back(struct sim *s, uint64_t head, bool lost)
{
	unsigned int n = unit_frames(s, head);

	for (uint64_t f = head; f < head + n; f++) {
		s->head[f] = 0;
		if (lost)
			s->want[f] = 0;
	}
}

static void upgrade(struct sim *s)
{
	uint64_t frame = next_frame(s), head;
	gph_word_t word;
	bool lost;

	if (!s->head[frame])
		return;
	head = s->head[frame] - 1;
	word = sim_word(s, head);
	lost = gph_gone(word);
	if (gph_state(word) == VIRTIO_GPH_DISCARDED && next(s) % 2)
		gph_claim(&word);
	else if (!gph_upgrade(&word) && !gph_settle(&word) &&
		 !gph_release(&word))
		return;
	sim_set_word(s, head, word);
	if (!word)
		take_back(s, head, lost);
}

/* A device writes to memory that the guest has no content in. */
static void refill(struct sim *s)
{
	uint64_t frame = next_frame(s);

	if (!s->head[frame] && !s->want[frame])
		fill(s, frame);
}

static void read_honest(struct sim *s, uint64_t frame)
{
	gph_word_t word = 0;
	uint32_t value;
	bool fault;

	fault = sim_read(s, frame, &value);
	if (s->head[frame])
		word = sim_word(s, s->head[frame] - 1);
	sim_check(fault == gph_gone(word));
	if (!fault && gph_state(word) != VIRTIO_GPH_UNUSED)
		sim_check(value == s->want[frame]);
}

static void lie(struct sim *s)
{
	static const uint16_t masks[] = { 0xffff, 0xff97, 0x00f7, 0xff07 };
	uint64_t frame = next_frame(s);
	unsigned int word = next(s);

	if (frame / GPH_BLOCK_FRAMES % 2)
		return;
	word |= next(s) << 8;
	if (next(s) & 1)
		frame &= ~(uint64_t)((1u << gph_order(word & 0x7f)) - 1);
	sim_set_word(s, frame, word & masks[next(s) % 4]);
}

static void read_lying(struct sim *s, uint64_t frame)
{
	bool own = frame / GPH_BLOCK_FRAMES % 2 == 0;
	uint32_t value;

	if (sim_read(s, frame, &value))
		sim_check(own && !s->mem[frame]);
	else
		sim_check(value == s->want[frame] || (own && !value));
}

static void reset_guest(struct sim *s)
{
	bool busy = s->busy;

	s->busy = true;
	gph_engine_reset(s->e);
	s->busy = busy;
	for (uint64_t f = 0; f < s->nr; f++) {
		sim_check(!trapped(s, f) && !sim_word(s, f));
		s->head[f] = 0;
		fill(s, f);
	}
}

static void guest_step(struct sim *s)
{
	unsigned int what = next(s) % 8;

	if (what >= 5 && s->locked)
		return;		/* a vCPU would wait for the lock */
	if (what >= 5 && s->lying)
		read_lying(s, next_frame(s));
	else if (what >= 5)
		read_honest(s, next_frame(s));
	else if (!s->locked && what == 3 && next(s) >= 0xfc)
		reset_guest(s);
	else if (s->lying)
		lie(s);
	else if (what == 4)
		s->control.epoch++;
	else if (what == 3)
		refill(s);
	else if (what == 2)
		upgrade(s);
	else
		downgrade(s);
}

static void guest_steps(struct sim *s)
{
	unsigned int n;

	if (s->quiet || s->busy || !s->left)
		return;
	s->busy = true;
	for (n = next(s) % 4; n; n--)
		guest_step(s);
	s->busy = false;
}

/* --- driver --- */

GphReclaim sim_reclaim(struct sim *s, uint64_t frames, uint64_t max_us)
{
	GphReclaim r;

	gph_reclaim_start(s->e, &r, frames, max_us);
	while (gph_reclaim_step(s->e, &r) == GPH_RUNNING)
		sim_check(!s->batches);
	sim_check(!s->batches);
	return r;
}

void sim_init(struct sim *s, uint64_t nr_frames)
{
	memset(s, 0, sizeof(*s));
	s->nr = nr_frames;
	s->quiet = true;
	/* To the byte, so that a read past the end is seen. */
	s->table = calloc(nr_frames, sizeof(*s->table));
	s->mem = calloc(nr_frames, sizeof(*s->mem));
	s->want = calloc(nr_frames, sizeof(*s->want));
	s->tlb = calloc(nr_frames, sizeof(*s->tlb));
	s->closed = calloc(nr_frames, sizeof(*s->closed));
	s->punched = calloc(nr_frames, sizeof(*s->punched));
	s->head = calloc(nr_frames, sizeof(*s->head));
	s->e = gph_engine_new(s->table, nr_frames, &s->control, &ops, s);
	sim_check(s->e);
	/* A hole in the middle, and an end that is no whole block. */
	s->ranges[0] = (GphRun){ 0, nr_frames / 2 - 37 };
	s->ranges[1] = (GphRun){ nr_frames / 2, nr_frames - nr_frames / 2 };
	s->nr_ranges = 2;
	gph_set_ranges(s->e, s->ranges, s->nr_ranges);
	for (uint64_t f = 0; f < nr_frames; f++)
		fill(s, f);
}

void sim_fini(struct sim *s)
{
	gph_engine_free(s->e);
	free(s->table);
	free(s->mem);
	free(s->want);
	free(s->tlb);
	free(s->closed);
	free(s->punched);
	free(s->head);
}

static void host_step(struct sim *s)
{
	uint64_t seed = next(s) + 1;
	unsigned int what = next(s) % 32;

	s->punch_error = what == 31 ? -EIO : 0;
	s->flush_error = what == 30 ? -EAGAIN : 0;
	if (what == 0)
		reset_guest(s);
	else if (what < 8)
		gph_take_random(s->e, &seed, next(s) * 16);
	else
		sim_reclaim(s, next(s) * 16 + 1, 1000);
}

static void check_honest_end(struct sim *s)
{
	GphStats stats;
	GphCensus c;
	unsigned int i;

	gph_get_stats(s->e, &stats);
	for (i = 0; i < GPH_NR_VIOLATIONS; i++)
		sim_check(!stats.violations[i]);
	gph_census(s->e, &c);
	sim_check(!c.state[VIRTIO_GPH_DISCARDING]);
}

void sim_play(struct sim *s, const uint8_t *data, size_t len, bool lying)
{
	uint64_t f;

	s->data = data;
	s->left = len;
	s->lying = lying;
	s->quiet = false;
	s->us_per_call = 1;
	while (s->left) {
		guest_steps(s);
		guest_steps(s);
		host_step(s);
	}
	s->quiet = true;
	for (f = 0; f < s->nr; f++) {
		if (lying)
			read_lying(s, f);
		else
			read_honest(s, f);
	}
	if (!lying)
		check_honest_end(s);
}
