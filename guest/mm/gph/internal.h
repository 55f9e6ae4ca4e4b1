/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Guest page hinting: what the files of mm/gph share.
 *
 *   table.c      the mapped table, switching on and off, waiting for the host
 *   downgrade.c  STABLE -> VOLATILE: the conditions and the order of checks
 *   upgrade.c    VOLATILE -> STABLE, and finding out that the content is gone
 *   discard.c    what happens to a folio that is gone: drop, settle, fault
 *   recent.c     offering folios after their first read
 *   age.c        finding cold folios
 *   sysfs.c      /sys/kernel/mm/gph and the counters
 */
#ifndef _MM_GPH_INTERNAL_H
#define _MM_GPH_INTERNAL_H

#include <linux/gph.h>
#include <linux/mm.h>
#include <linux/percpu.h>
#include <gph/state.h>

/*
 * Every counter: what sysfs calls it.  Counted in events; those about folios
 * count folios, gph_pages_* count pages.
 */
#define GPH_COUNTERS(C)							\
	C(downgraded)		/* folios that went volatile */		\
	C(downgrade_refused)	/* a condition did not hold */		\
	C(downgrade_lost)	/* somebody used it meanwhile */	\
	C(upgraded)		/* volatile folios taken back */	\
	C(cancelled)		/* downgrades called off by a user */	\
	C(claimed)		/* folios found discarded */		\
	C(dropped)		/* of these: left the page cache */	\
	C(settled)		/* of these: refilled in place */	\
	C(waited)		/* waits for a discard to finish */	\
	C(faults_user)		/* discard faults in user mode */	\
	C(faults_kernel)	/* discard faults in kernel mode */	\
	C(faults_fixup)		/* where it cannot sleep: ended in a fixup */ \
	C(faults_spurious)	/* discard faults that came too late */	\
	C(settle_failed)	/* mappings that would not go away */	\
	C(age_passes)		/* passes over all of memory */		\
	C(pages_downgraded)	/* pages that went volatile */		\
	C(pages_claimed)	/* pages found discarded */

enum gph_counter {
#define GPH_ENUM(name)	GPH_##name,
	GPH_COUNTERS(GPH_ENUM)
#undef GPH_ENUM
	GPH_NR_COUNTERS
};

struct gph_counters {
	unsigned long count[GPH_NR_COUNTERS];
};

DECLARE_PER_CPU(struct gph_counters, gph_counters);

static inline void gph_count(enum gph_counter which, unsigned long nr)
{
	this_cpu_add(gph_counters.count[which], nr);
}

/* The shared table.  Valid while gph_key is on, and until gph_disable() returns. */
extern gph_word_t *gph_table;
extern unsigned long gph_nr_frames;
extern bool gph_stopping;

static inline gph_word_t *gph_word(struct folio *folio)
{
	return gph_table + folio_pfn(folio);
}

/*
 * Apply transition @fn to *@wordp by compare-and-swap.  Evaluates to true if the
 * word changed; @old is then the value before.  Full ordering on success.
 */
#define gph_cas(wordp, old, fn, ...)					\
({									\
	gph_word_t *gph_cas_word = (wordp), gph_cas_new;		\
	bool gph_cas_done = false;					\
									\
	(old) = READ_ONCE(*gph_cas_word);				\
	do {								\
		gph_cas_new = (old);					\
		if (!fn(&gph_cas_new, ##__VA_ARGS__))			\
			break;						\
		gph_cas_done = try_cmpxchg(gph_cas_word, &(old), gph_cas_new); \
	} while (!gph_cas_done);					\
	gph_cas_done;							\
})

/* PENDING -> STABLE, whoever the downgrader is; never touches a volatile word. */
static inline bool gph_cancel_pending(gph_word_t *word)
{
	return gph_pending(*word) && gph_upgrade(word);
}

void gph_wait(struct folio *folio);
unsigned int gph_epoch_advance(unsigned int nr_pages);

void gph_downgrade_cold(struct folio *folio);
void gph_downgrade_recent(struct folio *folio);
struct folio *gph_get_folio(unsigned long pfn);
void gph_recover(struct folio *folio);

/* The ageing pass is serialised, so one token serves it; CPUs have the others. */
#define GPH_TOKEN_AGE	(GPH_NR_TOKENS - 1)

void gph_age_start(void);
void gph_age_stop(void);
void gph_age_now(void);
void gph_stabilise_all(void);
extern unsigned int gph_age_interval_ms;

#endif /* _MM_GPH_INTERNAL_H */
