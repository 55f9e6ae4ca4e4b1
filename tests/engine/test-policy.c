// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Unit tests of the pressure policy and of the parsers of the kernel's files.
 *
 * Scenarios run the policy against a small model of a host: a guest that fills
 * memory at some speed, and limits that this fills.  What was taken and what the
 * kernel would have had to swap is counted.
 */
#include <glib.h>
#include <inttypes.h>
#include <string.h>

#include "gph-policy.h"
#include "gph-readings.h"

#define KIB	UINT64_C(1024)
#define MIB	(KIB * 1024)
#define GIB	(MIB * 1024)
#define MS	UINT64_C(1000)
#define SECOND	(1000 * MS)

/* --- one look at a time --- */

static GphPolicySettings settings(void)
{
	GphPolicySettings set = gph_policy_defaults();

	set.floor = 100 * MIB;
	set.rate = 100 * GIB;
	return set;
}

struct bench {
	GphPolicy p;
	GphLimit limit;
	GphReadings r;
};

/* A guest of 2 GiB that has 1 GiB, in a cgroup of 1000 MiB. */
static void bench_init(struct bench *b, GphPolicySettings set)
{
	memset(b, 0, sizeof(*b));
	gph_policy_init(&b->p, &set);
	b->limit.limit = 1000 * MIB;
	b->r.now_us = 1000 * SECOND;
	b->r.guest_bytes = 2 * GIB;
	b->r.resident = 800 * MIB;
	b->r.nr_limits = 1;
}

static GphVerdict look_after(struct bench *b, uint64_t us, uint64_t free_mib)
{
	b->r.limits = &b->limit;
	b->r.now_us += us;
	b->limit.used = b->limit.limit - free_mib * MIB;
	return gph_policy_look(&b->p, &b->r);
}

static GphVerdict look(struct bench *b, uint64_t free_mib)
{
	return look_after(b, 60 * SECOND, free_mib);
}

static void test_thresholds(void)
{
	struct bench b;
	GphVerdict v;

	bench_init(&b, settings());
	v = look(&b, 101);
	g_assert_cmpuint(v.take, ==, 0);
	g_assert_false(b.p.episode);
	/* Begins below 10 %, takes what is missing to 15 %. */
	v = look(&b, 99);
	g_assert_true(b.p.episode);
	g_assert_false(b.p.critical);
	g_assert_cmpuint(v.take, ==, 51 * MIB);
	/* Goes on up to 15 %, then ends, and does not begin again above 10. */
	v = look(&b, 120);
	g_assert_true(b.p.episode);
	g_assert_cmpuint(v.take, ==, 30 * MIB);
	g_assert_cmpuint(v.next_us, ==, GPH_POLICY_LOOK_US);
	v = look(&b, 151);
	g_assert_false(b.p.episode);
	g_assert_cmpuint(v.take, ==, 0);
	v = look(&b, 120);
	g_assert_false(b.p.episode);
	g_assert_cmpuint(v.take, ==, 0);
	g_assert_cmpuint(b.p.episodes, ==, 1);
	g_assert_cmpuint(b.p.headroom, ==, 120 * MIB);
	/* What is missing at the end is too little to be taken: that is an end. */
	look(&b, 99);
	g_assert_true(b.p.episode);
	b.limit.reclaimable = MIB - 4096;
	v = look(&b, 149);
	g_assert_cmpuint(v.take, ==, 0);
	g_assert_false(b.p.episode);
}

static void test_critical(void)
{
	struct bench b;
	GphVerdict v;

	bench_init(&b, settings());
	b.p.set.step_percent = 1;
	v = look(&b, 60);
	g_assert_false(b.p.critical);
	g_assert_cmpuint(v.take, ==, 2 * GIB / 100);
	v = look(&b, 40);
	g_assert_true(b.p.critical);
	g_assert_cmpuint(v.take, ==, 110 * MIB);
	v = look(&b, 60);
	g_assert_false(b.p.critical);
}

static void test_reclaimable(void)
{
	struct bench b;

	bench_init(&b, settings());
	b.limit.reclaimable = 60 * MIB;
	g_assert_cmpuint(look(&b, 50).take, ==, 0);
	b.limit.reclaimable = 10 * MIB;
	g_assert_cmpuint(look(&b, 50).take, ==, 90 * MIB);
	/* More than there is cannot go. */
	b.limit.reclaimable = UINT64_MAX;
	look(&b, 50);
	g_assert_cmpuint(b.p.headroom, ==, 1000 * MIB);
}

