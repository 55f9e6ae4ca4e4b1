// SPDX-License-Identifier: GPL-2.0
/*
 * Guest page hinting: folios that were read for the first time.
 *
 * When read(2) is done with a folio that readahead has just brought in, the
 * folio usually sits in a per-CPU batch on its way to the LRU list, and the
 * batch has a reference.  A downgrade would be refused.  So the frame number is
 * noted and the downgrade made some reads later, when the batch has moved on.
 * No reference is held meanwhile: what has become of the frame is checked then.
 */
#include <linux/pagemap.h>
#include <linux/pagevec.h>
#include <linux/percpu.h>

#include "internal.h"

/* Twice what a batch holds: a frame waits until that many others came. */
#define GPH_RECENT_BATCH	PAGEVEC_SIZE

struct gph_recent {
	unsigned int nr;
	unsigned long pfn[2 * GPH_RECENT_BATCH];
};

static DEFINE_PER_CPU(struct gph_recent, gph_recent);

/*
 * Note @pfn.  If the list is full, move its older half to @batch first.
 * Returns the number of frames moved.
 */
static unsigned int gph_recent_add(unsigned long pfn, unsigned long *batch)
{
	struct gph_recent *recent = get_cpu_ptr(&gph_recent);
	unsigned int moved = 0;

	if (recent->nr == ARRAY_SIZE(recent->pfn)) {
		moved = GPH_RECENT_BATCH;
		memcpy(batch, recent->pfn, moved * sizeof(*batch));
		recent->nr -= moved;
		memcpy(recent->pfn, recent->pfn + moved, recent->nr * sizeof(*batch));
	}
	recent->pfn[recent->nr++] = pfn;
	put_cpu_ptr(&gph_recent);
	return moved;
}

/* The folio at @pfn may have changed since: all conditions are tested again. */
static void gph_recent_downgrade(unsigned long pfn)
{
	struct folio *folio = gph_get_folio(pfn);

	if (!folio)
		return;
	if (!(folio->flags & GPH_USED_AGAIN) && !folio_mapped(folio) &&
	    folio_trylock(folio)) {
		gph_downgrade_recent(folio);
		folio_unlock(folio);
	}
	folio_put(folio);
}

/* See gph_read_done(). */
void __gph_read_done(struct folio *folio)
{
	unsigned long batch[GPH_RECENT_BATCH];
	unsigned int i, nr = gph_recent_add(folio_pfn(folio), batch);

	for (i = 0; i < nr; i++)
		gph_recent_downgrade(batch[i]);
}
