/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * The state word of guest page hinting: every legal transition, as pure functions.
 *
 * Freestanding C without atomics.  A transition takes a word that was read
 * before, and either changes it in place and returns true, or leaves it alone
 * and returns false.  The caller publishes the new value with one
 * compare-and-swap from the old one and starts again if that fails.  The guest,
 * the device, the unit tests, the proofs and the interleaving models compile
 * this file unchanged.
 *
 *                     downgrade_begin            downgrade_commit
 *        +----------+ ---------------> PENDING ------------------> VOLATILE
 *        |          | <--------------- (token)                     UNUSED
 *        |  STABLE  |  downgrade_cancel, upgrade                     |   |
 *        |          | <----------------------------------------------+   |
 *        |  (zero)  |                upgrade                             |
 *        |          |                                  discard_begin     v
 *        |          | <--- settle --- CLAIMED <-- claim --+       DISCARDING
 *        |          |                                     |             |
 *        |          | <--- release --------------- DISCARDED <----------+
 *        +----------+                                        discard_end
 *
 * The guest makes every transition but those named discard_*, which are the
 * device's.  The order of memory accesses around a transition is the caller's
 * business and is described, and proved, where the caller is.
 */
#ifndef GPH_STATE_H
#define GPH_STATE_H

#ifdef __KERNEL__
#include <linux/types.h>
#else
#include <stdbool.h>
#include <stdint.h>
#endif
#include <linux/virtio_gph.h>

typedef uint16_t gph_word_t;

/* Tokens are this many; a guest with more possible CPUs must not downgrade. */
#define GPH_NR_TOKENS	(VIRTIO_GPH_TOKEN_MASK >> VIRTIO_GPH_TOKEN_SHIFT)

static inline unsigned int gph_state(gph_word_t word)
{
	return word & VIRTIO_GPH_STATE_MASK;
}

static inline bool gph_pending(gph_word_t word)
{
	return word & VIRTIO_GPH_PENDING;
}

static inline unsigned int gph_order(gph_word_t word)
{
	return (word & VIRTIO_GPH_ORDER_MASK) >> VIRTIO_GPH_ORDER_SHIFT;
}

static inline unsigned int gph_epoch(gph_word_t word)
{
	return word >> VIRTIO_GPH_EPOCH_SHIFT;
}

static inline unsigned int gph_token(gph_word_t word)
{
	return word >> VIRTIO_GPH_TOKEN_SHIFT;
}

/* Epochs from @word's to @now, 0 to 255. */
static inline unsigned int gph_age(gph_word_t word, unsigned int now)
{
	return (now - gph_epoch(word)) & 0xff;
}

static inline gph_word_t gph_make(unsigned int state, unsigned int order,
				  unsigned int epoch)
{
	return (gph_word_t)(state | order << VIRTIO_GPH_ORDER_SHIFT |
			    (epoch & 0xff) << VIRTIO_GPH_EPOCH_SHIFT);
}

static inline gph_word_t gph_make_pending(unsigned int token)
{
	return (gph_word_t)(VIRTIO_GPH_PENDING | token << VIRTIO_GPH_TOKEN_SHIFT);
}

/* Is @word one that a correct peer can have written?  (Alignment is the caller's.) */
static inline bool gph_valid(gph_word_t word)
{
	if (gph_state(word) == VIRTIO_GPH_STABLE)
		return !word || gph_pending(word);
	return !gph_pending(word) && gph_state(word) <= VIRTIO_GPH_CLAIMED &&
	       gph_order(word) <= VIRTIO_GPH_MAX_ORDER;
}

/* May the device take the frames of @word? */
static inline bool gph_takeable(gph_word_t word)
{
	return gph_valid(word) && (gph_state(word) == VIRTIO_GPH_VOLATILE ||
				   gph_state(word) == VIRTIO_GPH_UNUSED);
}

/* Is the content of the frames of @word gone, so that an access must fault? */
static inline bool gph_gone(gph_word_t word)
{
	return gph_valid(word) && (gph_state(word) == VIRTIO_GPH_DISCARDED ||
				   gph_state(word) == VIRTIO_GPH_CLAIMED);
}

