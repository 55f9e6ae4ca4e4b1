// SPDX-License-Identifier: GPL-2.0
/*
 * Guest page hinting: finding cold folios.
 *
 * A folio that was used again after its first use is stable and stays so until
 * it is cold, that is: not used between two passes.  A pass walks the page
 * structures, like idle page tracking, and uses its flag: PG_idle is set by a
 * pass and cleared by folio_mark_accessed() and by a referenced page table entry.
 * A folio that a pass finds still idle goes volatile.  No hook in reclaim is
 * needed, and hot paths pay nothing.
 *
 * A pass runs when the timer says so, when the host asks, or when somebody
 * writes to /sys/kernel/mm/gph/age.
 */
#include <linux/memory_hotplug.h>
#include <linux/mmu_notifier.h>
#include <linux/mutex.h>
#include <linux/page_idle.h>
#include <linux/pagemap.h>
#include <linux/rmap.h>
#include <linux/swap.h>
#include <linux/workqueue.h>

#include "internal.h"

/* Unless told otherwise: long enough that a folio in use is seen in use. */
unsigned int gph_age_interval_ms = 30000;

static DEFINE_MUTEX(gph_age_mutex);	/* one pass at a time; owns GPH_TOKEN_AGE */
static void gph_age_work_fn(struct work_struct *work);
static DECLARE_DELAYED_WORK(gph_age_work, gph_age_work_fn);

/*
 * gph_get_folio - the file cache folio that starts at a frame
 * @pfn: frame number
 *
 * Return: the folio with a reference, or NULL.  Tests before the reference are
 * hints.
 */
struct folio *gph_get_folio(unsigned long pfn)
{
	struct page *page = pfn_to_online_page(pfn);
	struct folio *folio;

	if (!page || PageTail(page) || !PageLRU(page))
		return NULL;
	folio = page_folio(page);
	if (folio_test_swapbacked(folio) || !folio_try_get(folio))
		return NULL;
	if (page_folio(page) == folio && folio_test_lru(folio) &&
	    !folio_test_swapbacked(folio))
		return folio;
	folio_put(folio);
	return NULL;
}

/* Test and clear the referenced bits of one vma. */
static bool gph_age_vma(struct folio *folio, struct vm_area_struct *vma,
			unsigned long address, void *arg)
{
	DEFINE_FOLIO_VMA_WALK(pvmw, folio, vma, address, 0);
	bool *referenced = arg;

	while (page_vma_mapped_walk(&pvmw)) {
		if (pvmw.pte)
			*referenced |= ptep_clear_young_notify(vma, pvmw.address, pvmw.pte);
		else
			*referenced = true;	/* a PMD mapping: never volatile */
	}
	return true;
}

/*
 * Was a locked folio used since the last pass?  Marks it for the next one.
 * folio_referenced() would do, but wants the folio isolated from the LRU.
 */
static bool gph_age_used(struct folio *folio)
{
	bool referenced = false, used = !folio_test_idle(folio);
	struct rmap_walk_control rwc = {
		.rmap_one = gph_age_vma,
		.arg = &referenced,
	};

	if (folio_mapped(folio))
		rmap_walk(folio, &rwc);
	if (referenced)
		folio_set_young(folio);	/* reclaim must not miss what this cleared */
	folio_set_idle(folio);
	return used || referenced;
}

/* Call @fn on every folio of gph_get_folio(), locked, until it returns false. */
static void gph_for_each_folio(void (*fn)(struct folio *folio))
{
	unsigned long pfn, nr;
	struct folio *folio;

	lru_add_drain_all();
	for (pfn = 0; pfn < gph_nr_frames; pfn += nr) {
		nr = 1;
		if (!(pfn & 1023))
			cond_resched();
		folio = gph_get_folio(pfn);
		if (!folio)
			continue;
		nr = folio_nr_pages(folio);
		if (folio_trylock(folio)) {
			fn(folio);
			folio_unlock(folio);
		}
		folio_put(folio);
	}
}

static void gph_age_folio(struct folio *folio)
{
	if (!folio_test_gph(folio) && !gph_age_used(folio))
		gph_downgrade_cold(folio);
}

/* One pass.  Context: may sleep. */
void gph_age_now(void)
{
	guard(mutex)(&gph_age_mutex);
	if (!gph_table || READ_ONCE(gph_stopping))
		return;
	gph_for_each_folio(gph_age_folio);
	gph_count(GPH_age_passes, 1);
}

static void gph_age_work_fn(struct work_struct *work)
{
	gph_age_now();
	if (!READ_ONCE(gph_stopping))
		gph_age_start();
}

/* Arm the timer, if there is an interval. */
void gph_age_start(void)
{
	unsigned int ms = READ_ONCE(gph_age_interval_ms);

	if (ms)
		mod_delayed_work(system_unbound_wq, &gph_age_work,
				 msecs_to_jiffies(ms));
}

/* With gph_stopping set: on return no pass runs, and none will do anything. */
void gph_age_stop(void)
{
	cancel_delayed_work_sync(&gph_age_work);
	/* One that was started through sysfs. */
	mutex_lock(&gph_age_mutex);
	mutex_unlock(&gph_age_mutex);
}

/**
 * gph_request_age - the host asks for more volatile folios
 *
 * Context: any.
 */
void gph_request_age(void)
{
	mod_delayed_work(system_unbound_wq, &gph_age_work, 0);
}
EXPORT_SYMBOL_GPL(gph_request_age);

/* Make the word of @pfn, which was not STABLE, STABLE. */
static void gph_stabilise(unsigned long pfn)
{
	struct page *page = pfn_to_online_page(pfn);
	struct folio *folio;

	if (WARN_ON_ONCE(!page))
		return;
	while (READ_ONCE(gph_table[pfn])) {
		folio = page_folio(page);
		if (folio_try_get(folio)) {
			if (page_folio(page) == folio)
				gph_recover(folio);
			folio_put(folio);
		}
		cond_resched();
	}
}

/*
 * Make every word STABLE.  No downgrade runs and none will start.  Unlike a pass
 * this must not leave out a folio, so it goes by the words themselves.
 */
void gph_stabilise_all(void)
{
	unsigned long pfn;

	for (pfn = 0; pfn < gph_nr_frames; pfn++) {
		if (!(pfn & 1023))
			cond_resched();
		if (READ_ONCE(gph_table[pfn]))
			gph_stabilise(pfn);
	}
}
