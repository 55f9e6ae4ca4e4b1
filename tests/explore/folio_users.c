// SPDX-License-Identifier: GPL-2.0
/*
 * Interleaving explorer: those who use a folio, map it and unmap it.
 */
#include "folio.h"

/* The bytes must be those of the file, whatever else has happened. */
enum step_result load(struct turn *t, uint8_t next, uint8_t fault)
{
	struct folio_state *s = t->s;

	switch (cpu_access(t)) {
	case ACCESS_WAITS:
		return STEP_BLOCKED;
	case ACCESS_FAULTS:
		if (fault != PC_DONE)
			return go(t, fault, "loads: discard fault");
		t->info->violation = "the kernel touched a page it had not checked";
		return go(t, next, "loads: discard fault");
	case ACCESS_OK:
		break;
	}
	if (s->owner != OWNER_CACHE || s->mem != s->file)
		t->info->violation = "a reader saw wrong bytes";
	return go(t, next, "loads");
}

/* --- read(2) and write(2) --- */

enum {
	RD_GET, RD_LATE_REF, RD_UPTODATE, RD_LOAD, RD_GONE, RD_TRYDROP, RD_LOCK,
	RD_LOCKED, RD_REFILL, RD_FILLED, RD_UNLOCK_LOAD, RD_UNLOCK_PUT,
	RD_DIRTY, RD_PUT, RD_LATE_CLEAR, RD_MAP_LOCK, RD_MAP_CHECK, RD_MAP,
};

static enum step_result rd_get(struct turn *t)
{
	if (!t->s->cached)
		return go(t, PC_DONE, "looks up: a miss");
	if (mutant(MUT_RELAXED_REF)) {
		start_upgrade(t, RD_LATE_REF, RD_LATE_REF);
		return go(t, t->me->pc, "looks up; its reference is not visible");
	}
	if (!try_get(t))
		return STEP_BLOCKED;
	start_upgrade(t, RD_UPTODATE, RD_GONE);
	return go(t, t->me->pc, "looks up, takes a reference");
}

/* The device reads the file's bytes into the frame.  The folio is locked. */
static enum step_result refill(struct turn *t)
{
	struct folio_state *s = t->s;

	if (s->file != s->disk)
		t->info->violation = "dirty bytes were overwritten by a read";
	/* PENDING has no harm in it: nobody can commit while I have a reference. */
	if (s->mapcount || s->pte || gph_state(s->word) != VIRTIO_GPH_STABLE)
		broken_rule(t, "a read into a folio that is not settled");
	s->mem = s->disk;
	return go(t, RD_FILLED, "a device fills the folio");
}

static enum step_result rd_locked(struct turn *t)
{
	if (!t->s->cached)
		return go(t, RD_UNLOCK_PUT, "finds the folio removed");
	if (t->s->uptodate)
		return go(t, RD_UNLOCK_LOAD, "finds it uptodate again");
	start_settle(t, RD_REFILL);
	return go(t, t->me->pc, "is going to read it again");
}

static enum step_result rd_trydrop(struct turn *t)
{
	if (!can_drop(t))
		return go(t, RD_LOCKED, "cannot drop it");
	t->s->refs = 0;
	start_remove(t, RD_UNLOCK_PUT);
	return go(t, t->me->pc, "freezes the references");
}

static enum step_result rd_load(struct turn *t)
{
	bool writes = setting.scenario->kind[t->id] == WRITER;
	enum step_result result;

	if (setting.scenario->kind[t->id] == FAULTER)
		return go(t, RD_MAP_LOCK, "is going to map the folio");
	result = load(t, writes ? RD_DIRTY : RD_PUT, PC_DONE);

	if (result == STEP_DONE && writes) {
		t->s->mem = t->s->file = NEW_BYTES;
		t->info->what = "stores";
	}
	return result;
}

/* A page fault maps a folio that it has locked and found uptodate. */
static enum step_result rd_map(struct turn *t)
{
	struct folio_state *s = t->s;

	switch (t->me->pc) {
	case RD_MAP_LOCK:
		if (s->lock)
			return STEP_BLOCKED;
		s->lock = (uint8_t)(t->id + 1);
		return go(t, RD_MAP_CHECK, "locks the folio");
	case RD_MAP_CHECK:
		if (!s->cached || s->pte & 1)
			return go(t, RD_UNLOCK_PUT, "finds nothing to do");
		return go(t, s->uptodate ? RD_MAP : RD_LOCKED, "reads uptodate");
	case RD_MAP:
		if (s->ptl)
			return STEP_BLOCKED;
		s->refs++;
		s->mapcount++;
		s->pte |= 1;
		return go(t, RD_UNLOCK_PUT, "maps the folio");
	}
	return STEP_BLOCKED;
}

