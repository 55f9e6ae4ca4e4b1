/* SPDX-License-Identifier: GPL-2.0 */
/*
 * <gph/state.h> with one planted mistake.
 *
 * The unit tests and the proofs use the transition functions through the names
 * below.  With GPH_MUTANT equal to 0 these are the real functions; with any
 * other value one of them does what it should not, and some check must notice.
 */
#ifndef GPH_WORD_MUTANTS_H
#define GPH_WORD_MUTANTS_H

#include <gph/state.h>

#define WORD_MUTANTS(M)							\
	M(NONE, "none")							\
	M(VALID_ANY_ORDER, "valid-accepts-order-10")			\
	M(VALID_STATE_6, "valid-accepts-state-6")			\
	M(TAKE_INVALID, "takeable-without-valid")			\
	M(GONE_DISCARDING, "discarding-is-gone")			\
	M(AGE_SIGNED, "age-does-not-wrap")				\
	M(BEGIN_NOT_STABLE, "begin-from-volatile")			\
	M(BEGIN_ANY_TOKEN, "begin-takes-any-token")			\
	M(COMMIT_ANY_TOKEN, "commit-of-others-pending")			\
	M(COMMIT_ANY_ORDER, "commit-takes-any-order")			\
	M(COMMIT_ANY_STATE, "commit-to-any-state")			\
	M(COMMIT_FROM_STABLE, "commit-from-stable")			\
	M(CANCEL_ANY_TOKEN, "cancel-of-others-pending")			\
	M(UPGRADE_DISCARDING, "upgrade-from-discarding")		\
	M(UPGRADE_DISCARDED, "upgrade-from-discarded")			\
	M(UPGRADE_NOT_PENDING, "upgrade-leaves-pending")		\
	M(CLAIM_DISCARDING, "claim-from-discarding")			\
	M(CLAIM_TWICE, "claim-from-claimed")				\
	M(CLAIM_FORGETS_ORDER, "claim-forgets-order")			\
	M(SETTLE_DISCARDED, "settle-from-discarded")			\
	M(RELEASE_DISCARDING, "release-from-discarding")		\
	M(TAKE_STABLE, "discard-begin-from-stable")			\
	M(TAKE_PENDING, "discard-begin-from-pending")			\
	M(TAKE_FORGETS_EPOCH, "discard-begin-forgets-epoch")		\
	M(END_VOLATILE, "discard-end-from-volatile")			\
	M(UNDO_BLINDLY, "discard-undo-of-any-word")			\
	M(FAIL_WRITES, "failed-transition-writes")

enum word_mutant {
#define M(id, name)	WORD_MUT_##id,
	WORD_MUTANTS(M)
#undef M
	WORD_NR_MUTANTS
};

/* GPH_MUTANT: a constant (proofs) or a variable (unit tests). */
#define MUTATED(id)	(GPH_MUTANT == WORD_MUT_##id)

static inline bool mutated_valid(gph_word_t word)
{
	if (MUTATED(VALID_ANY_ORDER) && !gph_pending(word) && gph_state(word))
		return gph_state(word) <= 5 && gph_order(word) <= 10;
	if (MUTATED(VALID_STATE_6) && gph_state(word) == 6)
		return !gph_pending(word) && gph_order(word) <= 9;
	return gph_valid(word);
}

static inline bool mutated_takeable(gph_word_t word)
{
	if (MUTATED(TAKE_INVALID))
		return gph_state(word) == 1 || gph_state(word) == 2;
	return gph_takeable(word);
}

static inline bool mutated_gone(gph_word_t word)
{
	if (MUTATED(GONE_DISCARDING) && gph_state(word) == 3)
		return gph_valid(word);
	return gph_gone(word);
}

static inline unsigned int mutated_age(gph_word_t word, unsigned int now)
{
	return MUTATED(AGE_SIGNED) ? now - gph_epoch(word) : gph_age(word, now);
}

static inline bool mutated_begin(gph_word_t *word, unsigned int token)
{
	if (MUTATED(BEGIN_NOT_STABLE) && gph_state(*word) == 2)
		*word = 0;
	if (MUTATED(BEGIN_ANY_TOKEN) && token >= GPH_NR_TOKENS && !*word) {
		*word = gph_make_pending(token);
		return true;
	}
	if (MUTATED(FAIL_WRITES) && *word)
		*word = (gph_word_t)(*word & 0xff);
	return gph_downgrade_begin(word, token);
}

