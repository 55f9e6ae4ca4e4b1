// SPDX-License-Identifier: GPL-2.0
/*
 * Interleaving explorer: the downgrader.
 *
 * The order of its reads is the point: mapcount, references, flags.
 */
#include "folio.h"

enum {
	DN_GET, DN_LOCK, DN_PRECHECK, DN_SET_FLAG, DN_BEGIN, DN_LATE_FLAG,
	DN_DIRTY, DN_MAPCOUNT, DN_REFS, DN_FLAGS, DN_COMMIT, DN_CANCEL,
	DN_CLEAR_FLAG, DN_UNLOCK, DN_PUT,
};

#define EPOCH	7

static unsigned int token(const struct turn *t)
{
	return mutant(MUT_NO_TOKEN) ? 0 : t->id + 1;
}

/* The one compare-and-swap of the two mutants that have no PENDING. */
static bool straight_to_volatile(struct turn *t)
{
	gph_word_t word = t->s->word;

	if (!gph_downgrade_begin(&word, token(t)) ||
	    !gph_downgrade_commit(&word, token(t), VIRTIO_GPH_VOLATILE, 0, EPOCH))
		return false;
	t->s->word = word;
	return true;
}

static enum step_result dn_get(struct turn *t)
{
	if (!t->s->cached)
		return go(t, PC_DONE, "finds no folio");
	if (mutant(MUT_NO_DOWNGRADE_REF))
		return go(t, DN_PRECHECK, "finds the folio, takes no reference");
	if (!try_get(t))
		return STEP_BLOCKED;
	return go(t, setting.scenario->no_lock ? DN_PRECHECK : DN_LOCK,
		  "takes a reference");
}

static enum step_result dn_precheck(struct turn *t)
{
	if (!t->s->cached)
		return go(t, DN_UNLOCK, "finds the folio removed");
	if (t->s->gph && !setting.scenario->no_precheck)
		return go(t, DN_UNLOCK, "finds PG_gph set");
	return go(t, mutant(MUT_FLAG_AFTER_WORD) ? DN_BEGIN : DN_SET_FLAG,
		  "goes ahead");
}

static uint8_t first_check(void)
{
	if (mutant(MUT_DIRTY_BEFORE_REFS))
		return DN_DIRTY;
	if (mutant(MUT_REFS_BEFORE_MAPCOUNT))
		return DN_REFS;
	return DN_MAPCOUNT;
}

static enum step_result dn_begin(struct turn *t)
{
	if (mutant(MUT_CAS_RECHECK_UNDO)) {
		if (straight_to_volatile(t))
			return go(t, first_check(), "STABLE -> VOLATILE at once");
	} else if (gph_downgrade_begin(&t->s->word, token(t))) {
		return go(t, mutant(MUT_FLAG_AFTER_WORD) ? DN_LATE_FLAG :
			     first_check(), "STABLE -> PENDING");
	}
	/* Somebody else's word is somebody else's flag. */
	return go(t, mutant(MUT_CLEAR_AFTER_LOST_BEGIN) ? DN_CLEAR_FLAG :
		     DN_UNLOCK, "finds the word not STABLE");
}

/* References that may be there: page cache, mappings, mine. */
static bool refs_exact(const struct turn *t, unsigned int mapcount)
{
	unsigned int mine = mutant(MUT_NO_DOWNGRADE_REF) ? 0 : 1;

	return t->s->refs == 1 + mapcount + mine;
}

static enum step_result dn_mapcount(struct turn *t)
{
	if (mutant(MUT_REFS_BEFORE_MAPCOUNT)) {
		/* Here .mapcount is the count of references read before. */
		if (t->me->mapcount == 2 + t->s->mapcount)
			return go(t, DN_FLAGS, "reads mapcount: agrees");
		return go(t, DN_CANCEL, "reads mapcount: too few");
	}
	t->me->mapcount = t->s->mapcount;
	return go(t, DN_REFS, "reads mapcount");
}

