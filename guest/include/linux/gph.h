/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Guest page hinting: the hooks that core mm and the file systems' common code call.
 *
 * Every hook is a static key, then one test of the folio's flags, and only then
 * a function call.  While the key is off (no device, or gph=off) the cost is a
 * no-op instruction; with CONFIG_GPH=n nothing is left.
 *
 * PG_gph says "the state word of this folio may be something else than STABLE".
 * It is set before a word leaves STABLE and cleared after it came back, so
 * whoever takes a reference with full ordering and then finds PG_gph clear may
 * use the content, and a later downgrade will see the reference.  The argument
 * is in mm/gph/downgrade.c.
 */
#ifndef _LINUX_GPH_H
#define _LINUX_GPH_H

#include <linux/jump_label.h>
#include <linux/mm.h>
#include <linux/virtio_gph.h>

struct address_space;
struct virtio_gph_control;

#ifdef CONFIG_GPH

FOLIO_FLAG(gph, FOLIO_HEAD_PAGE)

DECLARE_STATIC_KEY_FALSE(gph_key);

static __always_inline bool gph_maybe(const struct folio *folio)
{
	return static_branch_unlikely(&gph_key) &&
	       unlikely(folio_test_gph(folio));
}

bool __gph_folio_upgrade(struct folio *folio);
bool __gph_lookup_gone(struct folio *folio);
int __gph_folio_settle(struct folio *folio, bool nowait);
void __gph_gone_put(struct folio *folio);
void __gph_removed(struct folio *folio);
void __gph_unmapped(struct folio *folio);
void __gph_read_done(struct folio *folio);
void __gph_readahead(struct address_space *mapping, pgoff_t index,
		     unsigned long nr);

/**
 * gph_folio_upgrade - the caller is about to depend on a folio's content
 * @folio: a folio on which the caller holds a reference of its own
 *
 * Context: any.  The reference was taken by an operation with full ordering, or
 * on an architecture whose atomics have it (Kconfig allows no other).
 * Return: true if the content is there and stays as long as the reference does;
 * false if the host has taken it, and the folio is no longer uptodate.
 */
static __always_inline bool gph_folio_upgrade(struct folio *folio)
{
	return !gph_maybe(folio) || __gph_folio_upgrade(folio);
}

/**
 * gph_lookup_gone - a lookup has just taken a reference in the page cache
 * @folio: the folio, as found in its mapping
 *
 * Makes the folio stable.  If the host has taken it, drops it from the page
 * cache where that is possible without sleeping, as reclaim would, so that the
 * lookup becomes a miss and readahead reads it again.
 *
 * Context: any, also under rcu_read_lock().
 * Return: true if the folio has left the page cache and the caller shall put it
 * and look again; false to go on (the folio may be not uptodate).
 */
static __always_inline bool gph_lookup_gone(struct folio *folio)
{
	return gph_maybe(folio) && __gph_lookup_gone(folio);
}

/**
 * gph_folio_settle - make a folio stable whatever has happened to it
 * @folio: a locked folio on which the caller holds a reference
 * @nowait: do not sleep; fail instead
 *
 * On success the frames may be read into, copied, split or written.  If the
 * content was gone, the folio is mapped nowhere and is not uptodate.
 *
 * Context: may sleep unless @nowait.
 * Return: 0, or -EAGAIN if a mapping of a discarded folio could not be removed.
 */
static __always_inline int gph_folio_settle(struct folio *folio, bool nowait)
{
	return gph_maybe(folio) ? __gph_folio_settle(folio, nowait) : 0;
}

/**
 * gph_gone_put - put a mapped folio whose content turned out to be gone
 * @folio: folio on which the caller holds one reference, and which is mapped by
 *	a page table entry that the caller found
 *
 * Removes all its page table entries, so that the next access is an ordinary
 * fault.  Context: may sleep; no page table lock, no folio lock held.
 */
static inline void gph_gone_put(struct folio *folio)
{
	__gph_gone_put(folio);
}

