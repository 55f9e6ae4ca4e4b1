// SPDX-License-Identifier: GPL-2.0
/*
 * Interleaving explorer: the search engine.
 *
 * States are kept whole (no hash compaction), so "every state was visited" is
 * meant literally.  For each state the engine remembers how it was first
 * reached, for traces, and who leads to it, for the search for livelocks.
 */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"

#define NONE	UINT32_MAX

struct edge {
	uint32_t from;
	uint32_t next;		/* next edge to the same state */
};

struct node {
	uint32_t parent;
	uint32_t in;		/* first edge to this state */
	const char *what;
	uint8_t agent;
	bool end;
	bool live;		/* an end can be reached */
};

struct search {
	const struct model *model;
	uint8_t *states;
	struct node *nodes;
	uint32_t nr, room;
	uint32_t *table;
	uint32_t table_mask;
	struct edge *edges;
	uint32_t nr_edges, edge_room;
	struct outcome out;
	/* Where the violation is, and the step that made it, if one did. */
	uint32_t bad;
	struct node bad_step;
	uint8_t bad_state[MAX_STATE_SIZE];
};

static void *grow(void *mem, size_t count, size_t size)
{
	void *bigger = reallocarray(mem, count, size);

	if (!bigger)
		err(2, "explore: no memory for %zu records", count);
	return bigger;
}

static const uint8_t *state_at(const struct search *s, uint32_t index)
{
	return s->states + (size_t)index * s->model->state_size;
}

static uint32_t hash(const uint8_t *state, size_t size)
{
	uint64_t h = 0xcbf29ce484222325ULL;
	size_t i;

	for (i = 0; i < size; i++)
		h = (h ^ state[i]) * 0x100000001b3ULL;
	return (uint32_t)(h ^ h >> 29);
}

static void rehash(struct search *s)
{
	uint32_t slots = s->table ? (s->table_mask + 1) * 2 : 1 << 16;
	uint32_t i, at;

	free(s->table);
	s->table = grow(NULL, slots, sizeof(*s->table));
	memset(s->table, 0xff, slots * sizeof(*s->table));
	s->table_mask = slots - 1;
	for (i = 0; i < s->nr; i++) {
		at = hash(state_at(s, i), s->model->state_size) & s->table_mask;
		while (s->table[at] != NONE)
			at = (at + 1) & s->table_mask;
		s->table[at] = i;
	}
}

/* The index of @state, which is @fresh if it was not known. */
static uint32_t intern(struct search *s, const uint8_t *state, bool *fresh)
{
	size_t size = s->model->state_size;
	uint32_t at;

	if (!s->table || s->nr > s->table_mask / 2)
		rehash(s);
	at = hash(state, size) & s->table_mask;
	for (; s->table[at] != NONE; at = (at + 1) & s->table_mask) {
		if (!memcmp(state_at(s, s->table[at]), state, size)) {
			*fresh = false;
			return s->table[at];
		}
	}
	if (s->nr == s->room) {
		s->room = s->room ? s->room * 2 : 1 << 14;
		s->states = grow(s->states, s->room, size);
		s->nodes = grow(s->nodes, s->room, sizeof(*s->nodes));
	}
	memcpy(s->states + (size_t)s->nr * size, state, size);
	s->table[at] = s->nr;
	*fresh = true;
	return s->nr++;
}

static void add_edge(struct search *s, uint32_t from, uint32_t to)
{
	if (s->nr_edges == s->edge_room) {
		s->edge_room = s->edge_room ? s->edge_room * 2 : 1 << 16;
		s->edges = grow(s->edges, s->edge_room, sizeof(*s->edges));
	}
	s->edges[s->nr_edges] = (struct edge){ from, s->nodes[to].in };
	s->nodes[to].in = s->nr_edges++;
}

static void print_step(const struct search *s, const struct node *node,
		       const uint8_t *state)
{
	printf("#   %-10s %-46s ",
	       node->parent == NONE ? "" : s->model->agent_name(node->agent),
	       node->what);
	s->model->print(state);
	printf("\n");
}

static void print_trace(const struct search *s, uint32_t index)
{
	if (s->nodes[index].parent != NONE)
		print_trace(s, s->nodes[index].parent);
	print_step(s, &s->nodes[index], state_at(s, index));
}