static void test_floor(void)
{
	struct bench b;
	GphVerdict v;

	bench_init(&b, settings());
	b.r.resident = 120 * MIB;
	/* It may come in units of 2 MiB. */
	g_assert_cmpuint(look(&b, 10).take, ==, 18 * MIB);
	b.r.resident = 100 * MIB;
	v = look(&b, 0);
	g_assert_true(b.p.critical);
	g_assert_cmpuint(v.take, ==, 0);
	/* Nothing to hurry for. */
	g_assert_cmpuint(v.next_us, >, GPH_POLICY_LOOK_US);
	g_assert_cmpuint(v.next_us, <=, SECOND);
	b.r.resident = 0;
	g_assert_cmpuint(look(&b, 0).take, ==, 0);
	/* Nor for less than a MiB. */
	b.r.resident = 102 * MIB + 4096;
	g_assert_cmpuint(look(&b, 0).take, ==, 0);
}

static void test_rate(void)
{
	GphPolicySettings set = settings();
	struct bench b;
	GphVerdict v;
	int i;

	set.rate = 20 * MIB;
	bench_init(&b, set);
	v = look(&b, 10);
	g_assert_cmpuint(v.take, ==, 20 * MIB);
	gph_policy_taken(&b.p, b.r.now_us, v.take, v.take, 0);
	g_assert_cmpuint(look_after(&b, 10 * MS, 10).take, ==, 0);
	v = look_after(&b, 490 * MS, 10);
	g_assert_cmpuint(v.take / KIB, ==, 10 * KIB - 1); /* rounded down */
	gph_policy_taken(&b.p, b.r.now_us, v.take, v.take, 0);
	/* What was not used is worth one second, not ten. */
	v = look_after(&b, 10 * SECOND, 10);
	g_assert_cmpuint(v.take, ==, 20 * MIB);
	gph_policy_taken(&b.p, b.r.now_us, v.take, v.take, 0);
	for (i = 0; i < 100; i++) {
		v = look_after(&b, 50 * MS, 10);
		if (v.take)
			gph_policy_taken(&b.p, b.r.now_us, v.take, v.take, 0);
	}
	g_assert_cmpuint(b.p.taken_bytes, <=, (20 + 10 + 20 + 100) * MIB);
	g_assert_cmpuint(b.p.taken_bytes, >=, (20 + 10 + 20 + 98) * MIB);
}

/* Of the host's memory a guest gives as much as it has of it. */
static void test_host_share(void)
{
	struct bench b;
	GphVerdict v;

	bench_init(&b, settings());
	b.limit = (GphLimit){ .limit = 100 * GIB, .host = true, .shared = true };
	b.p.set.step_percent = 100;
	v = look(&b, 21 * 1024);
	g_assert_cmpuint(v.take, ==, 0);
	b.r.resident = 850 * MIB;
	v = look(&b, 15 * 1024);
	/* 10 GiB are missing; it has 850 MiB of 85 GiB. */
	g_assert_cmpuint(v.take, >=, 99 * MIB);
	g_assert_cmpuint(v.take, <=, 101 * MIB);
	/* When it is critical everybody gives all. */
	v = look(&b, 4 * 1024);
	g_assert_cmpuint(v.take, ==, 748 * MIB);
}

/* Of several limits the tightest counts. */
static void test_limits(void)
{
	GphLimit limits[3] = {
		{ .limit = 1000 * MIB, .used = 500 * MIB },
		{ .limit = 4000 * MIB, .used = 3700 * MIB, .shared = true },
		{ .limit = 64 * GIB, .used = GIB, .host = true, .shared = true },
	};
	struct bench b;
	GphVerdict v;

	bench_init(&b, settings());
	b.r.limits = limits;
	b.r.nr_limits = 1;
	g_assert_cmpuint(gph_policy_look(&b.p, &b.r).take, ==, 0);
	b.r.nr_limits = 3;
	b.r.now_us += 60 * SECOND;
	v = gph_policy_look(&b.p, &b.r);
	g_assert_cmpuint(v.take, ==, 2 * GIB / 20);
	g_assert_cmpuint(b.p.headroom, ==, 300 * MIB);
	b.r.nr_limits = 0;
	b.r.now_us += 60 * SECOND;
	v = gph_policy_look(&b.p, &b.r);
	g_assert_cmpuint(v.take, ==, 0);
	g_assert_cmpuint(v.next_us, ==, GPH_POLICY_EVENT);
	b.r.nr_limits = UINT32_MAX;
	b.r.limits = g_new0(GphLimit, GPH_POLICY_MAX_LIMITS);
	gph_policy_look(&b.p, &b.r);
	g_free((void *)b.r.limits);
}

