// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Unit tests of the gph reclaim engine, and seeded schedules of a whole guest.
 *
 * GPH_SEED=n plays one seed only; GPH_SEEDS=n plays that many (default 3000).
 */
#include <errno.h>
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

#define NR_FRAMES	(7 * GPH_BLOCK_FRAMES + 101)
#define V(order, epoch)	gph_make(VIRTIO_GPH_VOLATILE, order, epoch)
#define U(order, epoch)	gph_make(VIRTIO_GPH_UNUSED, order, epoch)

#define SECOND		1000000

static struct sim *new_sim(void)
{
	struct sim *s = g_new(struct sim, 1);

	sim_init(s, NR_FRAMES);
	return s;
}

static void free_sim(struct sim *s)
{
	sim_fini(s);
	g_free(s);
}

static GphStats stats(struct sim *s)
{
	GphStats st;

	gph_get_stats(s->e, &st);
	return st;
}

static void volatile_frames(struct sim *s, uint64_t start, uint64_t n,
			    unsigned int epoch)
{
	for (uint64_t f = start; f < start + n; f++)
		sim_set_word(s, f, V(0, epoch));
}

static void test_empty(void)
{
	struct sim *s = new_sim();
	GphReclaim r = sim_reclaim(s, 100, SECOND);

	g_assert_cmpint(r.stop, ==, GPH_STOP_EMPTY);
	g_assert_cmpuint(r.discarded, ==, 0);
	g_assert_cmpuint(r.scanned, ==, NR_FRAMES);
	g_assert_cmpuint(s->flushes, ==, 0);
	free_sim(s);
}

static void test_take(void)
{
	struct sim *s = new_sim();
	uint32_t value;
	GphReclaim r;

	sim_set_word(s, 8, V(3, 5));
	sim_set_word(s, 20, U(0, 0));
	g_assert_false(sim_read(s, 9, &value));
	r = sim_reclaim(s, 1000, SECOND);
	g_assert_cmpint(r.stop, ==, GPH_STOP_EMPTY);
	g_assert_cmpuint(r.discarded, ==, 9);
	g_assert_cmpuint(r.freed_bytes, ==, 9 * 4096);
	g_assert_cmphex(sim_word(s, 8), ==,
			gph_make(VIRTIO_GPH_DISCARDED, 3, 5));
	g_assert_cmphex(sim_word(s, 20), ==,
			gph_make(VIRTIO_GPH_DISCARDED, 0, 0));
	for (uint64_t f = 0; f < NR_FRAMES; f++)
		g_assert_cmpint(s->mem[f] == 0, ==,
				(f >= 8 && f < 16) || f == 20);
	g_assert_true(sim_read(s, 15, &value));
	g_assert_false(sim_read(s, 16, &value));
	g_assert_cmpuint(stats(s).faults, ==, 1);
	free_sim(s);
}

/* A frame that the guest has settled comes back, and its neighbours with it. */
static void test_settle(void)
{
	struct sim *s = new_sim();
	uint32_t value;

	volatile_frames(s, 0, 64, 0);
	sim_reclaim(s, 64, SECOND);
	g_assert_true(sim_read(s, 3, &value));
	for (uint64_t f = 0; f < 32; f++)
		sim_set_word(s, f, 0);
	g_assert_false(sim_read(s, 3, &value));
	g_assert_cmpuint(value, ==, 0);
	g_assert_cmpuint(stats(s).reused, ==, 32);
	g_assert_true(sim_read(s, 40, &value));
	sim_set_word(s, 40, gph_make(VIRTIO_GPH_CLAIMED, 0, 0));
	g_assert_true(sim_read(s, 40, &value));
	free_sim(s);
}

