// SPDX-License-Identifier: GPL-2.0
/*
 * Interleaving explorer: what the guest's agents have in common.
 *
 * References, and the three procedures of the protocol that run inside others:
 * upgrade, settle, and removal from the page cache.
 */
#include "folio.h"

enum {
	UP_FLAG = PC_UPGRADE, UP_WORD, UP_WAIT, UP_CLAIM, UP_CLEAR_UPTODATE,
	UP_CAS, UP_CLEAR_FLAG, UP_CLAIMED,
	ST_PTE = PC_SETTLE, ST_MAPCOUNT, ST_PUT, ST_WORD, ST_FLAG,
	UN_PTE, UN_MAPCOUNT, UN_PUT,
	RM_HOOK = PC_REMOVE, RM_WORD, RM_FLAG, RM_OUT,
};

/* Take a reference unless the count is zero (free, or frozen). */
bool try_get(struct turn *t)
{
	if (!t->s->refs)
		return false;
	t->s->refs++;
	return true;
}

/* Drop a reference; the last one frees the frame. */
void put(struct turn *t)
{
	struct folio_state *s = t->s;

	if (--s->refs)
		return;
	if (s->word || s->gph)
		broken_rule(t, "a frame was freed that is not STABLE");
	if (s->cached || s->pte)
		broken_rule(t, "a frame was freed that is in use");
	s->owner = OWNER_ALLOCATOR;
	s->uptodate = 0;
	s->dirty = 0;
}

/* --- upgrade --- */

void start_upgrade(struct turn *t, uint8_t yes, uint8_t no)
{
	t->me->yes = yes;
	t->me->no = no;
	t->me->pc = UP_FLAG;
}

static enum step_result up_word(struct turn *t)
{
	gph_word_t word = t->s->word;

	if (!word)
		return go(t, t->me->yes, "reads the word: STABLE");
	switch (gph_state(word)) {
	case VIRTIO_GPH_DISCARDING:
		return go(t, UP_WAIT, "reads the word: DISCARDING");
	case VIRTIO_GPH_DISCARDED:
		return go(t, UP_CLAIM, "reads the word: DISCARDED");
	case VIRTIO_GPH_CLAIMED:
		return go(t, UP_CLAIMED, "reads the word: CLAIMED");
	}
	return go(t, UP_CAS, "reads the word: PENDING or VOLATILE");
}

static enum step_result up_claim(struct turn *t)
{
	if (!gph_claim(&t->s->word))
		return go(t, mutant(MUT_LOSER_CLEARS) ? UP_CLEAR_UPTODATE :
			     UP_FLAG, "loses the claim");
	if (mutant(MUT_STABLE_BEFORE_UPTODATE))
		gph_settle(&t->s->word);
	return go(t, UP_CLEAR_UPTODATE, "DISCARDED -> CLAIMED");
}

static enum step_result up_cas(struct turn *t)
{
	bool pending = gph_pending(t->s->word);

	if (!gph_upgrade(&t->s->word))
		return go(t, UP_FLAG, "finds the word changed");
	if (pending)
		return go(t, UP_FLAG, "PENDING -> STABLE");
	if (mutant(MUT_LATE_FLAG_CLEAR)) {
		t->me->late = 1;
		return go(t, t->me->yes, "VOLATILE -> STABLE");
	}
	return go(t, UP_CLEAR_FLAG, "VOLATILE -> STABLE");
}

static enum step_result step_upgrade(struct turn *t)
{
	struct folio_state *s = t->s;

	switch (t->me->pc) {
	case UP_FLAG:
		if (s->gph)
			return go(t, UP_WORD, "reads PG_gph: set");
		return go(t, t->me->yes, "reads PG_gph: clear");
	case UP_WORD:
		return up_word(t);
	case UP_WAIT:
		if (gph_state(s->word) == VIRTIO_GPH_DISCARDING)
			return STEP_BLOCKED;
		return go(t, UP_FLAG, "has waited for the host");
	case UP_CLAIM:
		return up_claim(t);
	case UP_CLEAR_UPTODATE:
		s->uptodate = 0;
		return go(t, UP_FLAG, "clears uptodate");
	case UP_CAS:
		return up_cas(t);
	case UP_CLEAR_FLAG:
		s->gph = 0;
		return go(t, UP_FLAG, "clears PG_gph");
	case UP_CLAIMED:
		if (s->uptodate && !mutant(MUT_LOSER_DOES_NOT_WAIT))
			return go(t, UP_FLAG, "sees uptodate not yet cleared");
		return go(t, t->me->no, "knows that the content is gone");
	}
	return STEP_BLOCKED;
}

