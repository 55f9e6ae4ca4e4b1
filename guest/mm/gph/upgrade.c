// SPDX-License-Identifier: GPL-2.0
/*
 * Guest page hinting: VOLATILE -> STABLE, and finding out that it is too late.
 *
 * The caller has taken a reference ([up:A] in downgrade.c) and found PG_gph set
 * ([up:B]).  What is left is to look at the word.  Nothing here sleeps.
 *
 * When the host was faster, the folio becomes what the page cache already knows
 * how to treat: a folio that is not uptodate.  Several users may find out at the
 * same time, and one that comes late must not withdraw the content that another
 * has meanwhile read again.  So the word decides who does it:
 *
 *	winner					others
 *	[claim:A] DISCARDED -> CLAIMED		see CLAIMED
 *	[claim:B] clear uptodate		[claim:C] wait until uptodate is clear
 *
 * The word leaves CLAIMED only under the folio lock, and only after uptodate was
 * cleared (settle, in discard.c), so whoever reads STABLE after that also sees
 * the folio not uptodate, or refilled: [claim:D] pairs with the full ordering of
 * the compare-and-swap that wrote STABLE.
 */
#include <linux/pagemap.h>

#include <trace/events/gph.h>

#include "internal.h"

static void gph_claim_folio(struct folio *folio)
{
	gph_word_t old;

	/* Others spin in [claim:C]: no preemption between the two steps. */
	preempt_disable();
	if (gph_cas(gph_word(folio), old, gph_claim)) {		/* [claim:A] */
		folio_clear_uptodate(folio);			/* [claim:B] */
		preempt_enable();
		gph_count(GPH_claimed, 1);
		gph_count(GPH_pages_claimed, folio_nr_pages(folio));
		trace_gph_claim(folio);
		return;
	}
	preempt_enable();
}

/* One look at a word that is not STABLE; the caller looks again after it. */
static void gph_upgrade_step(struct folio *folio, gph_word_t old)
{
	gph_word_t *word = gph_word(folio);

	if (gph_state(old) == VIRTIO_GPH_DISCARDING) {
		gph_wait(folio);
	} else if (gph_state(old) == VIRTIO_GPH_DISCARDED) {
		gph_claim_folio(folio);
	} else if (gph_cas(word, old, gph_upgrade)) {
		if (gph_pending(old)) {
			/* The downgrader holds the lock and clears the flag. */
			gph_count(GPH_cancelled, 1);
			return;
		}
		/* While the reference is held; see [down:E]. */
		folio_clear_gph(folio);
		gph_count(GPH_upgraded, 1);
		trace_gph_upgrade(folio);
	}
}

/* See gph_folio_upgrade(). */
bool __gph_folio_upgrade(struct folio *folio)
{
	gph_word_t word;
	bool there = true;

	/* gph_disable() waits for readers before the table goes. */
	rcu_read_lock();
	while (folio_test_gph(folio)) {
		word = smp_load_acquire(gph_word(folio));	/* [claim:D] */
		if (!word)
			break;
		if (gph_state(word) == VIRTIO_GPH_CLAIMED) {
			if (!folio_test_uptodate(folio)) {	/* [claim:C] */
				there = false;
				break;
			}
			cpu_relax();
			continue;
		}
		gph_upgrade_step(folio, word);
	}
	rcu_read_unlock();
	return there;
}

/* See gph_unmapped(): [unmap:C]. */
void __gph_unmapped(struct folio *folio)
{
	gph_word_t old;

	rcu_read_lock();
	if (folio_test_gph(folio) && gph_pending(READ_ONCE(*gph_word(folio))) &&
	    gph_cas(gph_word(folio), old, gph_cancel_pending))
		gph_count(GPH_cancelled, 1);
	rcu_read_unlock();
}
