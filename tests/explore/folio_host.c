// SPDX-License-Identifier: GPL-2.0
/*
 * Interleaving explorer: the host's side of one folio.
 *
 * The reclaim engine (trap, flush, compare-and-swap, punch) and what happens
 * when a CPU of the guest accesses the frame.  A fill of the TLB is one step:
 * it runs under the engine lock if the frame is trapped.
 */
#include "folio.h"

enum {
	HOST_PICK, HOST_FLUSH, HOST_LOCK, HOST_CAS, HOST_PUNCH, HOST_END,
	HOST_UNLOCK, HOST_EARLY_PUNCH,
};

static void untrap(struct folio_state *s)
{
	s->trapped = 0;
	s->discarded = 0;
}

/* The CPU of the agent loads from or stores to the frame. */
enum access cpu_access(struct turn *t)
{
	struct folio_state *s = t->s;

	if (s->tlb & 1 << t->id)
		return ACCESS_OK;
	if (s->trapped) {
		if (s->engine && !mutant(MUT_FILL_WITHOUT_LOCK))
			return ACCESS_WAITS;
		if (gph_gone(s->word) && s->discarded)
			return ACCESS_FAULTS;
		untrap(s);
	}
	s->tlb |= (uint8_t)(1 << t->id);
	return ACCESS_OK;
}

/* The memory goes.  Nothing may be lost with it that cannot be read again. */
static void punch(struct turn *t)
{
	struct folio_state *s = t->s;

	if (s->owner != OWNER_CACHE && s->mem == OWNER_BYTES)
		t->info->violation = "a new owner's bytes were punched";
	else if (s->mem == NEW_BYTES && s->disk != NEW_BYTES)
		t->info->violation = "dirty bytes were punched";
	else if (s->dirty)
		broken_rule(t, "a dirty folio was punched");
	s->mem = ZEROS;
	s->discarded = 1;
}

static enum step_result host_pick(struct turn *t)
{
	if (t->me->round == setting.scenario->host_rounds ||
	    !gph_takeable(t->s->word))
		return STEP_BLOCKED;
	t->me->round++;
	t->me->mapcount = 0;		/* here: the next CPU to flush */
	if (mutant(MUT_FREE_BEFORE_TRAP))
		return go(t, HOST_LOCK, "chooses the folio, traps nothing");
	t->s->trapped = 1;
	if (mutant(MUT_TRAP_WITHOUT_FLUSH))
		return go(t, HOST_LOCK, "sets the trapped bit, flushes nothing");
	return go(t, HOST_FLUSH, "sets the trapped bit");
}

static enum step_result host_flush(struct turn *t)
{
	unsigned int cpu = t->me->mapcount;

	while (cpu < setting.scenario->nr_agents && !(t->s->tlb & 1 << cpu))
		cpu++;
	if (cpu >= setting.scenario->nr_agents)
		return go(t, HOST_LOCK, "no TLB has the frame");
	t->s->tlb &= (uint8_t)~(1 << cpu);
	t->me->mapcount = (uint8_t)(cpu + 1);
	return go(t, HOST_FLUSH, "flushes a CPU's TLB");
}

static enum step_result host_lock(struct turn *t)
{
	if (!t->s->trapped && !mutant(MUT_NO_TRAP_RECHECK) &&
	    !mutant(MUT_FREE_BEFORE_TRAP))
		return go(t, HOST_PICK, "finds it no longer trapped");
	t->s->engine = 1;
	return go(t, mutant(MUT_PUNCH_BEFORE_CAS) ? HOST_EARLY_PUNCH : HOST_CAS,
		  "takes the engine lock");
}

static enum step_result host_cas(struct turn *t)
{
	if (!gph_discard_begin(&t->s->word)) {
		untrap(t->s);
		return go(t, HOST_UNLOCK, "finds the word taken back, untraps");
	}
	if (mutant(MUT_DISCARDED_BEFORE_PUNCH)) {
		gph_discard_end(&t->s->word);
		return go(t, HOST_PUNCH, "VOLATILE -> DISCARDED");
	}
	return go(t, mutant(MUT_PUNCH_BEFORE_CAS) ? HOST_END : HOST_PUNCH,
		  "VOLATILE -> DISCARDING");
}

enum step_result step_host(struct turn *t)
{
	switch (t->me->pc) {
	case HOST_PICK:
		return host_pick(t);
	case HOST_FLUSH:
		return host_flush(t);
	case HOST_LOCK:
		return host_lock(t);
	case HOST_EARLY_PUNCH:
		punch(t);
		return go(t, HOST_CAS, "punches the memory");
	case HOST_CAS:
		return host_cas(t);
	case HOST_PUNCH:
		punch(t);
		t->s->trapped = 1;
		return go(t, HOST_END, "punches the memory");
	case HOST_END:
		gph_discard_end(&t->s->word);
		return go(t, HOST_UNLOCK, "DISCARDING -> DISCARDED");
	case HOST_UNLOCK:
		t->s->engine = 0;
		return go(t, HOST_PICK, "drops the engine lock");
	}
	return STEP_BLOCKED;
}