/* --- settle: the folio is locked --- */

void start_settle(struct turn *t, uint8_t ret)
{
	t->me->ret = ret;
	start_upgrade(t, ret, mutant(MUT_SETTLE_BEFORE_UNMAP) ? ST_WORD :
		      mutant(MUT_REFILL_BEFORE_SETTLE) ? ret : ST_PTE);
}

/* Remove the page table entries of a locked folio. */
void start_unmap(struct turn *t, uint8_t ret)
{
	t->me->ret = ret;
	t->me->pc = UN_PTE;
}

/* Remove one entry; when there is none, wait for unmaps by others. */
static enum step_result unmap_one(struct turn *t, uint8_t next, uint8_t end)
{
	struct folio_state *s = t->s;

	if (s->pte & 1 && s->ptl)
		return STEP_BLOCKED;
	if (s->pte) {
		if (s->pte & 1)
			s->writable = 0;
		s->pte &= (uint8_t)(s->pte - 1);
		return go(t, next, "removes a page table entry");
	}
	if (s->mapcount)
		return STEP_BLOCKED;
	return go(t, end, "sees that nothing maps the folio");
}

static enum step_result step_settle(struct turn *t)
{
	bool early = mutant(MUT_SETTLE_BEFORE_UNMAP);

	switch (t->me->pc) {
	case ST_PTE:
		return unmap_one(t, ST_MAPCOUNT, early ? t->me->ret : ST_WORD);
	case UN_PTE:
		return unmap_one(t, UN_MAPCOUNT, t->me->ret);
	case ST_MAPCOUNT:
	case UN_MAPCOUNT:
		t->s->mapcount--;
		return go(t, t->me->pc + 1, "decrements mapcount");
	case ST_PUT:
	case UN_PUT:
		put(t);
		return go(t, t->me->pc == ST_PUT ? ST_PTE : UN_PTE,
			  "drops the mapping's reference");
	case ST_WORD:
		gph_settle(&t->s->word);
		return go(t, ST_FLAG, "CLAIMED -> STABLE");
	case ST_FLAG:
		t->s->gph = 0;
		return go(t, early ? ST_PTE : t->me->ret, "clears PG_gph");
	}
	return STEP_BLOCKED;
}

/* --- removal from the page cache: the folio is locked and not mapped --- */

/* May a folio that is gone be dropped?  The page cache's and my reference only. */
bool can_drop(const struct turn *t)
{
	const struct folio_state *s = t->s;

	return s->cached && !s->uptodate && !s->dirty && !s->writeback &&
	       !s->mapcount && s->refs == 2;
}

void start_remove(struct turn *t, uint8_t ret)
{
	t->me->ret = ret;
	if (mutant(MUT_NO_REMOVE_HOOK))
		t->me->pc = RM_OUT;
	else if (mutant(MUT_RELEASE_DISCARDING))
		t->me->pc = RM_HOOK;
	else
		start_upgrade(t, RM_OUT, RM_WORD);
}

static enum step_result step_remove(struct turn *t)
{
	struct folio_state *s = t->s;

	switch (t->me->pc) {
	case RM_HOOK:	/* only in a mutant: takes DISCARDING for done */
		if (!gph_release(&s->word))
			s->word = VIRTIO_GPH_STABLE;
		return go(t, RM_FLAG, "releases the word, whatever it is");
	case RM_WORD:
		gph_settle(&s->word);
		return go(t, RM_FLAG, "CLAIMED -> STABLE");
	case RM_FLAG:
		s->gph = 0;
		return go(t, RM_OUT, "clears PG_gph");
	case RM_OUT:
		if (!s->refs && s->file != s->disk)
			t->info->violation = "a folio with dirty bytes was dropped";
		s->cached = 0;
		if (s->refs)
			s->refs--;
		else
			s->refs = 1;	/* was frozen at two */
		return go(t, t->me->ret, "removes the folio from the cache");
	}
	return STEP_BLOCKED;
}

enum step_result step_common(struct turn *t)
{
	if (t->me->pc >= PC_REMOVE)
		return step_remove(t);
	if (t->me->pc >= PC_SETTLE)
		return step_settle(t);
	return step_upgrade(t);
}