/**
 * gph_removed - a folio leaves the page cache
 * @folio: a locked folio, mapped nowhere, i_pages lock held
 */
static __always_inline void gph_removed(struct folio *folio)
{
	if (gph_maybe(folio))
		__gph_removed(folio);
}

/**
 * gph_unmapped - page table entries of a folio are going away
 * @folio: a folio whose mapcount was just decremented; the reference of the
 *	mapping is still held
 *
 * Calls off a downgrade in flight, see "mapped folios" in mm/gph/downgrade.c.
 */
static __always_inline void gph_unmapped(struct folio *folio)
{
	if (!static_branch_unlikely(&gph_key))
		return;
	smp_mb__after_atomic();	/* [unmap:B], pairs with [down:B] */
	if (unlikely(folio_test_gph(folio)))
		__gph_unmapped(folio);
}

/*
 * A folio with one of these has been used before, or is of no interest.  The
 * first use of a folio sets PG_referenced, the second one of these two, under
 * the classic LRU and MGLRU alike.
 */
#define GPH_USED_AGAIN	(BIT(PG_active) | BIT(PG_workingset) | BIT(PG_gph) | \
			 BIT(PG_dirty) | BIT(PG_writeback) | BIT(PG_private))

/**
 * gph_read_done - a read(2) has copied from a folio and is about to put it
 * @folio: the folio
 * @pos: file position behind the last byte that was copied
 * @isize: file size
 *
 * Offers a folio that was read to its end for the first time to the host.
 * Context: task context, no locks, the caller's reference still held.
 */
static __always_inline void gph_read_done(struct folio *folio, loff_t pos,
					  loff_t isize)
{
	if (!static_branch_unlikely(&gph_key) || folio->flags & GPH_USED_AGAIN)
		return;
	if (pos >= isize ||
	    (u64)pos >> PAGE_SHIFT >= folio->index + folio_nr_pages(folio))
		__gph_read_done(folio);
}

/**
 * gph_readahead - readahead is going to fill a part of a file
 * @mapping: the file
 * @index: first page
 * @nr: number of pages
 *
 * Drops discarded folios in that part: readahead skips what is in the cache, so
 * each of them would cut an I/O in two and cost a small read of its own.
 */
static __always_inline void gph_readahead(struct address_space *mapping,
					  pgoff_t index, unsigned long nr)
{
	if (static_branch_unlikely(&gph_key))
		__gph_readahead(mapping, index, nr);
}

/**
 * gph_is_discard_fault - is this page fault address a discard fault?
 * @address: fault address as the architecture reports it
 */
static __always_inline bool gph_is_discard_fault(unsigned long address)
{
	return static_branch_unlikely(&gph_key) &&
	       address >> VIRTIO_GPH_FAULT_TAG_SHIFT == VIRTIO_GPH_FAULT_TAG;
}

bool gph_discard_fault(unsigned long pfn, bool user);
void gph_count_fixup(void);

int gph_enable(__le16 *words, unsigned long nr_frames,
	       struct virtio_gph_control *control);
void gph_disable(void);
void gph_request_age(void);

#else /* !CONFIG_GPH */

static inline bool gph_folio_upgrade(struct folio *folio) { return true; }
static inline bool gph_lookup_gone(struct folio *folio) { return false; }
static inline int gph_folio_settle(struct folio *folio, bool nowait) { return 0; }
static inline void gph_gone_put(struct folio *folio) { }
static inline void gph_removed(struct folio *folio) { }
static inline void gph_unmapped(struct folio *folio) { }
static inline void gph_read_done(struct folio *folio, loff_t pos, loff_t isize) { }
static inline void gph_readahead(struct address_space *mapping, pgoff_t index,
				 unsigned long nr) { }
static inline bool gph_is_discard_fault(unsigned long address) { return false; }

#endif /* CONFIG_GPH */
#endif /* _LINUX_GPH_H */