static inline bool mutated_commit(gph_word_t *word, unsigned int token,
				  unsigned int state, unsigned int order,
				  unsigned int epoch)
{
	if (MUTATED(COMMIT_ANY_TOKEN) && gph_pending(*word))
		token = gph_token(*word);
	if (MUTATED(COMMIT_FROM_STABLE) && !*word)
		*word = gph_make_pending(token);
	if (MUTATED(COMMIT_ANY_ORDER) && order > 9 && order < 16 &&
	    *word == gph_make_pending(token)) {
		*word = gph_make(state, order, epoch);
		return true;
	}
	if (MUTATED(COMMIT_ANY_STATE) && *word == gph_make_pending(token)) {
		*word = gph_make(state & 7, order & 15, epoch);
		return true;
	}
	return gph_downgrade_commit(word, token, state, order, epoch);
}

static inline bool mutated_cancel(gph_word_t *word, unsigned int token)
{
	if (MUTATED(CANCEL_ANY_TOKEN) && gph_pending(*word))
		token = gph_token(*word);
	return gph_downgrade_cancel(word, token);
}

static inline bool mutated_upgrade(gph_word_t *word)
{
	if ((MUTATED(UPGRADE_DISCARDING) && gph_state(*word) == 3) ||
	    (MUTATED(UPGRADE_DISCARDED) && gph_state(*word) == 4)) {
		*word = 0;
		return true;
	}
	if (MUTATED(UPGRADE_NOT_PENDING) && gph_pending(*word))
		return false;
	return gph_upgrade(word);
}

static inline bool mutated_claim(gph_word_t *word)
{
	if ((MUTATED(CLAIM_DISCARDING) && gph_state(*word) == 3) ||
	    (MUTATED(CLAIM_TWICE) && gph_state(*word) == 5)) {
		*word = (gph_word_t)((*word & ~7) | 5);
		return true;
	}
	if (MUTATED(CLAIM_FORGETS_ORDER) && gph_state(*word) == 4) {
		*word = 5;
		return true;
	}
	return gph_claim(word);
}

static inline bool mutated_settle(gph_word_t *word)
{
	if (MUTATED(SETTLE_DISCARDED) && gph_state(*word) == 4) {
		*word = 0;
		return true;
	}
	return gph_settle(word);
}

static inline bool mutated_release(gph_word_t *word)
{
	if (MUTATED(RELEASE_DISCARDING)) {
		*word = 0;
		return true;
	}
	return gph_release(word);
}

static inline bool mutated_discard_begin(gph_word_t *word)
{
	if ((MUTATED(TAKE_STABLE) && !*word) ||
	    (MUTATED(TAKE_PENDING) && gph_pending(*word))) {
		*word = 3;
		return true;
	}
	if (MUTATED(TAKE_FORGETS_EPOCH))
		*word &= 0xff;
	return gph_discard_begin(word);
}

static inline bool mutated_discard_end(gph_word_t *word)
{
	if (MUTATED(END_VOLATILE) && gph_takeable(*word)) {
		*word = (gph_word_t)((*word & ~7) | 4);
		return true;
	}
	return gph_discard_end(word);
}

static inline bool mutated_discard_undo(gph_word_t *word, gph_word_t was)
{
	if (MUTATED(UNDO_BLINDLY) && gph_state(*word) == 3) {
		*word = was;
		return true;
	}
	return gph_discard_undo(word, was);
}

#define gph_valid		mutated_valid
#define gph_takeable		mutated_takeable
#define gph_gone		mutated_gone
#define gph_age			mutated_age
#define gph_downgrade_begin	mutated_begin
#define gph_downgrade_commit	mutated_commit
#define gph_downgrade_cancel	mutated_cancel
#define gph_upgrade		mutated_upgrade
#define gph_claim		mutated_claim
#define gph_settle		mutated_settle
#define gph_release		mutated_release
#define gph_discard_begin	mutated_discard_begin
#define gph_discard_end		mutated_discard_end
#define gph_discard_undo	mutated_discard_undo

#endif /* GPH_WORD_MUTANTS_H */