enum step_result step_reader(struct turn *t)
{
	struct folio_state *s = t->s;

	switch (t->me->pc) {
	case RD_GET:
		return rd_get(t);
	case RD_LATE_REF:
		if (s->owner != OWNER_CACHE || !try_get(t))
			return go(t, PC_DONE, "was too late");
		return go(t, RD_UPTODATE, "its reference becomes visible");
	case RD_UPTODATE:
		return s->uptodate ? go(t, RD_LOAD, "reads uptodate: set") :
				     go(t, RD_LOCK, "reads uptodate: clear");
	case RD_LOAD:
		return rd_load(t);
	case RD_GONE:
		if (s->lock)
			return go(t, RD_LOCK, "finds the folio locked");
		s->lock = (uint8_t)(t->id + 1);
		return go(t, RD_TRYDROP, "locks the folio");
	case RD_TRYDROP:
		return rd_trydrop(t);
	case RD_LOCK:
		if (s->lock)
			return STEP_BLOCKED;
		s->lock = (uint8_t)(t->id + 1);
		return go(t, RD_LOCKED, "locks the folio");
	case RD_LOCKED:
		return rd_locked(t);
	case RD_REFILL:
		return refill(t);
	case RD_FILLED:
		s->uptodate = 1;
		return go(t, RD_UNLOCK_LOAD, "sets uptodate");
	case RD_UNLOCK_LOAD:
	case RD_UNLOCK_PUT:
		s->lock = 0;
		return go(t, t->me->pc == RD_UNLOCK_LOAD ? RD_LOAD : RD_PUT,
			  "unlocks");
	case RD_DIRTY:
		s->dirty = 1;
		return go(t, RD_PUT, "sets dirty");
	case RD_PUT:
		put(t);
		return go(t, t->me->late ? RD_LATE_CLEAR : PC_DONE,
			  "drops its reference");
	case RD_LATE_CLEAR:
		s->gph = 0;
		return go(t, PC_DONE, "clears PG_gph");
	}
	return rd_map(t);
}

/* --- fast GUP: no lock, no test of uptodate, the entry is read twice --- */

enum { GUP_PTE, GUP_GET, GUP_HOOK, GUP_RECHECK, GUP_LOAD, GUP_LOAD2, GUP_PUT };

enum step_result step_gup(struct turn *t)
{
	bool early = mutant(MUT_GUP_RECHECK_EARLY);

	switch (t->me->pc) {
	case GUP_PTE:
		return t->s->pte & 1 ? go(t, GUP_GET, "reads an entry") :
				       go(t, PC_DONE, "finds no entry");
	case GUP_GET:
		if (!try_get(t))
			return go(t, PC_DONE, "finds no references");
		if (early)
			return go(t, GUP_RECHECK, "takes a reference");
		start_upgrade(t, GUP_RECHECK, GUP_PUT);
		return go(t, t->me->pc, "takes a reference");
	case GUP_RECHECK:
		if (!(t->s->pte & 1))
			return go(t, GUP_PUT, "finds the entry gone");
		return go(t, early ? GUP_HOOK : GUP_LOAD, "finds the entry again");
	case GUP_HOOK:
		start_upgrade(t, GUP_LOAD, GUP_PUT);
		return go(t, t->me->pc, "is going to check the word");
	case GUP_LOAD:
	case GUP_LOAD2:
		return load(t, t->me->pc + 1, PC_DONE);
	case GUP_PUT:
		put(t);
		return go(t, PC_DONE, "drops its reference");
	}
	return STEP_BLOCKED;
}

/* --- a process that has the file mapped --- */

enum {
	US_LOAD, US_LOAD2, US_GET, US_FLAG, US_LOCK, US_DROP, US_UNLOCK, US_PUT,
};

static enum step_result us_load(struct turn *t)
{
	if (t->s->pte & 1)
		return load(t, t->me->pc == US_LOAD ? US_LOAD2 : PC_DONE, US_GET);
	return go(t, PC_DONE, "faults as on any page that is not there");
}

static enum step_result us_drop(struct turn *t)
{
	if (!can_drop(t))
		return go(t, US_UNLOCK, "leaves the folio in the cache");
	t->s->refs = 0;
	start_remove(t, US_UNLOCK);
	return go(t, t->me->pc, "freezes the references");
}