/* Refilled by a device, so still trapped, and volatile once more. */
static void test_refilled(void)
{
	struct sim *s = new_sim();
	uint32_t value;

	sim_set_word(s, 7, V(0, 0));
	sim_reclaim(s, 1, SECOND);
	sim_set_word(s, 7, 0);
	s->mem[7] = 77;
	sim_set_word(s, 7, V(0, 1));
	g_assert_false(sim_read(s, 7, &value));
	g_assert_cmpuint(value, ==, 77);
	g_assert_cmpuint(sim_reclaim(s, 1, SECOND).discarded, ==, 1);
	g_assert_true(sim_read(s, 7, &value));
	/* Again, but it cannot be freed: that is a rescue, it has content. */
	sim_set_word(s, 7, 0);
	s->mem[7] = 78;
	sim_set_word(s, 7, V(0, 1));
	s->punch_error = -EIO;
	sim_reclaim(s, 1, SECOND);
	g_assert_cmpuint(stats(s).rescued, ==, 1);
	free_sim(s);
}

/*
 * Two reclaims that take turns, batch by batch.  The device does not do that:
 * each misses the blocks that the other has passed.  But no step depends on what
 * was in the engine before it, so nothing is taken twice and nothing is lost.
 */
static void test_interleaved(void)
{
	struct sim *s = new_sim();
	GphReclaim a, b;
	GphStop x, y;
	GphCensus c;
	uint64_t all;

	volatile_frames(s, 0, 7 * GPH_BLOCK_FRAMES, 0);
	gph_census(s->e, &c);
	all = c.state[VIRTIO_GPH_VOLATILE];
	g_assert_cmpuint(all, >, GPH_BATCH_FRAMES);
	gph_reclaim_start(s->e, &a, 3000, SECOND);
	gph_reclaim_start(s->e, &b, 3000, SECOND);
	do {
		x = gph_reclaim_step(s->e, &a);
		y = gph_reclaim_step(s->e, &b);
	} while (x == GPH_RUNNING || y == GPH_RUNNING);
	gph_census(s->e, &c);
	g_assert_cmpuint(a.discarded, <=, 3000);
	g_assert_cmpuint(b.discarded, <=, 3000);
	g_assert_cmpuint(a.discarded + b.discarded, ==,
			 c.state[VIRTIO_GPH_DISCARDED]);
	g_assert_cmpuint(c.discarded, ==, c.state[VIRTIO_GPH_DISCARDED]);
	g_assert_cmpuint(c.discarded + c.state[VIRTIO_GPH_VOLATILE], ==,
			 all);
	/* What was missed is there for the next one. */
	sim_reclaim(s, 7 * GPH_BLOCK_FRAMES, SECOND);
	g_assert_cmpuint(stats(s).discarded, ==, all);
	free_sim(s);
}

/* Blocks before long runs before short ones, whatever their age. */
static void test_classes(void)
{
	struct sim *s = new_sim();
	GphCensus c;

	s->control.epoch = 100;
	volatile_frames(s, 3, 5, 0);
	volatile_frames(s, 512 + 16, 32, 50);
	sim_set_word(s, 1024, V(9, 99));
	gph_census(s->e, &c);
	g_assert_cmpuint(c.takeable_class[GPH_CLASS_SHORT], ==, 5);
	g_assert_cmpuint(c.takeable_class[GPH_CLASS_LONG], ==, 32);
	g_assert_cmpuint(c.takeable_class[GPH_CLASS_BLOCK], ==, 512);
	g_assert_cmpint(sim_reclaim(s, 512, SECOND).stop, ==, GPH_STOP_GOAL);
	g_assert_cmpuint(s->first_punch, ==, 1024);
	g_assert_cmpuint(s->punches, ==, 1);
	sim_reclaim(s, 30, SECOND);
	g_assert_cmphex(sim_word(s, 3), ==, V(0, 0));
	g_assert_cmpuint(stats(s).discarded_class[GPH_CLASS_LONG], ==, 30);
	g_assert_cmpuint(stats(s).discarded_class[GPH_CLASS_BLOCK], ==, 512);
	free_sim(s);
}

/* Inside a class the oldest go first, unused before any. */
static void test_ages(void)
{
	struct sim *s = new_sim();
	static const uint16_t epochs[] = { 9, 3, 250, 7, 10, 200 };
	GphReclaim r;
	unsigned int i;

	s->control.epoch = 10;
	for (i = 0; i < 6; i++)
		sim_set_word(s, 100 + 2 * i, V(0, epochs[i]));
	sim_set_word(s, 120, U(0, 10));
	r = sim_reclaim(s, 1, SECOND);
	g_assert_cmpuint(s->first_punch, ==, 120);
	r = sim_reclaim(s, 3, SECOND);
	g_assert_cmpuint(r.discarded, ==, 3);
	for (i = 0; i < 6; i++) {
		bool old = epochs[i] == 200 || epochs[i] == 250 ||
			   epochs[i] == 3;

		g_assert_cmpint(gph_gone(sim_word(s, 100 + 2 * i)), ==, old);
	}
	free_sim(s);
}

