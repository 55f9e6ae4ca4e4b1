// SPDX-License-Identifier: GPL-2.0
/*
 * Interleaving explorer: the model of two frames that are one folio or two.
 *
 * What the model of one folio cannot show: between the trap and the
 * compare-and-swap the guest may take the folio back, split it, free it, and
 * hint again, in pieces or as one.  So the unit that the host takes need not be
 * the unit that it has trapped.  Guest transitions are whole here; how they
 * interleave with users is the business of the other model.
 */
#include <stdio.h>
#include <string.h>

#include "units.h"

enum { AGENT_GUEST, AGENT_CPU0, AGENT_CPU1, AGENT_HOST, NR_UNIT_AGENTS };
enum {
	HOST_PICK, HOST_FLUSH0, HOST_FLUSH1, HOST_LOCK, HOST_CAS, HOST_PUNCH,
	HOST_END, HOST_UNLOCK,
};

#define GUEST_MOVES	5
#define CPU_LOADS	2
#define HOST_ROUNDS	2

/* --- guest --- */

static bool downgrade(struct units_state *s, unsigned int head,
		      unsigned int order)
{
	return gph_downgrade_begin(&s->word[head], 1) &&
	       gph_downgrade_commit(&s->word[head], 1, VIRTIO_GPH_VOLATILE,
				    order, 0);
}

/* Make @head STABLE with its content there, reading it again if need be. */
static bool take_back(struct units_state *s, unsigned int head)
{
	unsigned int i, nr = 1u << gph_order(s->word[head]);

	if (gph_upgrade(&s->word[head]))
		return true;
	if (!gph_claim(&s->word[head]))
		return false;
	gph_settle(&s->word[head]);
	for (i = head; i < head + nr; i++)
		s->mem[i] = FILE_BYTES;
	return true;
}

static enum step_result guest_step(struct units_state *s, unsigned int choice,
				   struct step_info *info)
{
	bool stable = !s->word[0] && !s->word[1];

	if (!s->moves)
		return STEP_BLOCKED;
	info->more = choice < 4;
	switch (choice) {
	case 0:
	case 1:
		info->what = choice ? "takes frame 1 back" : "takes frame 0 back";
		if (!take_back(s, choice))
			break;
		s->moves--;
		return STEP_DONE;
	case 2:
	case 3:
		if (!s->split && choice == 3)
			break;
		info->what = choice == 3 ? "downgrades frame 1" : s->split ?
			"downgrades frame 0" : "downgrades both frames as one";
		if (!downgrade(s, choice - 2, s->split ? 0 : 1))
			break;
		s->moves--;
		return STEP_DONE;
	case 4:
		if (!stable)
			break;
		info->what = s->split ? "joins the folios" : "splits the folio";
		s->split = !s->split;
		s->moves--;
		return STEP_DONE;
	}
	return STEP_BLOCKED;
}

/* --- host: accesses --- */

/* The head of the unit that @frame belongs to, or @frame itself. */
static unsigned int find_head(const struct units_state *s, unsigned int frame,
			      unsigned int *order)
{
	gph_word_t word;
	unsigned int k, head;

	for (k = 0; k <= 1; k++) {
		head = frame & ~((1u << k) - 1);
		word = s->word[head];
		if (gph_valid(word) && gph_state(word) != VIRTIO_GPH_STABLE &&
		    gph_order(word) >= k) {
			*order = gph_order(word);
			return head;
		}
	}
	*order = 0;
	return frame;
}

static void untrap(struct units_state *s, unsigned int head, unsigned int order)
{
	unsigned int i;

	for (i = head; i < head + (1u << order); i++)
		s->trapped[i] = s->discarded[i] = 0;
}

/* CPU @cpu loads from the frame of its own number: a mapping of the file. */
static enum step_result cpu_step(struct units_state *s, unsigned int cpu,
				 struct step_info *info)
{
	unsigned int frame = cpu, head, order;

	if (s->cpu_pc[cpu] == CPU_LOADS)
		return STEP_BLOCKED;
	info->what = "loads";
	if (!(s->tlb[cpu] & 1 << frame)) {
		if (s->trapped[frame]) {
			if (s->engine)
				return STEP_BLOCKED;
			head = find_head(s, frame, &order);
			if (gph_gone(s->word[head]) && s->discarded[frame]) {
				s->cpu_pc[cpu]++;
				info->what = "loads: discard fault";
				return STEP_DONE;
			}
			untrap(s, head, order);
		}
		s->tlb[cpu] |= (uint8_t)(1 << frame);
	}
	s->cpu_pc[cpu]++;
	if (s->mem[frame] != FILE_BYTES)
		info->violation = "a reader saw wrong bytes";
	return STEP_DONE;
}

/* --- host: reclaim --- */

static enum step_result host_go(struct units_state *s, uint8_t pc,
				struct step_info *info, const char *what)
{
	s->host_pc = pc;
	info->what = what;
	return STEP_DONE;
}

static enum step_result host_pick(struct units_state *s, unsigned int choice,
				  struct step_info *info)
{
	unsigned int i;