static void print_violation(const struct search *s)
{
	print_trace(s, s->bad);
	if (s->bad_step.what)
		print_step(s, &s->bad_step, s->bad_state);
	printf("#   => %s\n", s->out.violation);
}

/* Make step @choice of @agent in state @from.  Returns false if there is none. */
static bool visit(struct search *s, uint32_t from, unsigned int agent,
		  unsigned int choice, bool *more)
{
	uint8_t state[MAX_STATE_SIZE] __attribute__((aligned(8)));
	struct step_info info = { .what = "" };
	enum step_result result;
	uint32_t index;
	bool fresh;

	memcpy(state, state_at(s, from), s->model->state_size);
	result = s->model->step(state, agent, choice, &info);
	*more = info.more;
	if (result == STEP_BLOCKED)
		return false;
	index = intern(s, state, &fresh);
	if (fresh)
		s->nodes[index] = (struct node){
			.parent = from, .in = NONE, .what = info.what,
			.agent = agent, .end = s->model->finished(state),
		};
	add_edge(s, from, index);
	if (!info.violation)
		info.violation = s->model->check(state);
	if (info.violation) {
		s->out.violation = info.violation;
		s->bad = from;
		s->bad_step = (struct node){ .what = info.what, .agent = agent };
		memcpy(s->bad_state, state, s->model->state_size);
	}
	return true;
}

/* Every step of every agent from state @from. */
static void expand(struct search *s, uint32_t from)
{
	unsigned int agent, choice;
	bool moved = false, more;

	for (agent = 0; agent < s->model->nr_agents; agent++) {
		more = true;
		for (choice = 0; more && !s->out.violation; choice++) {
			more = false;
			moved |= visit(s, from, agent, choice, &more);
		}
	}
	if (!moved && !s->nodes[from].end) {
		s->out.violation = "deadlock: nobody can go on";
		s->bad = from;
	}
}

/* Walk back from the ends.  Returns a state that leads to none, or NONE. */
static uint32_t find_livelock(struct search *s)
{
	uint32_t *todo = grow(NULL, s->nr, sizeof(*todo));
	uint32_t nr_todo = 0, i, e;

	for (i = 0; i < s->nr; i++) {
		if (s->nodes[i].end) {
			s->nodes[i].live = true;
			todo[nr_todo++] = i;
			s->out.ends++;
		}
	}
	while (nr_todo) {
		i = todo[--nr_todo];
		for (e = s->nodes[i].in; e != NONE; e = s->edges[e].next) {
			if (!s->nodes[s->edges[e].from].live) {
				s->nodes[s->edges[e].from].live = true;
				todo[nr_todo++] = s->edges[e].from;
			}
		}
	}
	free(todo);
	for (i = 0; i < s->nr; i++)
		if (!s->nodes[i].live)
			return i;
	return NONE;
}

static void run(struct search *s, const void *initial, uint32_t max_states)
{
	uint32_t at, stuck;
	bool fresh;

	intern(s, initial, &fresh);
	s->nodes[0] = (struct node){ .parent = NONE, .in = NONE,
				     .what = "at the start" };
	s->out.violation = s->model->check(initial);
	for (at = 0; at < s->nr && !s->out.violation; at++) {
		if (s->nr > max_states)
			errx(2, "explore: more than %u states; make the scenario smaller",
			     max_states);
		expand(s, at);
	}
	if (s->out.violation)
		return;
	stuck = find_livelock(s);
	if (stuck != NONE) {
		s->out.violation = "livelock: no end can be reached";
		s->bad = stuck;
	}
}

struct outcome explore(const struct model *model, const void *initial,
		       uint32_t max_states, bool trace)
{
	struct search s = { .model = model };

	if (model->state_size > MAX_STATE_SIZE)
		errx(2, "explore: MAX_STATE_SIZE is too small");
	run(&s, initial, max_states);
	if (s.out.violation && trace)
		print_violation(&s);
	s.out.states = s.nr;
	free(s.states);
	free(s.nodes);
	free(s.table);
	free(s.edges);
	return s.out;
}