static void test_goal_and_cursor(void)
{
	struct sim *s = new_sim();
	unsigned int taken = 0;

	volatile_frames(s, 0, 1500, 0);
	while (taken < 1500) {
		GphReclaim r = sim_reclaim(s, 100, SECOND);

		g_assert_cmpuint(r.discarded, ==, 100);
		g_assert_cmpint(r.stop, ==, GPH_STOP_GOAL);
		taken += 100;
	}
	g_assert_cmpint(sim_reclaim(s, 1, SECOND).stop, ==, GPH_STOP_EMPTY);
	free_sim(s);
}

static void test_time(void)
{
	struct sim *s = new_sim();
	GphReclaim r;

	volatile_frames(s, 0, 1500, 0);
	volatile_frames(s, 2048, 1500, 0);
	s->us_per_call = 100;
	r = sim_reclaim(s, 3000, 50);
	g_assert_cmpint(r.stop, ==, GPH_STOP_TIME);
	g_assert_cmpuint(r.discarded, <=, GPH_BATCH_FRAMES);
	g_assert_cmpuint(r.discarded, >, 0);
	free_sim(s);
}

static void test_punch_error(void)
{
	struct sim *s = new_sim();
	uint32_t value;
	GphCensus c;
	GphReclaim r;

	s->punch_error = -EIO;
	volatile_frames(s, 32, 8, 3);
	r = sim_reclaim(s, 8, SECOND);
	g_assert_cmpint(r.stop, ==, GPH_STOP_FAILED);
	g_assert_cmpuint(r.discarded, ==, 0);
	g_assert_cmphex(sim_word(s, 33), ==, V(0, 3));
	gph_census(s->e, &c);
	g_assert_cmpuint(c.trapped, ==, 0);
	g_assert_false(sim_read(s, 33, &value));
	g_assert_cmpuint(value, ==, s->want[33]);
	g_assert_cmpuint(stats(s).punch_errors, ==, 1);
	free_sim(s);
}

static void test_flush_error(void)
{
	struct sim *s = new_sim();
	GphCensus c;
	GphReclaim r;

	s->flush_error = -EAGAIN;
	volatile_frames(s, 32, 8, 3);
	r = sim_reclaim(s, 8, SECOND);
	g_assert_cmpint(r.stop, ==, GPH_STOP_FAILED);
	g_assert_cmpuint(s->punches, ==, 0);
	gph_census(s->e, &c);
	g_assert_cmpuint(c.trapped, ==, 0);
	g_assert_cmpuint(stats(s).flush_errors, ==, 1);
	free_sim(s);
}

static void test_reset(void)
{
	struct sim *s = new_sim();
	uint32_t value;
	GphCensus c;

	s->control.epoch = 9;
	volatile_frames(s, 0, 600, 0);
	sim_reclaim(s, 300, SECOND);
	gph_engine_reset(s->e);
	gph_census(s->e, &c);
	g_assert_cmpuint(c.trapped, ==, 0);
	g_assert_cmpuint(c.discarded, ==, 0);
	g_assert_cmpuint(s->control.epoch, ==, 0);
	for (uint64_t f = 0; f < NR_FRAMES; f++) {
		g_assert_cmphex(sim_word(s, f), ==, 0);
		g_assert_false(sim_read(s, f, &value));
	}
	free_sim(s);
}