/* When the next look is, without pressure. */
static void test_next(void)
{
	struct bench b;
	GphVerdict v;

	bench_init(&b, settings());
	/* The guest may yet use 1248 MiB, and this is all that can fill it. */
	b.limit.limit = 10000 * MIB;
	v = look(&b, 1000 + 1300);
	g_assert_cmpuint(v.next_us, ==, GPH_POLICY_EVENT);
	b.limit.shared = true;
	v = look(&b, 1000 + 4096);
	g_assert_cmpuint(v.next_us, ==, SECOND);
	v = look(&b, 10000);
	g_assert_cmpuint(v.next_us, >, SECOND);
	b.limit.limit = UINT64_MAX / 2;
	v = look(&b, (UINT64_MAX / 2 - 5) / MIB);
	g_assert_cmpuint(v.next_us, ==, GPH_POLICY_FAR_US);
	/* In reach: no later than it can be there at 1 GiB/s. */
	bench_init(&b, settings());
	b.limit.limit = 10000 * MIB;
	v = look(&b, 1000 + 1024);
	g_assert_cmpuint(v.next_us, ==, SECOND);
	v = look(&b, 1000 + 512);
	g_assert_cmpuint(v.next_us, ==, SECOND / 2);
	/* Near, and growing; then idle. */
	b.r.resident += 2 * MIB;
	v = look(&b, 1000 + 10);
	g_assert_cmpuint(v.next_us, ==, GPH_POLICY_LOOK_US);
	v = look(&b, 1000 + 10);
	g_assert_cmpuint(v.next_us, ==, 2 * GPH_POLICY_LOOK_US);
	look(&b, 1000 + 10);
	v = look(&b, 1000 + 10);
	g_assert_cmpuint(v.next_us, ==, 250 * MS);
	b.r.resident += 2 * MIB;
	v = look(&b, 1000 + 10);
	g_assert_cmpuint(v.next_us, ==, GPH_POLICY_LOOK_US);
}

static void test_stall(void)
{
	struct bench b;
	GphVerdict v;

	bench_init(&b, settings());
	g_assert_cmpuint(look(&b, 500).take, ==, 0);
	b.r.stall = true;
	v = look(&b, 500);
	g_assert_cmpuint(v.take, ==, 40 * MIB);
	g_assert_false(b.p.episode);
	v = gph_policy_taken(&b.p, b.r.now_us, v.take, v.take, 0);
	b.r.stall = false;
	g_assert_cmpuint(look(&b, 500).take, ==, 0);
	/* Not below the floor either. */
	b.r.stall = true;
	b.r.resident = 100 * MIB;
	g_assert_cmpuint(look(&b, 500).take, ==, 0);
}

static void test_off(void)
{
	GphPolicySettings set = settings();
	struct bench b;
	GphVerdict v;

	set.enabled = false;
	bench_init(&b, set);
	b.r.stall = true;
	v = look(&b, 0);
	g_assert_cmpuint(v.take, ==, 0);
	g_assert_cmpuint(v.next_us, ==, GPH_POLICY_EVENT);
	g_assert_false(b.p.episode);
	set.enabled = true;
	gph_policy_set(&b.p, &set);
	g_assert_cmpuint(look(&b, 0).take, >, 0);
	set.enabled = false;
	gph_policy_set(&b.p, &set);
	g_assert_false(b.p.episode);
	g_assert_cmpuint(b.p.episodes, ==, 1);
}

/* Nothing cold there: fewer and fewer scans, ageing once in a while. */
static void test_dry(void)
{
	struct bench b;
	GphVerdict v;
	unsigned int scans = 0, ages = 0, i;

	bench_init(&b, settings());
	for (i = 0; i < 20 * 60; i++) {		/* one minute */
		v = look_after(&b, 50 * MS, 80);
		if (!v.take)
			continue;
		scans++;
		v = gph_policy_taken(&b.p, b.r.now_us, v.take, 0, 100);
		ages += v.age;
	}
	g_assert_cmpuint(scans, >=, 8);
	g_assert_cmpuint(scans, <=, 16);
	g_assert_cmpuint(ages, >=, 3);
	g_assert_cmpuint(ages, <=, 6);
	g_assert_cmpuint(b.p.taken_bytes, ==, 0);
	/* It becomes critical: it may not take seconds to try again. */
	for (i = 0; i < 20; i++) {
		v = look_after(&b, 50 * MS, 20);
		if (v.take)
			break;
	}
	g_assert_cmpuint(i, <, 18);
	/* And there is something: no pause any more. */
	gph_policy_taken(&b.p, b.r.now_us, v.take, v.take, 100);
	v = look_after(&b, 50 * MS, 20);
	g_assert_cmpuint(v.take, >, 0);
	/* Dry again is dry for the first time. */
	gph_policy_taken(&b.p, b.r.now_us, v.take, 0, 0);
	g_assert_cmpuint(look_after(&b, 110 * MS, 20).take, >, 0);
}

static void test_cost(void)
{
	struct bench b;
	GphVerdict v;

	bench_init(&b, settings());
	v = look(&b, 80);
	gph_policy_taken(&b.p, b.r.now_us, v.take, v.take, 100 * MS);
	g_assert_cmpuint(look_after(&b, 500 * MS, 80).take, ==, 0);
	g_assert_cmpuint(look_after(&b, 410 * MS, 80).take, >, 0);
	/* Critical work may take half of the time. */
	v = look(&b, 20);
	gph_policy_taken(&b.p, b.r.now_us, v.take, v.take, 100 * MS);
	g_assert_cmpuint(look_after(&b, 110 * MS, 20).take, >, 0);
}

