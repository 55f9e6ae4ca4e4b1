// SPDX-License-Identifier: GPL-2.0
/*
 * Guest page hinting: what becomes of a folio that the host has taken.
 *
 * A discarded folio is a clean folio that is gone.  There are two ways on:
 *
 *   drop    Nothing maps it and its lock is free: it leaves the page cache as if
 *	     reclaim had taken it, with a shadow entry, so that its return counts
 *	     as a refault.  The lookup becomes a miss, and readahead reads it.
 *   settle  Otherwise it stays, not uptodate.  Whoever locks it to read it again
 *	     first removes all page table entries and only then makes the word
 *	     STABLE: until then every access through an entry ends in a discard
 *	     fault, afterwards there is no entry.
 *
 * Lock order is that of reclaim: folio lock, i_mmap_rwsem; i_lock, i_pages lock.
 */
#include <linux/backing-dev.h>
#include <linux/fs.h>
#include <linux/memcontrol.h>
#include <linux/memory_hotplug.h>
#include <linux/pagemap.h>
#include <linux/rmap.h>
#include <linux/sched/signal.h>
#include <linux/swap.h>

#include <trace/events/gph.h>

#include "../internal.h"
#include "internal.h"

/* CLAIMED -> STABLE.  Folio locked, mapped nowhere. */
static void gph_settle_word(struct folio *folio)
{
	gph_word_t old;

	rcu_read_lock();
	if (folio_test_gph(folio)) {
		gph_cas(gph_word(folio), old, gph_settle);
		folio_clear_gph(folio);
	}
	rcu_read_unlock();
}

/*
 * See gph_removed().  A user that has a reference and has not looked at the word
 * yet must not take the removed folio for an intact one: upgrade first, which
 * withdraws uptodate if the content is gone.
 */
void __gph_removed(struct folio *folio)
{
	if (!__gph_folio_upgrade(folio))
		gph_settle_word(folio);
}

/*
 * Remove a locked folio that is off the LRU from @mapping, unless somebody else
 * has a reference.  Leaves the caller's reference as the only one.
 */
static bool gph_remove_mapping(struct address_space *mapping, struct folio *folio)
{
	void (*free_folio)(struct folio *) = mapping->a_ops->free_folio;
	void *shadow = NULL;

	/* A lookup's caller may hold i_lock of this inode or be far from it. */
	if (!spin_trylock(&mapping->host->i_lock))
		return false;
	xa_lock_irq(&mapping->i_pages);
	/* The page cache, the caller, and the isolation from the LRU. */
	if (!folio_ref_freeze(folio, folio_nr_pages(folio) + 2)) {
		xa_unlock_irq(&mapping->i_pages);
		spin_unlock(&mapping->host->i_lock);
		return false;
	}
	if (!mapping_exiting(mapping))
		shadow = workingset_eviction(folio, folio_memcg(folio));
	__filemap_remove_folio(folio, shadow);
	xa_unlock_irq(&mapping->i_pages);
	if (mapping_shrinkable(mapping))
		inode_add_lru(mapping->host);
	spin_unlock(&mapping->host->i_lock);

	if (free_folio)
		free_folio(folio);
	/* As reclaim does: off the LRU, nobody else clears it before the free. */
	folio_clear_active(folio);
	folio_ref_unfreeze(folio, 1);
	return true;
}

/*
 * gph_drop_locked - remove a folio that is not uptodate from the page cache
 * @folio: locked, one reference held by the caller
 *
 * Context: any with interrupts on.  Return: true if it has left the page cache.
 */
static bool gph_drop_locked(struct folio *folio)
{
	struct address_space *mapping = folio->mapping;

	if (!mapping || irqs_disabled() || folio_test_uptodate(folio) ||
	    folio_mapped(folio) || folio_test_dirty(folio) ||
	    folio_test_writeback(folio) || folio_test_private(folio))
		return false;
	if (!folio_isolate_lru(folio))
		return false;
	if (!gph_remove_mapping(mapping, folio)) {
		folio_putback_lru(folio);
		return false;
	}
	gph_count(GPH_dropped, 1);
	trace_gph_drop(folio);
	return true;
}

/* See gph_lookup_gone(). */
bool __gph_lookup_gone(struct folio *folio)
{
	bool dropped;

	if (__gph_folio_upgrade(folio))
		return false;
	if (irqs_disabled() || !folio_trylock(folio))
		return false;
	dropped = gph_drop_locked(folio);
	folio_unlock(folio);
	return dropped;
}

