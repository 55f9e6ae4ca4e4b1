// SPDX-License-Identifier: GPL-2.0
/*
 * Unit tests of the state word, exhaustive over its 65536 values.
 *
 * What is legal is written down here a second time, in numbers and not in the
 * names of the header, so that neither a transition nor a value can change
 * without a test that fails.  A transition that returns false must not write.
 */
#include <glib.h>
#include <string.h>

static int gph_mutant;
#define GPH_MUTANT gph_mutant
#include "word-mutants.h"

#define WORDS	0x10000u

/* Fields, decoded by hand. */
static unsigned int state_of(unsigned int w) { return w % 8; }
static unsigned int pending_of(unsigned int w) { return w / 8 % 2; }
static unsigned int order_of(unsigned int w) { return w / 16 % 16; }
static unsigned int epoch_of(unsigned int w) { return w / 256; }

static bool legal(unsigned int w)
{
	if (!state_of(w))
		return w == 0 || pending_of(w);
	return !pending_of(w) && state_of(w) <= 5 && order_of(w) <= 9;
}

static void test_fields(void)
{
	unsigned int w;

	for (w = 0; w < WORDS; w++) {
		g_assert_cmpuint(gph_state((gph_word_t)w), ==, state_of(w));
		g_assert_cmpuint(gph_pending((gph_word_t)w), ==, pending_of(w));
		g_assert_cmpuint(gph_order((gph_word_t)w), ==, order_of(w));
		g_assert_cmpuint(gph_epoch((gph_word_t)w), ==, epoch_of(w));
		g_assert_cmpuint(gph_token((gph_word_t)w), ==, w / 16);
	}
}

static void test_make(void)
{
	unsigned int state, order, epoch, token;

	for (state = 1; state <= 5; state++)
		for (order = 0; order <= 9; order++)
			for (epoch = 0; epoch < 512; epoch++)
				g_assert_cmpuint(gph_make(state, order, epoch), ==,
						 state + 16 * order + epoch % 256 * 256);
	g_assert_cmpuint(GPH_NR_TOKENS, ==, 4095);
	for (token = 0; token < 4095; token++)
		g_assert_cmpuint(gph_make_pending(token), ==, 8 + 16 * token);
}

static void test_predicates(void)
{
	unsigned int w, nr_valid = 0;

	for (w = 0; w < WORDS; w++) {
		gph_word_t word = (gph_word_t)w;
		bool takeable = legal(w) && (state_of(w) == 1 || state_of(w) == 2);
		bool gone = legal(w) && (state_of(w) == 4 || state_of(w) == 5);

		g_assert_cmpint(gph_valid(word), ==, legal(w));
		g_assert_cmpint(gph_takeable(word), ==, takeable);
		g_assert_cmpint(gph_gone(word), ==, gone);
		g_assert_false(gph_takeable(word) && gph_gone(word));
		nr_valid += gph_valid(word);
	}
	/* STABLE, 4096 values of PENDING, 5 states of 10 orders and 256 epochs. */
	g_assert_cmpuint(nr_valid, ==, 1 + 4096 + 5 * 10 * 256);
}

static void test_age(void)
{
	unsigned int then, now;

	for (then = 0; then < 256; then++)
		for (now = 0; now < 1024; now++)
			g_assert_cmpuint(gph_age(gph_make(2, 0, then), now), ==,
					 (now + 1024 - then) % 256);
}

/* A transition of @old must give @expected, or nothing if that is -1. */
static void expect(unsigned int old, bool done, gph_word_t word, int expected)
{
	g_assert_cmpint(done, ==, expected >= 0);
	g_assert_cmpuint(word, ==, expected >= 0 ? (unsigned int)expected : old);
	if (done && legal(old))
		g_assert_true(gph_valid(word));
}

static const unsigned int tokens[] = { 0, 1, 2, 17, 2048, 4094, 4095, 4096, 65536 };

static void test_begin(void)
{
	unsigned int w;
	size_t i;

	for (w = 0; w < WORDS; w++) {
		for (i = 0; i < G_N_ELEMENTS(tokens); i++) {
			gph_word_t word = (gph_word_t)w;
			bool done = gph_downgrade_begin(&word, tokens[i]);

			expect(w, done, word, w == 0 && tokens[i] < 4095 ?
			       (int)(8 + 16 * tokens[i]) : -1);
		}
	}
}

static void test_commit(void)
{
	static const unsigned int orders[] = { 0, 1, 9, 10, 15, 16, 1u << 28 };
	unsigned int w, state;
	size_t i, k;

	for (w = 0; w < WORDS; w++) {
		for (i = 0; i < 6 * G_N_ELEMENTS(orders) * 10; i++) {
			gph_word_t word = (gph_word_t)w;
			unsigned int token = tokens[i % 6];
			unsigned int order = orders[i / 6 % G_N_ELEMENTS(orders)];
			bool ok, done;

			k = i / 6 / G_N_ELEMENTS(orders);
			state = (unsigned int)k;
			ok = w == 8 + 16 * token && (state == 1 || state == 2) &&
			     order <= 9;
			done = gph_downgrade_commit(&word, token, state, order, 0x1a5);
			expect(w, done, word, ok ?
			       (int)(state + 16 * order + 256 * 0xa5) : -1);
		}
	}
}

static void test_cancel(void)
{
	unsigned int w;
	size_t i;

	for (w = 0; w < WORDS; w++) {
		for (i = 0; i < 6; i++) {
			gph_word_t word = (gph_word_t)w;
			bool done = gph_downgrade_cancel(&word, tokens[i]);

			expect(w, done, word, w == 8 + 16 * tokens[i] ? 0 : -1);
		}
	}
}