/* Half a second of pressure for each @n; @back percent comes back. */
static uint64_t press(struct bench *b, unsigned int n, unsigned int back)
{
	uint64_t before = b->p.taken_bytes;

	for (n *= 10; n; n--) {
		GphVerdict v = look_after(b, 50 * MS, 80);

		if (v.take)
			gph_policy_taken(&b->p, b->r.now_us, v.take, v.take, 0);
		b->r.returned += v.take * back / 100;
		/* It is the rest of the cgroup that fills. */
		b->p.last_resident = b->r.resident;
	}
	return b->p.taken_bytes - before;
}

static void test_backoff(void)
{
	struct bench b;
	GphVerdict v;
	uint64_t calm, storm;

	bench_init(&b, settings());
	calm = press(&b, 20, 45);
	g_assert_cmpuint(b.p.backoffs, ==, 0);
	g_assert_cmpuint(calm, >=, 200 * 60 * MIB);
	storm = press(&b, 80, 100);
	g_assert_cmpuint(b.p.backoffs, >, 4);
	g_assert_cmpuint(storm / 4, <, calm / 3);
	/* Critical is more important. */
	v = look_after(&b, 50 * MS, 20);
	g_assert_cmpuint(v.take, >, 0);
	gph_policy_taken(&b.p, b.r.now_us, v.take, v.take, 0);
	b.p.last_resident = b.r.resident;
	/* And it recovers. */
	press(&b, 40, 0);
	g_assert_cmpuint(b.p.backoff, ==, 0);
	g_assert_cmpuint(press(&b, 20, 0), ==, calm);
}

/* The guest fills fast: begin earlier. */
static void test_lead(void)
{
	struct bench b;

	bench_init(&b, settings());
	look(&b, 400);
	b.r.resident += 100 * MIB;
	g_assert_cmpuint(look_after(&b, 100 * MS, 190).take, >, 0);
	g_assert_cmpuint(b.p.fill, ==, 1000 * MIB);
	/* Critical at 5 % and what one look lets in, which is as much here. */
	g_assert_false(b.p.critical);
	bench_init(&b, settings());
	look(&b, 400);
	b.r.resident += 100 * MIB;
	look_after(&b, 100 * MS, 95);
	g_assert_true(b.p.critical);
	/* But never for more than a quarter of the limit. */
	bench_init(&b, settings());
	look(&b, 900);
	b.r.resident += 100 * GIB;
	g_assert_cmpuint(look_after(&b, 100 * MS, 410).take, ==, 0);
	/* A guest that has been idle does not fill. */
	bench_init(&b, settings());
	look(&b, 400);
	b.r.resident += 100 * MIB;
	g_assert_cmpuint(look(&b, 110).take, ==, 0);
}

static void test_clock(void)
{
	GphPolicySettings set = settings();
	struct bench b;
	GphVerdict v;

	set.rate = 20 * MIB;
	bench_init(&b, set);
	v = look(&b, 20);
	gph_policy_taken(&b.p, b.r.now_us, v.take, v.take, 0);
	/* Back by a minute: no time has passed, no budget, no end either. */
	b.r.now_us -= 60 * SECOND;
	v = look_after(&b, 0, 20);
	g_assert_cmpuint(v.take, ==, 0);
	g_assert_cmpuint(v.next_us, <=, SECOND);
	g_assert_cmpuint(look_after(&b, SECOND, 20).take, ==, 20 * MIB);
	b.r.now_us = UINT64_MAX - 100;
	g_assert_cmpuint(look_after(&b, 0, 20).take, ==, 20 * MIB);
	b.r.now_us = 0;
	look_after(&b, 0, 20);
	g_assert_cmpuint(b.p.budget, <=, 20 * MIB);
	/* A counter that goes back (a device that was made anew). */
	b.r.returned = UINT64_MAX;
	look(&b, 20);
	b.r.returned = 0;
	look(&b, 20);
	b.r.returned = 4096;
	look(&b, 20);
	g_assert_cmpuint(b.p.window_returned, <=, 4096);
}

/* Numbers at the end of what 64 bits hold. */
static void test_extremes(void)
{
	struct bench b;

	bench_init(&b, settings());
	b.limit.limit = UINT64_MAX / 2;
	b.r.limits = &b.limit;
	b.limit.used = b.limit.limit / 100 * 95;
	g_assert_cmpuint(gph_policy_look(&b.p, &b.r).take, >, 0);
	/* More is used than there is. */
	bench_init(&b, settings());
	b.r.limits = &b.limit;
	b.limit.used = b.limit.limit + MIB;
	g_assert_cmpuint(gph_policy_look(&b.p, &b.r).take, ==, 150 * MIB);
	g_assert_true(b.p.critical);
	g_assert_cmpuint(b.p.headroom, ==, 0);
	/* Nothing is allowed, nothing can help. */
	bench_init(&b, settings());
	b.r.limits = &b.limit;
	b.limit.limit = 0;
	b.limit.used = GIB;
	g_assert_cmpuint(gph_policy_look(&b.p, &b.r).take, ==, 0);
}

