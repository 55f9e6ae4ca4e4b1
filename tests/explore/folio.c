// SPDX-License-Identifier: GPL-2.0
/*
 * Interleaving explorer: the model of one folio, put together.
 */
#include <stdio.h>
#include <string.h>

#include "folio.h"

struct setting setting;

static enum step_result (*const steps[])(struct turn *t) = {
	[DOWNGRADER] = step_downgrader,
	[READER] = step_reader,
	[WRITER] = step_reader,
	[GUP] = step_gup,
	[USER] = step_user,
	[ZAPPER] = step_zapper,
	[FORKER] = step_forker,
	[COW] = step_cow,
	[FAULTER] = step_reader,
	[MMAP_WRITER] = step_mmap_writer,
	[WRITEBACK] = step_writeback,
	[RECLAIMER] = step_truncater,
	[TRUNCATER] = step_truncater,
	[OWNER_DMA] = step_owner,
	[OWNER_CPU] = step_owner,
	[HOST] = step_host,
};

static const char *const kind_names[] = {
	[DOWNGRADER] = "downgrader",
	[READER] = "reader",
	[WRITER] = "writer",
	[GUP] = "gup",
	[USER] = "user",
	[ZAPPER] = "zapper",
	[FORKER] = "forker",
	[COW] = "cow",
	[FAULTER] = "faulter",
	[MMAP_WRITER] = "mmap-writer",
	[WRITEBACK] = "writeback",
	[RECLAIMER] = "reclaimer",
	[TRUNCATER] = "truncater",
	[OWNER_DMA] = "owner/dma",
	[OWNER_CPU] = "owner/cpu",
	[HOST] = "host",
};

static const char *agent_name(unsigned int agent)
{
	static char name[32];

	snprintf(name, sizeof(name), "%u:%s", agent,
		 kind_names[setting.scenario->kind[agent]]);
	return name;
}

/* What a finished agent remembers makes no difference. */
static void forget(struct agent *agent)
{
	*agent = (struct agent){ .pc = PC_DONE };
}

static enum step_result step(void *state, unsigned int agent,
			     unsigned int choice, struct step_info *info)
{
	struct folio_state *s = state;
	struct turn t = { s, &s->agent[agent], agent, info };
	enum kind kind = setting.scenario->kind[agent];
	enum step_result result;

	(void)choice;
	if (t.me->pc == PC_DONE)
		return STEP_BLOCKED;
	if (t.me->pc >= PC_UPGRADE)
		result = step_common(&t);
	else
		result = steps[kind](&t);
	if (t.me->pc == PC_DONE)
		forget(t.me);
	return result;
}

/* A word that has gone further than PENDING needs its flag to be found by. */
static const char *check_flag(const struct folio_state *s)
{
	if (s->word && !s->gph && !gph_pending(s->word))
		return "a word that is not STABLE has no PG_gph";
	/* The lock and the early test of PG_gph make that true of PENDING as well. */
	if (s->word && !s->gph && !setting.scenario->no_precheck &&
	    !setting.scenario->no_lock)
		return "a PENDING word has no PG_gph";
	return NULL;
}

static bool finished(const void *state);

static const char *check(const void *state)
{
	const struct folio_state *s = state;

	if (setting.harm_only)
		return NULL;
	if (!gph_valid(s->word))
		return "the word is not valid";
	if (s->owner != OWNER_CACHE && (s->word || s->gph))
		return "a frame outside the page cache is not STABLE";
	if (gph_state(s->word) != VIRTIO_GPH_STABLE && s->dirty)
		return "a dirty folio is not STABLE";
	if (gph_state(s->word) != VIRTIO_GPH_STABLE && s->writable)
		return "a folio that is not STABLE has a writable entry";
	if (!s->word && s->gph && finished(s))
		return "PG_gph was left behind";
	return check_flag(s);
}

static bool finished(const void *state)
{
	const struct folio_state *s = state;
	unsigned int i;

	for (i = 0; i < setting.scenario->nr_agents; i++) {
		switch (setting.scenario->kind[i]) {
		case HOST:
		case OWNER_CPU:
		case OWNER_DMA:
			/* These may never have a reason to begin. */
			if (s->agent[i].pc != 0 && s->agent[i].pc != PC_DONE)
				return false;
			break;
		default:
			if (s->agent[i].pc != PC_DONE)
				return false;
		}
	}
	return true;
}

static const char *word_name(gph_word_t word)
{
	static const char *const names[] = {
		"STABLE", "UNUSED", "VOLATILE", "DISCARDING", "DISCARDED",
		"CLAIMED", "6?", "7?",
	};
	static char pending[16];

	if (!gph_pending(word))
		return names[gph_state(word)];
	snprintf(pending, sizeof(pending), "PENDING|%u", gph_token(word));
	return pending;
}

static void print(const void *state)
{
	static const char *const mem[] = { "zeros", "file", "new", "owner" };
	const struct folio_state *s = state;

	printf("%-10s%s%s%s%s refs=%u map=%u mem=%s%s%s", word_name(s->word),
	       s->gph ? " gph" : "", s->lock ? " locked" : "",
	       s->uptodate ? " uptodate" : "", s->dirty ? " dirty" : "",
	       s->refs, s->mapcount, mem[s->mem], s->trapped ? " trapped" : "",
	       s->cached ? "" : s->owner == OWNER_ALLOCATOR ? " FREE" :
	       s->owner == OWNER_OTHER ? " REUSED" : " removed");
}

struct model folio_model(const struct scenario *scenario)
{
	return (struct model){
		/* Agents that are not there need no memory. */
		.state_size = offsetof(struct folio_state,
				       agent[scenario->nr_agents]),
		.nr_agents = scenario->nr_agents,
		.step = step,
		.check = check,
		.finished = finished,
		.print = print,
		.agent_name = agent_name,
	};
}

struct folio_state folio_initial(const struct scenario *scenario)
{
	struct folio_state s;

	memset(&s, 0, sizeof(s));
	s.uptodate = 1;
	s.cached = 1;
	s.pte = scenario->ptes;
	s.mapcount = (uint8_t)__builtin_popcount(scenario->ptes);
	s.refs = (uint8_t)(1 + s.mapcount);
	s.owner = OWNER_CACHE;
	s.mem = s.file = s.disk = FILE_BYTES;
	if (scenario->volatile_first || scenario->discarded_first) {
		s.gph = 1;
		s.word = gph_make(VIRTIO_GPH_VOLATILE, 0, 3);
	}
	if (scenario->discarded_first) {
		gph_discard_begin(&s.word);
		gph_discard_end(&s.word);
		s.trapped = s.discarded = 1;
		s.mem = ZEROS;
	}
	return s;
}