	info->more = choice == 0;
	if (!s->host_rounds || !gph_takeable(s->word[choice]))
		return STEP_BLOCKED;
	s->host_rounds--;
	s->host_head = (uint8_t)choice;
	s->host_order = (uint8_t)gph_order(s->word[choice]);
	for (i = choice; i < choice + (1u << s->host_order); i++)
		s->trapped[i] = 1;
	return host_go(s, HOST_FLUSH0, info, choice ? "traps the unit at frame 1" :
		       s->host_order ? "traps both frames" :
				       "traps the unit at frame 0");
}

/* Is what the word says now what was trapped, and trapped all the time? */
static bool still_trapped(const struct units_state *s)
{
	unsigned int i, head = s->host_head;
	unsigned int nr = 1u << gph_order(s->word[head]);

	if (mutant(MUT_HEAD_TRAP_ONLY))
		nr = 1;
	for (i = head; i < head + nr; i++)
		if (!s->trapped[i])
			return false;
	return true;
}

static enum step_result host_cas(struct units_state *s, struct step_info *info)
{
	gph_word_t word = s->word[s->host_head];

	if (!gph_discard_begin(&word) || !still_trapped(s)) {
		untrap(s, s->host_head, s->host_order);
		return host_go(s, HOST_UNLOCK, info, "finds the unit changed");
	}
	s->word[s->host_head] = word;
	if (!mutant(MUT_STALE_UNIT_ORDER))
		s->host_order = (uint8_t)gph_order(word);
	return host_go(s, HOST_PUNCH, info, "VOLATILE -> DISCARDING");
}

static void host_punch(struct units_state *s)
{
	unsigned int i;

	for (i = s->host_head; i < s->host_head + (1u << s->host_order); i++) {
		s->mem[i] = ZEROS;
		s->discarded[i] = 1;
	}
}

static enum step_result host_step(struct units_state *s, unsigned int choice,
				  struct step_info *info)
{
	switch (s->host_pc) {
	case HOST_PICK:
		return host_pick(s, choice, info);
	case HOST_FLUSH0:
		s->tlb[0] = 0;
		return host_go(s, HOST_FLUSH1, info, "flushes CPU 0");
	case HOST_FLUSH1:
		s->tlb[1] = 0;
		return host_go(s, HOST_LOCK, info, "flushes CPU 1");
	case HOST_LOCK:
		s->engine = 1;
		return host_go(s, HOST_CAS, info, "takes the engine lock");
	case HOST_CAS:
		return host_cas(s, info);
	case HOST_PUNCH:
		host_punch(s);
		return host_go(s, HOST_END, info, "punches the memory");
	case HOST_END:
		gph_discard_end(&s->word[s->host_head]);
		return host_go(s, HOST_UNLOCK, info, "DISCARDING -> DISCARDED");
	case HOST_UNLOCK:
		s->engine = 0;
		s->host_head = s->host_order = 0;
		return host_go(s, HOST_PICK, info, "drops the engine lock");
	}
	return STEP_BLOCKED;
}

/* --- the model --- */

static enum step_result step(void *state, unsigned int agent,
			     unsigned int choice, struct step_info *info)
{
	struct units_state *s = state;

	switch (agent) {
	case AGENT_GUEST:
		return guest_step(s, choice, info);
	case AGENT_HOST:
		return host_step(s, choice, info);
	}
	return cpu_step(s, agent - AGENT_CPU0, info);
}

/* A frame whose word lets users in must hold the bytes. */
static const char *check(const void *state)
{
	const struct units_state *s = state;
	unsigned int i, head, order;

	for (i = 0; i < UNIT_FRAMES; i++) {
		head = find_head(s, i, &order);
		if (s->mem[i] != FILE_BYTES &&
		    (!s->word[head] || gph_takeable(s->word[head])))
			return "bytes were lost that nobody gave away";
	}
	return NULL;
}

static bool finished(const void *state)
{
	const struct units_state *s = state;

	return s->host_pc == HOST_PICK;
}

static void print(const void *state)
{
	const struct units_state *s = state;

	printf("words %04x %04x %s trapped=%u%u mem=%u%u tlb=%x%x",
	       s->word[0], s->word[1], s->split ? "split" : "whole",
	       s->trapped[0], s->trapped[1], s->mem[0], s->mem[1], s->tlb[0],
	       s->tlb[1]);
}

static const char *agent_name(unsigned int agent)
{
	static const char *const names[] = { "guest", "cpu0", "cpu1", "host" };

	return names[agent];
}

struct model units_model(void)
{
	return (struct model){
		.state_size = sizeof(struct units_state),
		.nr_agents = NR_UNIT_AGENTS,
		.step = step,
		.check = check,
		.finished = finished,
		.print = print,
		.agent_name = agent_name,
	};
}

struct units_state units_initial(void)
{
	struct units_state s;

	memset(&s, 0, sizeof(s));
	s.mem[0] = s.mem[1] = FILE_BYTES;
	s.moves = GUEST_MOVES;
	s.host_rounds = HOST_ROUNDS;
	return s;
}