/* Whatever is read, what is wanted is sane. */
static void test_garbage(void)
{
	static const uint64_t values[] = {
		0, 1, 4096, MIB, GIB, UINT64_MAX / 2, UINT64_MAX - 1, UINT64_MAX,
	};
	GRand *rand = g_rand_new_with_seed(1);
	GphLimit limits[3];
	struct bench b;
	unsigned int i, j;

#define ANY()	values[g_rand_int_range(rand, 0, G_N_ELEMENTS(values))]
	bench_init(&b, settings());
	b.r.limits = limits;
	for (i = 0; i < 200000; i++) {
		GphVerdict v;

		for (j = 0; j < 3; j++)
			limits[j] = (GphLimit){
				.limit = ANY(), .used = ANY(),
				.reclaimable = ANY(),
				.host = g_rand_boolean(rand),
				.shared = g_rand_boolean(rand),
			};
		b.r.nr_limits = g_rand_int_range(rand, 0, 4);
		b.r.now_us = ANY();
		b.r.guest_bytes = ANY();
		b.r.resident = ANY();
		b.r.returned = ANY();
		b.r.stall = g_rand_boolean(rand);
		v = gph_policy_look(&b.p, &b.r);
		g_assert_cmpuint(v.take, <=, b.p.set.rate);
		g_assert_true(!v.take ||
			      v.take <= b.r.resident - b.p.set.floor);
		g_assert_cmpuint(v.next_us, >=, GPH_POLICY_LOOK_US);
		g_assert_true(v.next_us <= GPH_POLICY_FAR_US ||
			      v.next_us == GPH_POLICY_EVENT);
		if (v.take) {
			v = gph_policy_taken(&b.p, ANY(), v.take, ANY(), ANY());
			g_assert_cmpuint(v.next_us, >=, GPH_POLICY_LOOK_US);
			g_assert_cmpuint(v.next_us, <=, SECOND);
		}
	}
	g_rand_free(rand);
}

static void expect(const GphPolicySettings *set, const char *bad)
{
	const char *found = gph_policy_check(set);

	if (bad)
		g_assert_true(found && g_str_has_prefix(found, bad));
	else
		g_assert_null(found);
}

static void test_settings(void)
{
	GphPolicySettings set = gph_policy_defaults();

#define TRY(field, value, bad)						\
	do {								\
		set = gph_policy_defaults();				\
		set.field = value;					\
		expect(&set, bad);					\
	} while (0)
	g_assert_true(set.enabled);
	expect(&set, NULL);
	TRY(floor, UINT64_MAX, NULL);
	TRY(floor, 0, NULL);
	TRY(rate, MIB, NULL);
	TRY(rate, MIB - 1, "'rate'");
	TRY(rate, 0, "'rate'");
	TRY(cgroup_percent, 90, NULL);
	TRY(cgroup_percent, 91, "'cgroup-percent'");
	TRY(cgroup_percent, 0, "'cgroup-percent'");
	TRY(host_percent, 90, NULL);
	TRY(host_percent, 0, "'host-percent'");
	TRY(host_percent, UINT32_MAX, "'host-percent'");
	TRY(critical_percent, 9, NULL);
	TRY(critical_percent, 0, "'critical-percent'");
	TRY(critical_percent, 10, "'critical-percent'");
	TRY(critical_percent, 95, "'critical-percent'");
	TRY(host_percent, 5, "'critical-percent'");
	TRY(hysteresis_percent, 75, NULL);
	TRY(hysteresis_percent, 76, "'hysteresis-percent'");
	TRY(hysteresis_percent, 0, "'hysteresis-percent'");
	TRY(hysteresis_percent, UINT32_MAX, "'hysteresis-percent'");
	TRY(step_percent, 100, NULL);
	TRY(step_percent, 0, "'step-percent'");
	TRY(step_percent, 101, "'step-percent'");
	TRY(backoff_percent, 1000, NULL);
	TRY(backoff_percent, 0, "'backoff-percent'");
	TRY(backoff_percent, 1001, "'backoff-percent'");
}

/* --- scenarios --- */

struct scenario {
	const char *name;
	uint64_t fill;		/* bytes per second that the guest reads in */
	uint64_t burst;		/* all at once, after a second */
	unsigned int pause_ms;	/* idle before it begins */
	unsigned int wave_ms;	/* it fills, rests, fills, ... */
	uint64_t limit;
	bool shared;
	unsigned int refault;	/* percent of what is taken that comes back */
	/* What must come of it. */
	uint64_t max_over;	/* bytes above the limit at worst */
	unsigned int max_episodes;
	unsigned int min_episodes;
	unsigned int max_looks;
	uint64_t least_resident;
	uint64_t most_resident;	/* 0: the limit */
};