/* What falls out of the map is untrapped, and is never taken again. */
static void test_ranges(void)
{
	struct sim *s = new_sim();
	uint32_t value;
	GphStats st;

	volatile_frames(s, 0, 100, 0);
	sim_reclaim(s, 100, SECOND);
	s->ranges[0] = (GphRun){ 50, 1000 };
	s->nr_ranges = 1;
	gph_set_ranges(s->e, s->ranges, 1);
	g_assert_false(sim_read(s, 49, &value));
	g_assert_true(sim_read(s, 50, &value));
	sim_set_word(s, 2048, V(9, 0));
	sim_set_word(s, 48, V(2, 0));		/* below: not wrong */
	sim_set_word(s, 1048, V(2, 0));		/* half in, half out */
	sim_set_word(s, NR_FRAMES - 1, V(0, 0));
	sim_reclaim(s, 10000, SECOND);
	st = stats(s);
	g_assert_cmpuint(st.discarded, ==, 100);
	g_assert_cmpuint(st.violations[GPH_BAD_RANGE], ==, 3);
	free_sim(s);
}

static void test_violations(void)
{
	struct sim *s = new_sim();
	GphStats st;

	sim_set_word(s, 10, 0x0006);				/* state 6 */
	sim_set_word(s, 11, gph_make(VIRTIO_GPH_VOLATILE, 12, 0));
	sim_set_word(s, 513, V(9, 0));				/* odd head */
	sim_set_word(s, 1024, V(4, 0));
	sim_set_word(s, 1030, V(0, 0));				/* its tail */
	sim_set_word(s, 2000, gph_make(VIRTIO_GPH_DISCARDING, 0, 0));
	sim_set_word(s, 2040, gph_make_pending(17));
	sim_reclaim(s, 10000, SECOND);
	st = stats(s);
	g_assert_cmpuint(st.violations[GPH_BAD_WORD], ==, 2);
	g_assert_cmpuint(st.violations[GPH_BAD_ALIGN], ==, 1);
	g_assert_cmpuint(st.violations[GPH_BAD_TAIL], ==, 1);
	g_assert_cmpuint(st.violations[GPH_BAD_OWNER], ==, 1);
	g_assert_cmpuint(st.violations[GPH_BAD_RANGE], ==, 0);
	g_assert_cmpuint(st.discarded, ==, 16);
	g_assert_cmphex(sim_word(s, 1030), ==, V(0, 0));
	free_sim(s);
}

/* A word alone makes no fault: the host must have taken the memory itself. */
static void test_master_copy(void)
{
	struct sim *s = new_sim();
	uint32_t value;

	sim_set_word(s, 5, gph_make(VIRTIO_GPH_DISCARDED, 0, 0));
	g_assert_false(sim_read(s, 5, &value));
	g_assert_cmpuint(value, ==, s->want[5]);
	/* Trapped, refilled by a device, and then a lie. */
	sim_set_word(s, 6, V(0, 0));
	s->flush_error = 0;
	sim_reclaim(s, 1, SECOND);
	sim_set_word(s, 6, 0);
	g_assert_false(sim_read(s, 6, &value));
	sim_set_word(s, 6, gph_make(VIRTIO_GPH_CLAIMED, 0, 0));
	g_assert_false(sim_read(s, 6, &value));
	g_assert_cmpuint(stats(s).faults, ==, 0);
	free_sim(s);
}

/* A page walk cannot fault: it gets zeros, and is counted. */
static void test_cannot_fault(void)
{
	struct sim *s = new_sim();
	uint32_t value;

	volatile_frames(s, 64, 2, 0);
	sim_reclaim(s, 2, SECOND);
	g_assert_cmpint(gph_access(s->e, 64, false), ==, GPH_RESUME);
	g_assert_cmpuint(stats(s).violations[GPH_BAD_ACCESS], ==, 1);
	g_assert_false(sim_read(s, 64, &value));
	g_assert_true(sim_read(s, 65, &value));
	g_assert_cmpint(gph_access(s->e, UINT64_MAX, true), ==, GPH_RESUME);
	free_sim(s);
}

/* --- migration --- */

struct needless {
	bool frame[NR_FRAMES];
	uint64_t next;		/* runs come in order and do not touch */
	uint64_t gone, offered;
};

static void note_needless(void *opaque, const GphRun *run, bool gone)
{
	struct needless *n = opaque;

	g_assert_cmpuint(run->n, >, 0);
	g_assert_cmpuint(run->start, >=, n->next);
	n->next = run->start + run->n;
	g_assert_cmpuint(n->next, <=, NR_FRAMES);
	memset(&n->frame[run->start], true, run->n);
	*(gone ? &n->gone : &n->offered) += run->n;
}