static enum step_result dn_refs(struct turn *t)
{
	if (mutant(MUT_REFS_BEFORE_MAPCOUNT)) {
		t->me->mapcount = t->s->refs;
		return go(t, DN_MAPCOUNT, "reads refcount");
	}
	if (!refs_exact(t, t->me->mapcount))
		return go(t, DN_CANCEL, "reads refcount: somebody uses it");
	return go(t, DN_FLAGS, "reads refcount: nobody uses it");
}

static enum step_result dn_flags(struct turn *t)
{
	const struct folio_state *s = t->s;

	if (!s->cached || !s->uptodate ||
	    (s->dirty && !mutant(MUT_DIRTY_BEFORE_REFS)) ||
	    (s->writeback && !mutant(MUT_IGNORE_WRITEBACK)))
		return go(t, DN_CANCEL, "reads flags: not clean and uptodate");
	if (!s->gph && !mutant(MUT_NO_FLAG_RECHECK))
		return go(t, DN_CANCEL, "reads flags: PG_gph is gone");
	if (mutant(MUT_CAS_RECHECK_UNDO))
		return go(t, DN_UNLOCK, "reads flags: stays volatile");
	return go(t, DN_COMMIT, "reads flags: all well");
}

static enum step_result dn_commit(struct turn *t)
{
	bool done = mutant(MUT_CHECK_THEN_CAS) ? straight_to_volatile(t) :
		gph_downgrade_commit(&t->s->word, token(t), VIRTIO_GPH_VOLATILE,
				     0, EPOCH);

	return done ? go(t, DN_UNLOCK, "PENDING -> VOLATILE") :
		      go(t, DN_CANCEL, "finds its PENDING gone");
}

static enum step_result dn_cancel(struct turn *t)
{
	if (mutant(MUT_CAS_RECHECK_UNDO))
		gph_upgrade(&t->s->word);
	else
		gph_downgrade_cancel(&t->s->word, token(t));
	return go(t, DN_CLEAR_FLAG, "PENDING -> STABLE, if it is still its own");
}

enum step_result step_downgrader(struct turn *t)
{
	struct folio_state *s = t->s;

	switch (t->me->pc) {
	case DN_GET:
		return dn_get(t);
	case DN_LOCK:
		if (s->lock)
			return go(t, DN_PUT, "finds the folio locked");
		s->lock = (uint8_t)(t->id + 1);
		return go(t, DN_PRECHECK, "locks the folio");
	case DN_PRECHECK:
		return dn_precheck(t);
	case DN_SET_FLAG:
		s->gph = 1;
		return go(t, mutant(MUT_CHECK_THEN_CAS) ? DN_MAPCOUNT : DN_BEGIN,
			  "sets PG_gph");
	case DN_BEGIN:
		return dn_begin(t);
	case DN_LATE_FLAG:
		s->gph = 1;
		return go(t, DN_MAPCOUNT, "sets PG_gph");
	case DN_DIRTY:
		return go(t, s->dirty ? DN_CANCEL : DN_MAPCOUNT, "reads dirty");
	case DN_MAPCOUNT:
		return dn_mapcount(t);
	case DN_REFS:
		return dn_refs(t);
	case DN_FLAGS:
		return dn_flags(t);
	case DN_COMMIT:
		return dn_commit(t);
	case DN_CANCEL:
		return dn_cancel(t);
	case DN_CLEAR_FLAG:
		s->gph = 0;
		return go(t, DN_UNLOCK, "clears PG_gph");
	case DN_UNLOCK:
		if (s->lock == t->id + 1)
			s->lock = 0;
		return go(t, mutant(MUT_NO_DOWNGRADE_REF) ? PC_DONE : DN_PUT,
			  "unlocks");
	case DN_PUT:
		put(t);
		return go(t, PC_DONE, "drops its reference");
	}
	return STEP_BLOCKED;
}
