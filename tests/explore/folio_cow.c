// SPDX-License-Identifier: GPL-2.0
/*
 * Interleaving explorer: copy on write.
 *
 * The copy is made without a lock, and kept if the page table entry is then the
 * one that it was.  That says little if the folio was meanwhile unmapped, read
 * again and mapped again.
 */
#include "folio.h"

enum {
	CW_LOCK, CW_EARLY_UNLOCK, CW_UNLOCK, CW_COPY, CW_RELOCK, CW_CHECK,
	CW_GONE, CW_PUT,
};

static enum step_result cw_lock(struct turn *t)
{
	struct folio_state *s = t->s;

	if (s->ptl)
		return STEP_BLOCKED;
	if (!(s->pte & 1))
		return go(t, PC_DONE, "finds no entry");
	s->ptl = 1;
	s->refs++;
	if (mutant(MUT_COW_HOOK_LATE))
		return go(t, CW_EARLY_UNLOCK, "locks, takes a reference");
	start_upgrade(t, CW_UNLOCK, CW_GONE);
	return go(t, t->me->pc, "locks the page table, takes a reference");
}

static enum step_result cw_copy(struct turn *t)
{
	switch (cpu_access(t)) {
	case ACCESS_WAITS:
		return STEP_BLOCKED;
	case ACCESS_FAULTS:
		t->info->violation = "the kernel touched a page it had not checked";
		break;
	case ACCESS_OK:
		t->me->copy = t->s->mem;
	}
	return go(t, CW_RELOCK, "copies");
}

enum step_result step_cow(struct turn *t)
{
	struct folio_state *s = t->s;

	switch (t->me->pc) {
	case CW_LOCK:
		return cw_lock(t);
	case CW_EARLY_UNLOCK:
		s->ptl = 0;
		start_upgrade(t, CW_COPY, CW_PUT);
		return go(t, t->me->pc, "drops the page table lock");
	case CW_UNLOCK:
	case CW_GONE:
		s->ptl = 0;
		return go(t, t->me->pc == CW_UNLOCK ? CW_COPY : CW_PUT,
			  "drops the page table lock");
	case CW_COPY:
		return cw_copy(t);
	case CW_RELOCK:
		if (s->ptl)
			return STEP_BLOCKED;
		s->ptl = 1;
		return go(t, CW_CHECK, "locks the page table");
	case CW_CHECK:
		s->ptl = 0;
		if (s->pte & 1 && t->me->copy != s->file)
			t->info->violation = "a private copy has wrong bytes";
		return go(t, CW_PUT, s->pte & 1 ? "finds the same entry" :
						  "finds the entry gone");
	case CW_PUT:
		put(t);
		return go(t, PC_DONE, "drops its reference");
	}
	return STEP_BLOCKED;
}