/* Every token closes its own PENDING and nobody else's. */
static void test_tokens(void)
{
	unsigned int mine, other;

	for (mine = 0; mine < 4095; mine++) {
		gph_word_t word = 0, copy;

		g_assert_true(gph_downgrade_begin(&word, mine));
		for (other = 0; other < 4095; other++) {
			copy = word;
			g_assert_cmpint(gph_downgrade_commit(&copy, other, 2, 0, 0),
					==, mine == other);
			copy = word;
			g_assert_cmpint(gph_downgrade_cancel(&copy, other), ==,
					mine == other);
		}
	}
}

/* A transition without arguments, and where it leads: a word, or -1. */
struct transition {
	const char *name;
	bool (*act)(gph_word_t *word);
	int (*expected)(unsigned int w);
	bool device;
};

static int after_upgrade(unsigned int w)
{
	return pending_of(w) || state_of(w) == 1 || state_of(w) == 2 ? 0 : -1;
}

static int after_claim(unsigned int w)
{
	return state_of(w) == 4 ? (int)(w - 4 + 5) : -1;
}

static int after_settle(unsigned int w)
{
	return state_of(w) == 5 ? 0 : -1;
}

static int after_release(unsigned int w)
{
	return state_of(w) != 3 ? 0 : -1;
}

static int after_discard_begin(unsigned int w)
{
	return legal(w) && (state_of(w) == 1 || state_of(w) == 2) ?
		(int)(w - state_of(w) + 3) : -1;
}

static int after_discard_end(unsigned int w)
{
	return legal(w) && state_of(w) == 3 ? (int)(w - 3 + 4) : -1;
}

static const struct transition transitions[] = {
	{ "upgrade", gph_upgrade, after_upgrade, false },
	{ "claim", gph_claim, after_claim, false },
	{ "settle", gph_settle, after_settle, false },
	{ "release", gph_release, after_release, false },
	{ "discard-begin", gph_discard_begin, after_discard_begin, true },
	{ "discard-end", gph_discard_end, after_discard_end, true },
};

static void test_transition(gconstpointer data)
{
	const struct transition *t = data;
	unsigned int w;

	for (w = 0; w < WORDS; w++) {
		gph_word_t word = (gph_word_t)w;
		bool done = t->act(&word);

		expect(w, done, word, t->expected(w));
		/* Nothing succeeds twice, but release, which repeats itself. */
		if (done && t->act != gph_release)
			g_assert_false(t->act(&word));
	}
}

static void test_undo(void)
{
	unsigned int was, w;

	for (was = 0; was < WORDS; was++) {
		int taken = after_discard_begin(was);

		for (w = was & 0xfff0; w < (was & 0xfff0) + 16; w++) {
			gph_word_t word = (gph_word_t)w;
			bool done = gph_discard_undo(&word, (gph_word_t)was);

			expect(w, done, word, taken >= 0 && w == (unsigned int)taken ?
			       (int)was : -1);
		}
	}
}

/* From no legal word can both sides go on, but from those the device may take. */
static void test_sides(void)
{
	unsigned int w;
	size_t i;

	for (w = 0; w < WORDS; w++) {
		bool guest = false, device = false;

		for (i = 0; i < G_N_ELEMENTS(transitions); i++) {
			gph_word_t word = (gph_word_t)w;

			if (!transitions[i].act(&word))
				continue;
			guest |= !transitions[i].device;
			device |= transitions[i].device;
		}
		if (!legal(w))
			g_assert_false(device);
		else if (state_of(w) == 3)
			g_assert_true(device && !guest);
		else
			g_assert_cmpint(device, ==, state_of(w) == 1 || state_of(w) == 2);
	}
}

static int find_mutant(const char *name)
{
	static const char *const names[] = {
#define M(id, name)	name,
		WORD_MUTANTS(M)
#undef M
	};
	size_t i;

	if (!strcmp(name, "list")) {
		for (i = 1; i < G_N_ELEMENTS(names); i++)
			g_print("%s\n", names[i]);
		exit(0);
	}
	for (i = 0; i < G_N_ELEMENTS(names); i++)
		if (!strcmp(names[i], name))
			return (int)i;
	g_printerr("no mutant '%s'; --mutant=list shows them\n", name);
	exit(2);
}

static void take_mutant_option(int *argc, char **argv)
{
	if (*argc > 1 && g_str_has_prefix(argv[*argc - 1], "--mutant=")) {
		gph_mutant = find_mutant(strchr(argv[*argc - 1], '=') + 1);
		argv[--*argc] = NULL;
	}
}

int main(int argc, char **argv)
{
	size_t i;

	take_mutant_option(&argc, argv);
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/word/fields", test_fields);
	g_test_add_func("/word/make", test_make);
	g_test_add_func("/word/predicates", test_predicates);
	g_test_add_func("/word/age", test_age);
	g_test_add_func("/word/downgrade-begin", test_begin);
	g_test_add_func("/word/downgrade-commit", test_commit);
	g_test_add_func("/word/downgrade-cancel", test_cancel);
	g_test_add_func("/word/tokens", test_tokens);
	for (i = 0; i < G_N_ELEMENTS(transitions); i++) {
		g_autofree char *path = g_strdup_printf("/word/%s",
							transitions[i].name);

		g_test_add_data_func(path, &transitions[i], test_transition);
	}
	g_test_add_func("/word/discard-undo", test_undo);
	g_test_add_func("/word/sides", test_sides);
	return g_test_run();
}