static void walk_needless(struct sim *s, bool takeable, struct needless *n)
{
	memset(n, 0, sizeof(*n));
	gph_walk_needless(s->e, takeable, note_needless, n);
}

/* What another host makes of @from's table and master copy; 0 or -errno. */
static int arrive(struct sim *to, struct sim *from, bool take, uint64_t *frames)
{
	g_autofree unsigned long *map = g_new0(unsigned long, NR_FRAMES / 8);

	gph_copy_discarded(from->e, map);
	memcpy(to->table, from->table, NR_FRAMES * sizeof(*to->table));
	return gph_arrive(to->e, map, take, frames);
}

static void test_needless(void)
{
	struct sim *s = new_sim(), *to = new_sim();
	struct needless n;
	uint64_t frames;
	uint32_t value;

	volatile_frames(s, 64, 4, 0);
	sim_reclaim(s, 4, SECOND);
	sim_set_word(s, 65, gph_make(VIRTIO_GPH_CLAIMED, 0, 0));
	sim_set_word(s, 66, 0);
	/* Beside what is gone: another kind, another run. */
	sim_set_word(s, 68, V(0, 0));
	sim_set_word(s, 70, gph_make(VIRTIO_GPH_DISCARDED, 0, 0));
	sim_set_word(s, 80, V(4, 7));
	sim_set_word(s, 96, U(0, 0));
	sim_set_word(s, 97, gph_make_pending(3));
	sim_set_word(s, 98, gph_make(VIRTIO_GPH_DISCARDING, 0, 0));
	walk_needless(s, true, &n);
	g_assert_cmpuint(n.gone, ==, 3);
	g_assert_cmpuint(n.offered, ==, 18);
	g_assert_false(n.frame[66] || n.frame[70] || n.frame[97] || n.frame[98]);
	for (uint64_t f = 0; f < NR_FRAMES; f++)
		g_assert_cmpint(gph_frame_needless(s->e, f, true), ==, n.frame[f]);
	g_assert_false(gph_frame_needless(s->e, NR_FRAMES, true));
	walk_needless(s, false, &n);
	g_assert_cmpuint(n.gone, ==, 3);
	g_assert_cmpuint(n.offered, ==, 0);
	g_assert_false(gph_frame_needless(s->e, 80, false));
	g_assert_true(gph_frame_needless(s->e, 65, false));

	g_assert_cmpint(arrive(to, s, false, &frames), ==, 0);
	g_assert_cmpuint(frames, ==, 3);
	g_assert_cmphex(sim_word(to, 80), ==, V(4, 7));
	g_assert_true(sim_read(to, 64, &value));
	g_assert_false(sim_read(to, 66, &value));
	g_assert_false(sim_read(to, 70, &value));
	g_assert_cmpuint(value, ==, to->want[70]);
	g_assert_false(sim_read(to, 80, &value));

	/* Again, as a snapshot is loaded: nothing of before stays trapped. */
	sim_set_word(s, 64, 0);
	g_assert_cmpint(arrive(to, s, true, &frames), ==, 0);
	g_assert_cmpuint(frames, ==, 20);
	g_assert_false(sim_read(to, 64, &value));
	g_assert_true(sim_read(to, 95, &value));
	g_assert_cmphex(sim_word(to, 80), ==,
			gph_make(VIRTIO_GPH_DISCARDED, 4, 7));
	g_assert_cmpuint(stats(to).rescued + stats(to).reused, ==, 0);
	free_sim(s);
	free_sim(to);
}

static void test_arrive_errors(void)
{
	struct sim *s = new_sim(), *to = new_sim();
	uint64_t frames;

	volatile_frames(s, 64, 4, 0);
	to->flush_error = -EAGAIN;
	g_assert_cmpint(arrive(to, s, true, &frames), ==, -EAGAIN);
	to->flush_error = 0;
	to->punch_error = -EIO;
	g_assert_cmpint(arrive(to, s, true, &frames), ==, -EIO);
	to->punch_error = 0;
	g_assert_cmpint(arrive(to, s, true, &frames), ==, 0);
	free_sim(s);
	free_sim(to);
}

