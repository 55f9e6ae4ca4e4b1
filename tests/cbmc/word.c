// SPDX-License-Identifier: GPL-2.0
/*
 * Proofs of the state word, by CBMC.
 *
 * Each proof_* function takes any word and any arguments, acts, and asserts the
 * relation of the old and the new word.  proof_lifetime does the same for any
 * sequence of steps by the guest and the device, with a ghost that remembers
 * whether the content is there.  See ../unit/word-mutants.h for GPH_MUTANT.
 */
#ifndef GPH_MUTANT
#define GPH_MUTANT 0
#endif
#include "../unit/word-mutants.h"

gph_word_t nondet_word(void);
unsigned int nondet_uint(void);

#define assume(x)	__CPROVER_assume(x)
#define prove(x)	__CPROVER_assert(x, #x)

static bool live(gph_word_t w)
{
	return gph_state(w) == VIRTIO_GPH_VOLATILE || gph_state(w) == VIRTIO_GPH_UNUSED;
}

/* Order and epoch, which the device must hand back as it found them. */
static unsigned int what(gph_word_t w)
{
	return w & (VIRTIO_GPH_ORDER_MASK | VIRTIO_GPH_EPOCH_MASK);
}

void proof_predicates(void)
{
	gph_word_t w = nondet_word();
	unsigned int now = nondet_uint();

	prove(!gph_takeable(w) || (gph_valid(w) && live(w) && !gph_pending(w)));
	prove(gph_takeable(w) || !(gph_valid(w) && live(w)));
	prove(!gph_gone(w) || gph_state(w) == VIRTIO_GPH_DISCARDED ||
	      gph_state(w) == VIRTIO_GPH_CLAIMED);
	prove(!gph_valid(w) || gph_state(w) <= VIRTIO_GPH_CLAIMED);
	prove(!gph_valid(w) || !gph_pending(w) || !gph_state(w));
	prove(!gph_valid(w) || gph_pending(w) || gph_order(w) <= VIRTIO_GPH_MAX_ORDER);
	prove(gph_age(w, now) <= 255);
	prove(((gph_epoch(w) + gph_age(w, now)) & 0xff) == (now & 0xff));
}

void proof_downgrade(void)
{
	gph_word_t old = nondet_word(), w = old;
	unsigned int token = nondet_uint(), state = nondet_uint();
	unsigned int order = nondet_uint(), epoch = nondet_uint();

	if (gph_downgrade_begin(&w, token)) {
		prove(old == 0 && token < GPH_NR_TOKENS);
		prove(gph_valid(w) && gph_pending(w) && gph_token(w) == token);
		prove(!gph_takeable(w) && !gph_gone(w));
	} else {
		prove(w == old && (old || token >= GPH_NR_TOKENS));
	}

	assume(token < GPH_NR_TOKENS);
	w = old;
	if (gph_downgrade_commit(&w, token, state, order, epoch)) {
		prove(gph_pending(old) && gph_token(old) == token);
		prove(gph_valid(w) && gph_takeable(w));
		prove(gph_state(w) == state && gph_order(w) == order);
		prove(gph_epoch(w) == (epoch & 0xff));
	} else {
		prove(w == old);
	}

	w = old;
	if (gph_downgrade_cancel(&w, token))
		prove(w == 0 && gph_pending(old) && gph_token(old) == token);
	else
		prove(w == old);
}

/* What begins can be committed and cancelled, but never by another token. */
void proof_token(void)
{
	gph_word_t w = 0, copy;
	unsigned int mine = nondet_uint(), other = nondet_uint();

	assume(mine < GPH_NR_TOKENS && other < GPH_NR_TOKENS && mine != other);
	prove(gph_downgrade_begin(&w, mine));
	copy = w;
	prove(!gph_downgrade_commit(&copy, other, VIRTIO_GPH_VOLATILE, 0, 0));
	prove(!gph_downgrade_cancel(&copy, other));
	prove(gph_downgrade_commit(&copy, mine, VIRTIO_GPH_VOLATILE, 9, 7));
	copy = w;
	prove(gph_downgrade_cancel(&copy, mine) && !copy);
	copy = w;
	prove(gph_upgrade(&copy) && !copy);
	prove(!gph_downgrade_commit(&copy, mine, VIRTIO_GPH_VOLATILE, 0, 0));
}

