// SPDX-License-Identifier: GPL-2.0
/*
 * Interleaving explorer: removal from the page cache, free, and the next owner.
 */
#include "folio.h"

/* --- truncate, and the guest's own reclaim --- */

enum { TR_GET, TR_LOCK, TR_CACHED, TR_REMOVE, TR_FROZEN, TR_UNLOCK, TR_PUT };

static enum step_result tr_remove(struct turn *t)
{
	struct folio_state *s = t->s;

	if (setting.scenario->kind[t->id] == RECLAIMER) {
		if (s->refs != 2)
			return go(t, TR_UNLOCK, "finds it used");
		s->refs = 0;
		return go(t, TR_FROZEN, "freezes the references");
	}
	if (s->writeback)
		return STEP_BLOCKED;
	/* What was written is thrown away on purpose. */
	s->dirty = 0;
	s->disk = s->file;
	start_remove(t, TR_UNLOCK);
	return go(t, t->me->pc, "cancels dirty");
}

enum step_result step_truncater(struct turn *t)
{
	struct folio_state *s = t->s;

	switch (t->me->pc) {
	case TR_GET:
		if (!s->cached)
			return go(t, PC_DONE, "finds no folio");
		if (!try_get(t))
			return STEP_BLOCKED;
		return go(t, TR_LOCK, "takes a reference");
	case TR_LOCK:
		if (s->lock)
			return STEP_BLOCKED;
		s->lock = (uint8_t)(t->id + 1);
		return go(t, TR_CACHED, "locks the folio");
	case TR_CACHED:
		if (!s->cached)
			return go(t, TR_UNLOCK, "finds the folio removed");
		start_unmap(t, TR_REMOVE);
		return go(t, t->me->pc, "is going to remove it");
	case TR_REMOVE:
		return tr_remove(t);
	case TR_FROZEN:
		if (s->dirty || s->writeback) {
			s->refs = 2;
			return go(t, TR_UNLOCK, "finds it not clean, unfreezes");
		}
		start_remove(t, TR_UNLOCK);
		return go(t, t->me->pc, "finds it clean");
	case TR_UNLOCK:
		s->lock = 0;
		return go(t, TR_PUT, "unlocks");
	case TR_PUT:
		put(t);
		return go(t, PC_DONE, "drops its reference");
	}
	return STEP_BLOCKED;
}

/* --- the next owner of the frame --- */

enum { OW_ALLOC, OW_FILL, OW_LOAD, OW_LOAD2 };

static enum step_result ow_load(struct turn *t)
{
	switch (cpu_access(t)) {
	case ACCESS_WAITS:
		return STEP_BLOCKED;
	case ACCESS_FAULTS:
		t->info->violation = "a new owner got a discard fault";
		break;
	case ACCESS_OK:
		if (t->s->mem != OWNER_BYTES)
			t->info->violation = "a new owner's bytes were lost";
	}
	return go(t, t->me->pc == OW_LOAD ? OW_LOAD2 : PC_DONE, "loads");
}

enum step_result step_owner(struct turn *t)
{
	struct folio_state *s = t->s;

	switch (t->me->pc) {
	case OW_ALLOC:
		if (s->owner != OWNER_ALLOCATOR)
			return STEP_BLOCKED;
		s->owner = OWNER_OTHER;
		s->refs = 1;
		return go(t, OW_FILL, "is given the frame");
	case OW_FILL:
		/* A device does not go through the traps. */
		if (setting.scenario->kind[t->id] == OWNER_CPU &&
		    cpu_access(t) != ACCESS_OK)
			return STEP_BLOCKED;
		s->mem = OWNER_BYTES;
		return go(t, OW_LOAD, "fills the frame with its own bytes");
	case OW_LOAD:
	case OW_LOAD2:
		return ow_load(t);
	}
	return STEP_BLOCKED;
}