static const struct scenario scenarios[] = {
	{ .name = "ramp", .fill = 200 * MIB, .limit = 600 * MIB,
	  .min_episodes = 1, .max_episodes = 40, .max_looks = 700,
	  .least_resident = 400 * MIB },
	{ .name = "ramp-small-limit", .fill = 500 * MIB, .limit = 256 * MIB,
	  .min_episodes = 1, .max_episodes = 100, .max_looks = 700,
	  .least_resident = 100 * MIB },
	{ .name = "full-speed", .fill = GIB, .limit = 1536 * MIB,
	  .min_episodes = 1, .max_episodes = 60, .max_looks = 700,
	  .least_resident = 800 * MIB },
	{ .name = "full-speed-after-rest", .fill = GIB, .pause_ms = 5000,
	  .limit = 1024 * MIB, .min_episodes = 1, .max_episodes = 60,
	  .max_looks = 700, .least_resident = 500 * MIB },
	{ .name = "burst", .fill = 0, .burst = 390 * MIB, .limit = 512 * MIB,
	  .min_episodes = 1, .max_episodes = 2, .max_looks = 200,
	  .least_resident = 300 * MIB, .most_resident = 460 * MIB },
	{ .name = "waves", .fill = 400 * MIB, .wave_ms = 500,
	  .limit = 512 * MIB, .min_episodes = 5, .max_episodes = 25,
	  .max_looks = 700, .least_resident = 350 * MIB },
	{ .name = "refaults", .fill = 50 * MIB, .refault = 90,
	  .limit = 512 * MIB, .min_episodes = 1, .max_episodes = 100,
	  .max_looks = 700, .least_resident = 380 * MIB },
	{ .name = "unreachable", .fill = 500 * MIB, .limit = 4 * GIB,
	  .max_looks = 2, .least_resident = 1900 * MIB },
	{ .name = "far", .fill = 10 * MIB, .limit = 16 * GIB, .shared = true,
	  .max_looks = 12, .least_resident = 200 * MIB },
	{ .name = "idle", .fill = 0, .limit = GIB, .max_looks = 60,
	  .least_resident = 100 * MIB },
};

/* Twenty seconds, a millisecond at a time. */
static void test_scenario(gconstpointer data)
{
	const struct scenario *sc = data;
	GphPolicySettings set = settings();
	uint64_t resident = 120 * MIB, cold = 0, over = 0, returned = 0;
	uint64_t next = 1000 * SECOND, ms, now;
	unsigned int looks = 0;
	GphPolicy p;

	set.rate = 2 * GIB;
	gph_policy_init(&p, &set);
	for (ms = 0; ms < 20000; ms++) {
		bool rests = sc->wave_ms && ms / sc->wave_ms % 2;
		uint64_t grow = rests || ms < sc->pause_ms ? 0 : sc->fill / 1000;

		now = 1000 * SECOND + ms * MS;
		if (ms == 1000)
			grow += sc->burst;
		if (resident + grow > 2 * GIB) {
			/* The guest is full and drops something itself. */
			grow = 0;
		}
		resident += grow;
		cold += grow;
		if (resident > sc->limit)
			over = MAX(over, resident - sc->limit);
		if (now < next)
			continue;
		GphLimit l = { .limit = sc->limit, .used = resident,
			       .shared = sc->shared };
		GphReadings r = {
			.now_us = now, .limits = &l, .nr_limits = 1,
			.guest_bytes = 2 * GIB, .resident = resident,
			.returned = returned,
		};
		GphVerdict v = gph_policy_look(&p, &r);

		looks++;
		if (v.take) {
			uint64_t got = MIN(v.take, cold), back;

			/* 7 GiB/s, and a millisecond for the scan. */
			v = gph_policy_taken(&p, now, v.take, got,
					     1000 + got / (7 * KIB));
			back = got * sc->refault / 100;
			returned += back;
			resident -= got - back;
			cold -= got - back;
		}
		next = v.next_us == GPH_POLICY_EVENT ? UINT64_MAX :
		       now + v.next_us;
	}
	g_test_message("%s: over %" PRIu64 " MiB, %" PRIu64 " episodes, %u looks, "
		       "resident %" PRIu64 " MiB, taken %" PRIu64 " MiB, "
		       "backoffs %" PRIu64, sc->name, over / MIB, p.episodes,
		       looks, resident / MIB, p.taken_bytes / MIB, p.backoffs);
	g_assert_cmpuint(over, <=, sc->max_over);
	g_assert_cmpuint(p.episodes, >=, sc->min_episodes);
	g_assert_cmpuint(p.episodes, <=, sc->max_episodes);
	g_assert_cmpuint(looks, <=, sc->max_looks);
	g_assert_cmpuint(resident, >=, sc->least_resident);
	g_assert_cmpuint(resident, <=, sc->most_resident ?: sc->limit);
}