enum step_result step_user(struct turn *t)
{
	struct folio_state *s = t->s;

	switch (t->me->pc) {
	case US_LOAD:
	case US_LOAD2:
		return us_load(t);
	case US_GET:
		if (s->owner != OWNER_CACHE || !try_get(t))
			return go(t, US_LOAD, "handles the fault: spurious");
		return go(t, US_FLAG, "handles the fault, takes a reference");
	case US_FLAG:
		return s->gph ? go(t, US_LOCK, "reads PG_gph: set") :
				go(t, US_PUT, "reads PG_gph: clear");
	case US_LOCK:
		if (s->lock)
			return STEP_BLOCKED;
		s->lock = (uint8_t)(t->id + 1);
		start_settle(t, US_DROP);
		return go(t, t->me->pc, "locks the folio");
	case US_DROP:
		return us_drop(t);
	case US_UNLOCK:
		s->lock = 0;
		return go(t, US_PUT, "unlocks");
	case US_PUT:
		put(t);
		return go(t, US_LOAD, "drops its reference, tries again");
	}
	return STEP_BLOCKED;
}

/* --- unmap, without the folio lock --- */

enum {
	FK_GET, FK_COUNT, FK_MAP,
	ZP_PTE, ZP_MAPCOUNT, ZP_FLAG, ZP_CANCEL, ZP_PUT,
	ZP_LATE_HOOK, ZP_LATE_CANCEL,
};

static void cancel_pending(gph_word_t *word)
{
	if (gph_pending(*word))
		gph_upgrade(word);
}

/* Unmap page table @nr. */
static enum step_result zap(struct turn *t, unsigned int nr)
{
	struct folio_state *s = t->s;
	bool no_hook = mutant(MUT_NO_UNMAP_HOOK) || mutant(MUT_UNMAP_HOOK_LATE);

	switch (t->me->pc) {
	case ZP_PTE:
		if (!(s->pte & 1 << nr))
			return go(t, PC_DONE, "finds no entry to remove");
		if (s->ptl && nr == 0)
			return STEP_BLOCKED;
		s->pte &= (uint8_t)~(1 << nr);
		return go(t, ZP_MAPCOUNT, "removes a page table entry");
	case ZP_MAPCOUNT:
		s->mapcount--;
		return go(t, no_hook ? ZP_PUT : ZP_FLAG, "decrements mapcount");
	case ZP_FLAG:
		return s->gph ? go(t, ZP_CANCEL, "reads PG_gph: set") :
				go(t, ZP_PUT, "reads PG_gph: clear");
	case ZP_CANCEL:
		cancel_pending(&s->word);
		return go(t, ZP_PUT, "PENDING -> STABLE, if it is PENDING");
	case ZP_PUT:
		put(t);
		return go(t, mutant(MUT_UNMAP_HOOK_LATE) ? ZP_LATE_HOOK : PC_DONE,
			  "drops the mapping's reference");
	case ZP_LATE_HOOK:
		return go(t, s->gph ? ZP_LATE_CANCEL : PC_DONE, "reads PG_gph");
	case ZP_LATE_CANCEL:
		cancel_pending(&s->word);
		return go(t, PC_DONE, "PENDING -> STABLE, if it is PENDING");
	}
	return STEP_BLOCKED;
}

enum step_result step_zapper(struct turn *t)
{
	if (t->me->pc == 0)
		t->me->pc = ZP_PTE;
	return zap(t, 0);
}

/* Fork: reference, then mapcount, then the entry; later the child unmaps. */
enum step_result step_forker(struct turn *t)
{
	struct folio_state *s = t->s;
	bool swapped = mutant(MUT_MAPCOUNT_BEFORE_REF);

	switch (t->me->pc) {
	case FK_GET:
		if (!(s->pte & 1))
			return go(t, PC_DONE, "finds nothing to copy");
		s->ptl = 1;
		if (swapped)
			s->mapcount++;
		else
			s->refs++;
		return go(t, FK_COUNT, swapped ? "increments mapcount" :
						 "takes the copy's reference");
	case FK_COUNT:
		if (swapped)
			s->refs++;
		else
			s->mapcount++;
		return go(t, FK_MAP, swapped ? "takes the copy's reference" :
					       "increments mapcount");
	case FK_MAP:
		s->pte |= 2;
		s->ptl = 0;
		return go(t, ZP_PTE, "sets the entry of the child");
	}
	return zap(t, 1);
}