void proof_guest(void)
{
	gph_word_t old = nondet_word(), w = old;

	if (gph_upgrade(&w))
		prove(!w && (gph_pending(old) || live(old)));
	else
		prove(w == old && !gph_pending(old) && !live(old));

	w = old;
	if (gph_claim(&w)) {
		prove(gph_state(old) == VIRTIO_GPH_DISCARDED);
		prove(gph_state(w) == VIRTIO_GPH_CLAIMED && what(w) == what(old));
		prove(gph_valid(w) == gph_valid(old));
		prove(!gph_claim(&w));
	} else {
		prove(w == old && gph_state(old) != VIRTIO_GPH_DISCARDED);
	}

	w = old;
	if (gph_settle(&w))
		prove(!w && gph_state(old) == VIRTIO_GPH_CLAIMED);
	else
		prove(w == old && gph_state(old) != VIRTIO_GPH_CLAIMED);

	w = old;
	if (gph_release(&w))
		prove(!w && gph_state(old) != VIRTIO_GPH_DISCARDING);
	else
		prove(w == old && gph_state(old) == VIRTIO_GPH_DISCARDING);
}

void proof_device(void)
{
	gph_word_t old = nondet_word(), was = nondet_word(), w = old;

	if (gph_discard_begin(&w)) {
		prove(gph_valid(old) && live(old) && gph_valid(w));
		prove(gph_state(w) == VIRTIO_GPH_DISCARDING && what(w) == what(old));
		prove(gph_discard_undo(&w, old) && w == old);
	} else {
		prove(w == old && !gph_takeable(old));
	}

	w = old;
	if (gph_discard_end(&w)) {
		prove(gph_valid(old) && gph_state(old) == VIRTIO_GPH_DISCARDING);
		prove(gph_gone(w) && what(w) == what(old));
	} else {
		prove(w == old);
	}

	w = old;
	if (gph_discard_undo(&w, was)) {
		prove(gph_state(old) == VIRTIO_GPH_DISCARDING && gph_takeable(was));
		prove(w == was && what(w) == what(old));
	} else {
		prove(w == old);
	}
}

/* Any steps of both sides, from a zeroed table on. */
void proof_lifetime(void)
{
	bool there = true, withdrawn = false, taking = false;
	gph_word_t w = 0, was = 0;
	int step;

	for (step = 0; step < 8; step++) {
		gph_word_t old = w;

		switch (nondet_uint() % 9) {
		case 0:
			gph_downgrade_begin(&w, nondet_uint());
			break;
		case 1:
			gph_downgrade_commit(&w, nondet_uint() % GPH_NR_TOKENS,
					     nondet_uint(), nondet_uint(),
					     nondet_uint());
			break;
		case 2:
			if (gph_upgrade(&w))
				prove(there && !taking);
			break;
		case 3:
			if (gph_claim(&w)) {
				prove(!there && !withdrawn);
				withdrawn = true;
			}
			break;
		case 4:
			if (gph_settle(&w)) {
				prove(withdrawn && !taking);
				there = true;
				withdrawn = false;
			}
			break;
		case 5:
			/* The frames lose their meaning: so does the content. */
			if (gph_release(&w)) {
				prove(!taking);
				there = true;
				withdrawn = false;
			}
			break;
		case 6:
			if (gph_discard_begin(&w)) {
				prove(there);
				was = old;
				taking = true;
			}
			break;
		case 7:
			if (taking && gph_discard_end(&w)) {
				there = false;
				taking = false;
			}
			break;
		case 8:
			if (taking && gph_discard_undo(&w, was))
				taking = false;
			break;
		}
		prove(gph_valid(w));
		prove(there || gph_gone(w));
		prove(!there || !gph_gone(w));
		prove(taking == (gph_state(w) == VIRTIO_GPH_DISCARDING));
	}
}