/* --- parsers --- */

static void test_parse_limit(void)
{
	static const struct {
		const char *text;
		bool good;
		uint64_t value;
	} cases[] = {
		{ "max\n", true, GPH_UNLIMITED },
		{ "max", true, GPH_UNLIMITED },
		{ "max   \n", true, GPH_UNLIMITED },
		{ "0\n", true, 0 },
		{ "536870912\n", true, 536870912 },
		{ "536870912", true, 536870912 },
		{ "  42  \n", true, 42 },
		{ "18446744073709551615\n", true, UINT64_MAX },
		{ "18446744073709551616\n", false, 0 },
		{ "99999999999999999999999\n", false, 0 },
		{ "", false, 0 },
		{ "\n", false, 0 },
		{ "maximum\n", false, 0 },
		{ "-1\n", false, 0 },
		{ "12M\n", false, 0 },
		{ "12 13\n", false, 0 },
		{ "junk", false, 0 },
	};
	size_t i;

	for (i = 0; i < G_N_ELEMENTS(cases); i++) {
		uint64_t v = 7;

		g_assert_cmpint(gph_parse_limit(cases[i].text, &v), ==,
				cases[i].good);
		g_assert_cmpuint(v, ==, cases[i].good ? cases[i].value : 7);
	}
}

static void test_parse_keys(void)
{
	static const char stat[] = "anon 1\nfile2 8\nfile 2\nshmem 3\n"
		"inactive_anon 4\ninactive_file 5\nbig 18446744073709551616\n"
		"word junk\ntwo 1 2\nlast 9";
	static const char meminfo[] = "MemTotal:       24684000 kB\n"
		"MemFree:        19476000 kB\nMemAvailable:   22358000 kB\n"
		"Huge:  18446744073709551615 kB\nPages_Total:   3\n";
	uint64_t v = 7;

	g_assert_true(gph_parse_key(stat, "inactive_file", &v));
	g_assert_cmpuint(v, ==, 5);
	g_assert_true(gph_parse_key(stat, "file", &v));
	g_assert_cmpuint(v, ==, 2);
	g_assert_true(gph_parse_key(stat, "last", &v));
	g_assert_cmpuint(v, ==, 9);
	v = 7;
	g_assert_false(gph_parse_key(stat, "inactive", &v));
	g_assert_false(gph_parse_key(stat, "big", &v));
	g_assert_false(gph_parse_key(stat, "word", &v));
	g_assert_false(gph_parse_key(stat, "two", &v));
	g_assert_false(gph_parse_key("", "last", &v));
	g_assert_true(gph_parse_kib(meminfo, "MemTotal:", &v));
	g_assert_cmpuint(v, ==, 24684000 * KIB);
	g_assert_true(gph_parse_kib(meminfo, "MemAvailable:", &v));
	g_assert_cmpuint(v, ==, 22358000 * KIB);
	v = 7;
	g_assert_false(gph_parse_kib(meminfo, "Huge:", &v));
	g_assert_false(gph_parse_kib(meminfo, "Pages_Total:", &v));
	g_assert_false(gph_parse_kib(meminfo, "Missing:", &v));
	g_assert_cmpuint(v, ==, 7);
}

