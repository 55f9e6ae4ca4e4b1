// SPDX-License-Identifier: GPL-2.0
/*
 * Guest page hinting: STABLE -> VOLATILE.
 *
 * The caller holds the folio lock and one reference.  A downgrade is best
 * effort: any doubt, any lost compare-and-swap, and the folio stays stable.
 *
 * Order
 * -----
 *	downgrader				user
 *	[down:A] set PG_gph			[up:A] take a reference
 *		 word = PENDING|token			(value-returning: full barrier)
 *	[down:B] full barrier			[up:B] read PG_gph
 *	[down:C] read mapcount			       clear: use the content
 *	[down:D] read refcount			       set: word -> STABLE, then use it
 *	[down:E] read flags, PG_gph again
 *	[down:F] PENDING|token -> VOLATILE
 *
 * The user publishes its reference and then looks at PG_gph; the downgrader
 * publishes PG_gph and then looks at the references.  At least one of them sees
 * the other: either [down:D] counts the reference, or [up:B] finds the flag, and
 * then the word, which makes [down:F] fail or takes the folio back after it.
 *
 * PG_gph is read again at [down:E] because an earlier user may be between taking
 * the word back and clearing the flag.  It clears the flag before it drops its
 * reference, so if [down:D] does not count that reference, [down:E] sees the flag
 * clear, and the downgrade is off: a volatile word always has its flag.
 *
 * Only one downgrader works on a folio, because it holds the folio lock, and the
 * frame cannot be freed under it, because it holds a reference.  The token makes
 * a mistake in this harmless: [down:F] cannot complete somebody else's PENDING.
 *
 * Mapped folios
 * -------------
 * References must be exactly those of the page cache, of the mappings and of the
 * caller, but mapcount and refcount cannot be read at once.  A mapping takes its
 * reference before it counts in mapcount and drops it after it left mapcount:
 * outside the folio lock at any instant "references by mappings" >= mapcount.
 *
 * Mapcount is read first.  A mapping that comes between [down:C] and [down:D]
 * makes the references too many: no downgrade.  One that goes in between could
 * hide a foreign reference.  It is therefore called off in the middle:
 *
 *	downgrader				unmap (__folio_remove_rmap())
 *	[down:A] PENDING
 *	[down:C] mapcount = n
 *						[unmap:A] mapcount = n - 1
 *						[unmap:B] full barrier
 *						[unmap:C] PG_gph set: PENDING -> STABLE
 *						[unmap:D] drop the mapping's reference
 *	[down:D] refcount looks right
 *	[down:F] fails
 *
 * If [down:D] misses the reference of [unmap:D], it is later than [unmap:C], and
 * [unmap:A] was later than [down:C], so [unmap:C] saw the flag.
 */
#include <linux/dax.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <linux/mmu_notifier.h>
#include <linux/pagemap.h>
#include <linux/rmap.h>
#include <linux/swap.h>

#define CREATE_TRACE_POINTS
#include <trace/events/gph.h>

#include "internal.h"

/*
 * C1 - the file systems whose paths from a lookup to the content were audited:
 * every one of them goes through a hook, and the private data that they attach
 * to a folio comes off with filemap_release_folio().
 */
static bool gph_fs_audited(const struct super_block *sb)
{
	switch (sb->s_magic) {
	case EXT4_SUPER_MAGIC:	/* ext2, ext3 and ext4 */
	case XFS_SUPER_MAGIC:
		return true;
	}
	return false;
}

/* C1 to C3: true of a mapping for as long as a locked folio is in it. */
static bool gph_mapping_ok(struct address_space *mapping)
{
	struct inode *inode = mapping->host;

	return inode && S_ISREG(inode->i_mode) && gph_fs_audited(inode->i_sb) &&
	       !dax_mapping(mapping) &&			/* C2 */
	       !mapping_unevictable(mapping) &&		/* C3 */
	       !mapping_exiting(mapping);
}

/*
 * C4 to C8: the folio's own flags.  Read before the word is published, to save
 * the work, and after, because only then they count.
 */
static bool gph_flags_ok(struct folio *folio)
{
	return folio_test_uptodate(folio) &&					/* C4 */
	       !folio_test_dirty(folio) && !folio_test_writeback(folio) &&	/* C5 */
	       !folio_test_mlocked(folio) && !folio_test_unevictable(folio) &&	/* C6 */
	       !folio_test_private(folio) && !folio_test_private_2(folio) &&	/* C7 */
	       folio_test_lru(folio) && !folio_test_reserved(folio);		/* C8 */
}

/* Cheap tests that spare most folios the shared word. */
static bool gph_candidate(struct folio *folio)
{
	struct address_space *mapping = folio_mapping(folio);

	if (!mapping || folio_test_swapbacked(folio) || !gph_mapping_ok(mapping))
		return false;
	if (folio_order(folio) > VIRTIO_GPH_MAX_ORDER)
		return false;
	if (folio_pfn(folio) + folio_nr_pages(folio) > gph_nr_frames)
		return false;
	if (folio_test_dirty(folio) || folio_test_writeback(folio))
		return false;
	/* Buffer heads and iomap state remember "uptodate" on their own. */
	if (folio_test_private(folio) && !filemap_release_folio(folio, GFP_NOWAIT))
		return false;
	return gph_flags_ok(folio);
}