/* Any table: both sides agree, and only what is needless is dropped. */
static void arrive_seed(uint32_t seed)
{
	g_autofree struct needless *sent = g_new(struct needless, 1);
	g_autofree struct needless *there = g_new(struct needless, 1);
	GRand *rand = g_rand_new_with_seed(seed);
	struct sim *s = new_sim(), *to = new_sim();
	uint64_t f, frames;
	int i;

	/* Whole tables of nonsense: what the blocks between hold is checked here. */
	s->lying = to->lying = false;
	for (i = 0; i < 3; i++) {
		for (f = 0; f < NR_FRAMES; f++) {
			if (!g_rand_int_range(rand, 0, 3))
				sim_set_word(s, f, g_rand_int(rand) & 0xffd7);
		}
		sim_reclaim(s, g_rand_int_range(rand, 1, 2000), SECOND);
	}
	walk_needless(s, true, sent);
	g_assert_cmpint(arrive(to, s, true, &frames), ==, 0);
	g_assert_cmpuint(frames, ==, sent->gone + sent->offered);
	walk_needless(to, true, there);
	g_assert_cmpuint(there->offered, ==, 0);
	for (f = 0; f < NR_FRAMES; f++) {
		g_assert_cmpint(sent->frame[f], ==, there->frame[f]);
		g_assert_cmpint(sent->frame[f], ==,
				gph_trapped_bitmap(to->e)[f / 64] >> f % 64 & 1);
		g_assert_cmpint(sent->frame[f], ==, !to->mem[f]);
	}
	free_sim(s);
	free_sim(to);
	g_rand_free(rand);
}

static void test_arrive_nonsense(void)
{
	for (uint32_t seed = 1; seed <= 50; seed++)
		arrive_seed(seed);
}

static void play_seed(uint32_t seed, bool lying)
{
	GRand *rand = g_rand_new_with_seed(seed);
	size_t i, len = 200 + seed % 3000;
	g_autofree uint8_t *data = g_malloc(len);
	struct sim *s = new_sim();

	g_snprintf(sim_repeat, sizeof(sim_repeat), "repeat with GPH_SEED=%u %s",
		   seed, lying ? "lying" : "honest");
	for (i = 0; i < len; i++)
		data[i] = g_rand_int(rand);
	sim_play(s, data, len, lying);
	free_sim(s);
	g_rand_free(rand);
}

static void play_seeds(gconstpointer lying)
{
	const char *one = g_getenv("GPH_SEED"), *many = g_getenv("GPH_SEEDS");
	uint32_t n = many ? strtoul(many, NULL, 0) : 3000, seed;

	if (one) {
		play_seed(strtoul(one, NULL, 0), lying);
		return;
	}
	for (seed = 1; seed <= n; seed++)
		play_seed(seed, lying);
	g_test_message("%u seeds", n);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/engine/empty", test_empty);
	g_test_add_func("/engine/take", test_take);
	g_test_add_func("/engine/settle", test_settle);
	g_test_add_func("/engine/refilled", test_refilled);
	g_test_add_func("/engine/classes", test_classes);
	g_test_add_func("/engine/ages", test_ages);
	g_test_add_func("/engine/goal-and-cursor", test_goal_and_cursor);
	g_test_add_func("/engine/time", test_time);
	g_test_add_func("/engine/punch-error", test_punch_error);
	g_test_add_func("/engine/flush-error", test_flush_error);
	g_test_add_func("/engine/reset", test_reset);
	g_test_add_func("/engine/interleaved", test_interleaved);
	g_test_add_func("/engine/ranges", test_ranges);
	g_test_add_func("/engine/violations", test_violations);
	g_test_add_func("/engine/master-copy", test_master_copy);
	g_test_add_func("/engine/cannot-fault", test_cannot_fault);
	g_test_add_func("/engine/needless", test_needless);
	g_test_add_func("/engine/arrive-errors", test_arrive_errors);
	g_test_add_func("/engine/arrive-nonsense", test_arrive_nonsense);
	g_test_add_data_func("/engine/honest-guest", NULL, play_seeds);
	g_test_add_data_func("/engine/lying-guest", "lying", play_seeds);
	return g_test_run();
}