static void test_parse_cgroup(void)
{
	static const char mixed[] = "4:memory:/old\n1:cpu:/\n0::/vm.slice/a b\n";
	static const char mounts[] =
		"22 1 0:20 / /proc rw - proc proc rw\n"
		"31 23 0:28 / /sys/fs/cgroup rw shared:9 - tmpfs tmpfs rw\n"
		"32 31 0:30 / /sys/fs/cgroup/mem rw - cgroup cgroup rw,memory\n"
		"41 31 0:38 /in\\040side /sys/fs/cg\\0402 rw shared:4 master:1"
		" - cgroup2 cgroup2 rw\n"
		"42 31 0:38 / /second rw - cgroup2 cgroup2 rw\n";
	char path[64], mount[64], root[64], dir[64];

	g_assert_true(gph_parse_own_cgroup(mixed, path, sizeof(path)));
	g_assert_cmpstr(path, ==, "/vm.slice/a b");
	g_assert_true(gph_parse_own_cgroup("0::/", path, sizeof(path)));
	g_assert_cmpstr(path, ==, "/");
	g_assert_false(gph_parse_own_cgroup("4:memory:/\n", path, sizeof(path)));
	g_assert_false(gph_parse_own_cgroup("", path, sizeof(path)));
	g_assert_false(gph_parse_own_cgroup("0::/long\n", path, 5));
	g_assert_true(gph_parse_own_cgroup("0::/long\n", path, 6));
	g_assert_true(gph_parse_cgroup_mount(mounts, mount, root, 64));
	g_assert_cmpstr(mount, ==, "/sys/fs/cg 2");
	g_assert_cmpstr(root, ==, "/in side");
	g_assert_false(gph_parse_cgroup_mount(mounts, mount, root, 8));
	g_assert_false(gph_parse_cgroup_mount("1 2 0:3 /seven77 /m r - cgroup2"
					      " x\n", mount, root, 8));
	g_assert_true(gph_parse_cgroup_mount("1 2 0:3 /seven7 /m r - cgroup2"
					     " x\n", mount, root, 8));
	g_assert_cmpstr(root, ==, "/seven7");
	g_assert_false(gph_parse_cgroup_mount("1 2 - cgroup2 x\n", mount, root,
					      64));
	g_assert_false(gph_parse_cgroup_mount(" - cgroup2 \n\n", mount, root,
					      64));
	g_assert_false(gph_parse_cgroup_mount("", mount, root, 64));

	g_assert_true(gph_cgroup_directory("/cg", "/", "/a/b", dir, 64));
	g_assert_cmpstr(dir, ==, "/cg/a/b");
	g_assert_true(gph_cgroup_directory("/cg", "/", "/", dir, 64));
	g_assert_cmpstr(dir, ==, "/cg");
	g_assert_true(gph_cgroup_directory("/cg", "/a", "/a/b", dir, 64));
	g_assert_cmpstr(dir, ==, "/cg/b");
	g_assert_true(gph_cgroup_directory("/cg", "/a", "/a", dir, 64));
	g_assert_cmpstr(dir, ==, "/cg");
	g_assert_false(gph_cgroup_directory("/cg", "/a", "/ab", dir, 64));
	g_assert_false(gph_cgroup_directory("/cg", "/x", "/a/b", dir, 64));
	g_assert_false(gph_cgroup_directory("/cg", "/", "/../x", dir, 64));
	g_assert_false(gph_cgroup_directory("/cg", "/", "/a/b", dir, 7));
	g_assert_true(gph_cgroup_directory("/cg", "/", "/a/b", dir, 8));
}

/* Files cut off anywhere, and with any byte changed: no wrong access. */
static void test_parse_junk(void)
{
	static const char text[] =
		"41 31 0:38 /in\\040side /sys/fs/cg\\0402 rw - cgroup2 c rw\n"
		"0::/vm.slice/x\nMemTotal: 24684000 kB\ninactive_file 5\n";
	GRand *rand = g_rand_new_with_seed(2);
	unsigned int i;

	for (i = 0; i < 100000; i++) {
		size_t n = g_rand_int_range(rand, 0, sizeof(text));
		/* Exactly as long as the text, for AddressSanitizer. */
		char *copy = g_strndup(text, n), mount[32], root[32];
		uint64_t v;

		if (n)
			copy[g_rand_int_range(rand, 0, n)] = g_rand_int(rand);
		gph_parse_cgroup_mount(copy, mount, root, 32);
		gph_parse_own_cgroup(copy, mount, 32);
		gph_parse_kib(copy, "MemTotal:", &v);
		gph_parse_key(copy, "inactive_file", &v);
		gph_parse_limit(copy, &v);
		g_free(copy);
	}
	g_rand_free(rand);
}

int main(int argc, char **argv)
{
	size_t i;

	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/policy/thresholds", test_thresholds);
	g_test_add_func("/policy/critical", test_critical);
	g_test_add_func("/policy/reclaimable", test_reclaimable);
	g_test_add_func("/policy/floor", test_floor);
	g_test_add_func("/policy/rate", test_rate);
	g_test_add_func("/policy/host-share", test_host_share);
	g_test_add_func("/policy/limits", test_limits);
	g_test_add_func("/policy/next", test_next);
	g_test_add_func("/policy/stall", test_stall);
	g_test_add_func("/policy/off", test_off);
	g_test_add_func("/policy/dry", test_dry);
	g_test_add_func("/policy/cost", test_cost);
	g_test_add_func("/policy/backoff", test_backoff);
	g_test_add_func("/policy/lead", test_lead);
	g_test_add_func("/policy/clock", test_clock);
	g_test_add_func("/policy/extremes", test_extremes);
	g_test_add_func("/policy/garbage", test_garbage);
	g_test_add_func("/policy/settings", test_settings);
	for (i = 0; i < G_N_ELEMENTS(scenarios); i++) {
		g_autofree char *path = g_strdup_printf(
			"/policy/scenario/%s", scenarios[i].name);

		g_test_add_data_func(path, &scenarios[i], test_scenario);
	}
	g_test_add_func("/readings/limit", test_parse_limit);
	g_test_add_func("/readings/keys", test_parse_keys);
	g_test_add_func("/readings/cgroup", test_parse_cgroup);
	g_test_add_func("/readings/junk", test_parse_junk);
	return g_test_run();
}