/*
 * C9 - one vma that maps the folio: nobody has asked to keep it resident, no
 * secondary MMU of this kernel (a nested guest, a device) may hold it without a
 * reference, and every entry is clean and read-only, so that the next write
 * faults and takes a reference.
 */
static bool gph_vma_ok(struct folio *folio, struct vm_area_struct *vma,
		       unsigned long address, void *arg)
{
	DEFINE_FOLIO_VMA_WALK(pvmw, folio, vma, address, PVMW_SYNC);
	bool *ok = arg;

	if (vma->vm_flags & (VM_LOCKED | VM_SPECIAL) ||
	    mm_has_notifiers(vma->vm_mm))
		*ok = false;

	while (*ok && page_vma_mapped_walk(&pvmw)) {
		if (!pvmw.pte || pte_write(ptep_get(pvmw.pte)) ||
		    pte_dirty(ptep_get(pvmw.pte))) {
			*ok = false;
			page_vma_mapped_walk_done(&pvmw);
		}
	}
	return *ok;
}

/* C9 for all vmas.  May sleep. */
static bool gph_mappings_ok(struct folio *folio)
{
	bool ok = true;
	struct rmap_walk_control rwc = { .rmap_one = gph_vma_ok, .arg = &ok };

	rmap_walk(folio, &rwc);
	return ok;
}

/*
 * C10 - nobody else has a reference.  @mapped: the caller can sleep, and
 * has looked at the mappings; otherwise there may be none.
 */
static bool gph_unused_by_others(struct folio *folio, bool mapped)
{
	int mapcount = folio_mapcount(folio);		/* [down:C] */

	if (mapcount && !mapped)
		return false;
	smp_rmb();	/* [down:C] before [down:D] */
	return folio_ref_count(folio) ==		/* [down:D] */
	       folio_nr_pages(folio) + mapcount + 1;
}

/* All that must hold once PENDING is published. */
static bool gph_recheck(struct folio *folio, bool mapped)
{
	if (READ_ONCE(gph_stopping) || !folio->mapping)
		return false;
	if (mapped && !gph_mappings_ok(folio))
		return false;
	if (!gph_unused_by_others(folio, mapped))
		return false;
	smp_rmb();	/* [down:D] before [down:E] */
	return gph_flags_ok(folio) && folio_test_gph(folio);	/* [down:E] */
}

/*
 * The downgrade itself.  @token: the caller's CPU, with preemption off, or
 * GPH_TOKEN_AGE; only with the latter may the folio be mapped.
 */
static bool gph_downgrade(struct folio *folio, unsigned int token)
{
	gph_word_t *word = gph_word(folio), old;
	bool mapped = token == GPH_TOKEN_AGE && folio_mapped(folio);
	unsigned int epoch;

	VM_WARN_ON_ONCE_FOLIO(!folio_test_locked(folio), folio);

	folio_set_gph(folio);					/* [down:A] */
	if (!gph_cas(word, old, gph_downgrade_begin, token)) {
		/* Under the folio lock nothing but STABLE can be here. */
		WARN_ON_ONCE(1);
		return false;
	}
	smp_mb();						/* [down:B] */
	if (!gph_recheck(folio, mapped)) {
		gph_count(GPH_downgrade_refused, 1);
		goto stay;
	}

	epoch = gph_epoch_advance(folio_nr_pages(folio));
	if (!gph_cas(word, old, gph_downgrade_commit, token,	/* [down:F] */
		     VIRTIO_GPH_VOLATILE, folio_order(folio), epoch)) {
		gph_count(GPH_downgrade_lost, 1);
		goto stay;
	}
	gph_count(GPH_downgraded, 1);
	gph_count(GPH_pages_downgraded, folio_nr_pages(folio));
	trace_gph_downgrade(folio, epoch);
	return true;

stay:
	gph_cas(word, old, gph_downgrade_cancel, token);
	folio_clear_gph(folio);
	return false;
}

/*
 * gph_downgrade_cold - let the host have a folio that an ageing pass found cold
 * @folio: locked; the caller holds one reference
 *
 * Context: the ageing pass, may sleep.
 */
void gph_downgrade_cold(struct folio *folio)
{
	if (!folio_test_gph(folio) && gph_candidate(folio))
		gph_downgrade(folio, GPH_TOKEN_AGE);
}

/*
 * gph_downgrade_recent - let the host have a folio that was read once
 * @folio: locked; the caller holds one reference
 *
 * Context: any that may take the folio lock.  Leaves mapped folios alone.
 */
void gph_downgrade_recent(struct folio *folio)
{
	if (!folio_test_gph(folio) && gph_candidate(folio)) {
		gph_downgrade(folio, get_cpu());
		put_cpu();
	}
}