/* --- guest --- */

/* STABLE -> PENDING.  The caller then orders, checks, and commits or cancels. */
static inline bool gph_downgrade_begin(gph_word_t *word, unsigned int token)
{
	if (*word || token >= GPH_NR_TOKENS)
		return false;
	*word = gph_make_pending(token);
	return true;
}

/* PENDING -> VOLATILE or UNUSED, only if it is still the caller's own PENDING. */
static inline bool gph_downgrade_commit(gph_word_t *word, unsigned int token,
					unsigned int state, unsigned int order,
					unsigned int epoch)
{
	if (*word != gph_make_pending(token))
		return false;
	if (state != VIRTIO_GPH_VOLATILE && state != VIRTIO_GPH_UNUSED)
		return false;
	if (order > VIRTIO_GPH_MAX_ORDER)
		return false;
	*word = gph_make(state, order, epoch);
	return true;
}

/* PENDING -> STABLE, only if it is still the caller's own PENDING. */
static inline bool gph_downgrade_cancel(gph_word_t *word, unsigned int token)
{
	if (*word != gph_make_pending(token))
		return false;
	*word = VIRTIO_GPH_STABLE;
	return true;
}

/* PENDING, VOLATILE or UNUSED -> STABLE: the caller has made a use visible. */
static inline bool gph_upgrade(gph_word_t *word)
{
	if (!gph_pending(*word) && gph_state(*word) != VIRTIO_GPH_VOLATILE &&
	    gph_state(*word) != VIRTIO_GPH_UNUSED)
		return false;
	*word = VIRTIO_GPH_STABLE;
	return true;
}

/*
 * DISCARDED -> CLAIMED: of all that find the content gone, the one whose
 * compare-and-swap succeeds withdraws the content (clears uptodate), once.
 */
static inline bool gph_claim(gph_word_t *word)
{
	if (gph_state(*word) != VIRTIO_GPH_DISCARDED)
		return false;
	*word = (gph_word_t)((*word & ~VIRTIO_GPH_STATE_MASK) | VIRTIO_GPH_CLAIMED);
	return true;
}

/* CLAIMED -> STABLE: nothing maps the frames any more, they may be refilled. */
static inline bool gph_settle(gph_word_t *word)
{
	if (gph_state(*word) != VIRTIO_GPH_CLAIMED)
		return false;
	*word = VIRTIO_GPH_STABLE;
	return true;
}

/*
 * Anything but DISCARDING -> STABLE: the frames lose their meaning and go back
 * to the allocator.  DISCARDING must be waited for, since a device that writes
 * to the frames is not trapped and its data would be thrown away.
 */
static inline bool gph_release(gph_word_t *word)
{
	if (gph_state(*word) == VIRTIO_GPH_DISCARDING)
		return false;
	*word = VIRTIO_GPH_STABLE;
	return true;
}

/* --- device --- */

/* VOLATILE or UNUSED -> DISCARDING.  The frames must be trapped already. */
static inline bool gph_discard_begin(gph_word_t *word)
{
	if (!gph_takeable(*word))
		return false;
	*word = (gph_word_t)((*word & ~VIRTIO_GPH_STATE_MASK) | VIRTIO_GPH_DISCARDING);
	return true;
}

/* DISCARDING -> DISCARDED.  The memory has been given back already. */
static inline bool gph_discard_end(gph_word_t *word)
{
	if (!gph_valid(*word) || gph_state(*word) != VIRTIO_GPH_DISCARDING)
		return false;
	*word = (gph_word_t)((*word & ~VIRTIO_GPH_STATE_MASK) | VIRTIO_GPH_DISCARDED);
	return true;
}

/* DISCARDING -> what it was: the memory could not be given back. */
static inline bool gph_discard_undo(gph_word_t *word, gph_word_t was)
{
	gph_word_t now = was;

	if (!gph_discard_begin(&now) || now != *word)
		return false;
	*word = was;
	return true;
}

#endif /* GPH_STATE_H */
