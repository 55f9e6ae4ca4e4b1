// SPDX-License-Identifier: GPL-2.0
/*
 * Interleaving explorer: dirtying through a mapping, and writeback.
 *
 * A store through a page table goes on after the reference that the write fault
 * took is gone.  What protects it is that the folio is marked dirty before that
 * reference is dropped, and write-protected before the mark is taken away.
 */
#include "folio.h"

enum {
	MW_FAULT, MW_WRITABLE, MW_UNLOCK_PTL, MW_DIRTY, MW_PUT, MW_STORE,
	MW_GONE,
};

static enum step_result mw_fault(struct turn *t)
{
	struct folio_state *s = t->s;

	if (s->ptl)
		return STEP_BLOCKED;
	if (!(s->pte & 1))
		return go(t, PC_DONE, "finds no entry");
	s->ptl = 1;
	s->refs++;
	start_upgrade(t, MW_WRITABLE, MW_GONE);
	return go(t, t->me->pc, "write fault: takes a reference");
}

enum step_result step_mmap_writer(struct turn *t)
{
	struct folio_state *s = t->s;
	enum step_result result;

	switch (t->me->pc) {
	case MW_FAULT:
		return mw_fault(t);
	case MW_WRITABLE:
		s->writable = 1;
		return go(t, MW_UNLOCK_PTL, "makes the entry writable");
	case MW_UNLOCK_PTL:
		s->ptl = 0;
		return go(t, MW_DIRTY, "drops the page table lock");
	case MW_DIRTY:
		s->dirty = 1;
		return go(t, MW_PUT, "sets dirty");
	case MW_PUT:
		put(t);
		return go(t, MW_STORE, "drops its reference");
	case MW_STORE:
		if (!(s->pte & 1) || !s->writable)
			return go(t, PC_DONE, "would fault again");
		result = load(t, PC_DONE, PC_DONE);
		if (result == STEP_DONE) {
			s->mem = s->file = NEW_BYTES;
			t->info->what = "stores through the entry";
		}
		return result;
	case MW_GONE:
		s->ptl = 0;
		return go(t, MW_PUT, "drops the page table lock");
	}
	return STEP_BLOCKED;
}

enum {
	WB_GET, WB_LOCK, WB_PROTECT, WB_CLEAN, WB_START, WB_UNLOCK, WB_PUT,
	WB_WRITE, WB_END,
};

enum step_result step_writeback(struct turn *t)
{
	struct folio_state *s = t->s;

	switch (t->me->pc) {
	case WB_GET:
		if (!s->cached || !try_get(t))
			return go(t, PC_DONE, "finds no folio");
		return go(t, WB_LOCK, "takes a reference");
	case WB_LOCK:
		if (s->lock)
			return STEP_BLOCKED;
		s->lock = (uint8_t)(t->id + 1);
		return go(t, s->cached && s->dirty ? WB_PROTECT : WB_UNLOCK,
			  "locks the folio");
	case WB_PROTECT:
		if (s->ptl)
			return STEP_BLOCKED;
		s->writable = 0;
		return go(t, WB_CLEAN, "write-protects the entry");
	case WB_CLEAN:
		s->dirty = 0;
		return go(t, WB_START, "clears dirty");
	case WB_START:
		s->writeback = 1;
		return go(t, WB_UNLOCK, "sets writeback");
	case WB_UNLOCK:
		s->lock = 0;
		return go(t, WB_PUT, "unlocks");
	case WB_PUT:
		put(t);
		return go(t, s->writeback ? WB_WRITE : PC_DONE,
			  "drops its reference");
	case WB_WRITE:
		if (s->mem != s->file)
			t->info->violation = "wrong bytes were written to disk";
		s->disk = s->mem;
		return go(t, WB_END, "a device writes the folio to disk");
	case WB_END:
		s->writeback = 0;
		return go(t, PC_DONE, "ends writeback");
	}
	return STEP_BLOCKED;
}
