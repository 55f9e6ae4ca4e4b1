/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Interleaving explorer: the search engine.
 *
 * Visits every state that a model can reach, breadth first, so that the trace to
 * a violation is a shortest one.  A model is a state of fixed size without
 * padding and a number of agents that each make one atomic step at a time.
 */
#ifndef GPH_EXPLORE_ENGINE_H
#define GPH_EXPLORE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAX_STATE_SIZE	128

enum step_result {
	STEP_BLOCKED,	/* the agent waits for another one, or is done */
	STEP_DONE,	/* the state is the one after the step */
};

/* What a step tells the engine besides its result. */
struct step_info {
	const char *what;	/* the step in words, for traces */
	const char *violation;	/* set: the step broke an invariant */
	bool more;		/* set: the step has a further choice */
};

/*
 * @step: make a step of @agent in @state; a step with several outcomes is called
 *	with @choice 0, 1, ... for as long as it sets @info->more
 * @check: the invariants of every state; the name of a broken one, or NULL
 * @finished: has every agent that must come to an end done so?
 * @print: one line about a state, for traces
 */
struct model {
	size_t state_size;
	unsigned int nr_agents;
	enum step_result (*step)(void *state, unsigned int agent,
				 unsigned int choice, struct step_info *info);
	const char *(*check)(const void *state);
	bool (*finished)(const void *state);
	void (*print)(const void *state);
	const char *(*agent_name)(unsigned int agent);
};

struct outcome {
	const char *violation;	/* NULL: every reachable state is fine */
	uint32_t states;
	uint32_t ends;		/* states in which everybody has finished */
};

/*
 * Search from @initial.  Besides the model's invariants, from every state an end
 * must be reachable: neither deadlock nor livelock.  @trace: print the way to a
 * violation.  Exits with a message if memory or @max_states do not suffice.
 */
struct outcome explore(const struct model *model, const void *initial,
		       uint32_t max_states, bool trace);

#endif /* GPH_EXPLORE_ENGINE_H */