/* Remove every page table entry of a locked folio.  May sleep. */
static int gph_unmap(struct folio *folio)
{
	int tries = 0;

	while (folio_mapped(folio)) {
		try_to_unmap(folio, TTU_IGNORE_MLOCK | TTU_SPLIT_HUGE_PMD | TTU_SYNC);
		if (!folio_mapped(folio))
			break;
		/* An unmap in flight may count in mapcount until its TLB flush. */
		if (++tries == 1000) {
			gph_count(GPH_settle_failed, 1);
			return -EAGAIN;
		}
		schedule_timeout_uninterruptible(1);
	}
	return 0;
}

/* See gph_folio_settle(). */
int __gph_folio_settle(struct folio *folio, bool nowait)
{
	int error;

	VM_WARN_ON_ONCE_FOLIO(!folio_test_locked(folio), folio);
	if (__gph_folio_upgrade(folio))
		return 0;
	if (nowait && folio_mapped(folio))
		return -EAGAIN;
	error = gph_unmap(folio);
	if (error)
		return error;
	gph_settle_word(folio);
	gph_count(GPH_settled, 1);
	trace_gph_settle(folio);
	return 0;
}

/* Settle and, since nothing maps it any more, drop.  Folio not locked. */
void gph_recover(struct folio *folio)
{
	folio_lock(folio);
	if (!__gph_folio_settle(folio, false))
		gph_drop_locked(folio);
	folio_unlock(folio);
}

/* See gph_gone_put(). */
void __gph_gone_put(struct folio *folio)
{
	gph_recover(folio);
	folio_put(folio);
}

/* See gph_readahead(). */
void __gph_readahead(struct address_space *mapping, pgoff_t index,
		     unsigned long nr)
{
	XA_STATE(xas, &mapping->i_pages, index);
	struct folio *folio;

	rcu_read_lock();
	xas_for_each(&xas, folio, index + nr - 1) {
		if (xas_retry(&xas, folio) || xa_is_value(folio) ||
		    !folio_test_gph(folio) ||
		    !gph_gone(READ_ONCE(*gph_word(folio))))
			continue;
		if (!folio_try_get(folio))
			continue;
		if (folio == xas_reload(&xas))
			gph_lookup_gone(folio);
		folio_put(folio);
	}
	rcu_read_unlock();
}

/* An access that cannot sleep met a discarded frame and took its fixup. */
void gph_count_fixup(void)
{
	gph_count(GPH_faults_fixup, 1);
}

/*
 * Has this kernel offered @folio to the host?  If somebody else has recovered it
 * meanwhile the flag is clear, but then the word is not gone any more either.
 */
static bool gph_offered(struct folio *folio)
{
	bool offered;

	rcu_read_lock();
	offered = !static_key_enabled(&gph_key) || folio_test_gph(folio) ||
		  !gph_gone(READ_ONCE(*gph_word(folio)));
	rcu_read_unlock();
	return offered;
}

/**
 * gph_discard_fault - the architecture has received a discard fault
 * @pfn: the frame that was accessed
 * @user: the access was made in user mode (for the statistics)
 *
 * Makes the access possible again: the folio that the frame belongs to is
 * unmapped and dropped, so that the access, when repeated, is an ordinary fault.
 * If the frame has meanwhile been recovered or reused, there is nothing to do.
 *
 * Context: may sleep; locks as for any page fault of this access.
 * Return: true to repeat the access; false if the host says that a frame is gone
 * which this kernel has never offered to it.
 */
bool gph_discard_fault(unsigned long pfn, bool user)
{
	struct page *page = pfn_to_online_page(pfn);
	struct folio *folio;
	bool ours;

	gph_count(user ? GPH_faults_user : GPH_faults_kernel, 1);
	trace_gph_fault(pfn, user);
	if (!page || pfn >= gph_nr_frames)
		return false;
	folio = page_folio(page);
	if (!folio_try_get(folio))
		goto spurious;
	if (page_folio(page) != folio) {
		folio_put(folio);
		goto spurious;
	}
	ours = gph_offered(folio);
	if (ours)
		gph_recover(folio);
	folio_put(folio);
	return ours;

spurious:
	gph_count(GPH_faults_spurious, 1);
	return true;
}
