// SPDX-License-Identifier: GPL-2.0
/*
 * Interleaving explorer: the model of the host's secondary MMUs.
 *
 * One trapped frame, the list of users, and who comes and goes while the
 * reclaimer takes the frame.  User 0 has a table that it fills on demand, with
 * the sequence count.  User 1 does not look at the bitmap: all that keeps it off
 * the frame is what its flush closes (KVM's poison, an exporter's mapping).
 *
 * The agents are the functions of host/qemu/hw/virtio/gph-secondary-mmu.c, cut
 * at each lock, at each access without one, and where a user may sleep.  What is
 * done with the state lock alone is one step.
 */
#include <stdio.h>
#include <string.h>

#include "mmu.h"

enum {
	AGENT_HOST, AGENT_TABLE, AGENT_CPU, AGENT_JOIN, AGENT_LEAVE0,
	AGENT_LEAVE1, AGENT_EXIT, NR_MMU_AGENTS
};
enum { NEW, JOINING, LIVE, LEAVING, GONE };

#define TABLE_FILLS	2
#define CPU_LOADS	2

static unsigned int parts;

/* A step of one agent. */
struct mmu_turn {
	struct mmu_state *s;
	unsigned int id;
	uint8_t *pc;
	struct step_info *info;
};

static enum step_result next_pc(struct mmu_turn *t, uint8_t pc,
				const char *what)
{
	*t->pc = pc;
	t->info->what = what;
	return STEP_DONE;
}

static bool is(const struct mmu_turn *t, uint8_t lock)
{
	return lock == t->id + 1;
}

/* Unless the agent has it, or does without.  False: somebody else has it. */
static bool take_bql(struct mmu_turn *t)
{
	if (t->s->no_bql & 1 << t->id)
		return true;
	if (t->s->bql && !is(t, t->s->bql))
		return false;
	t->s->bql = (uint8_t)(t->id + 1);
	return true;
}

/* To wait, or to sleep in a flush. */
static bool drop_bql(struct mmu_turn *t)
{
	bool had = is(t, t->s->bql);

	if (had)
		t->s->bql = 0;
	return had;
}

/* --- the list --- */

static void call(struct mmu_turn *t, struct mmu_user *u)
{
	if (u->released)
		t->info->violation = "a user is called that was released";
}

static void tell_untrap(struct mmu_turn *t)
{
	unsigned int i;

	for (i = 0; i < MMU_USERS; i++) {
		struct mmu_user *u = &t->s->user[i];

		if (u->linked) {
			call(t, u);
			u->closed = 0;
		}
	}
}

static void untrap(struct mmu_turn *t)
{
	if (t->s->trapped)
		tell_untrap(t);
	t->s->trapped = t->s->discarded = t->s->settled = 0;
}

/* gph_access(); the caller has seen that the engine lock is free. */
static bool access_faults(struct mmu_turn *t)
{
	if (t->s->trapped && t->s->discarded && !t->s->settled) {
		t->s->settled = 1;
		return true;
	}
	untrap(t);
	return false;
}

static uint8_t first_user(const struct mmu_state *s)
{
	return s->user[1].linked ? 2 : s->user[0].linked ? 1 : 0;
}

static void unlink_user(struct mmu_state *s, unsigned int i)
{
	s->user[i].linked = 0;
	if (i == 0 && s->user[1].linked)
		s->user[1].next = 0;
}

static void end_batch(struct mmu_state *s)
{
	unsigned int i;

	for (i = 0; i < MMU_USERS; i++)
		if (s->user[i].linked)
			s->user[i].started = 0;
}

/* --- the reclaimer --- */

enum {
	H_IDLE, H_TRAP, H_COUNT, H_START, H_WALK, H_HOLD, H_JOINED, H_FLUSH,
	H_SLEEP, H_AWAKE, H_NEXT, H_WAIT, H_TAKE, H_PUNCH, H_LOSE, H_END,
	H_LATE_BITS,
};

static enum step_result host_idle(struct mmu_turn *t)
{
	struct mmu_state *s = t->s;

	if (!s->host_rounds || s->closed || (s->trapped && s->discarded) ||
	    !take_bql(t))
		return STEP_BLOCKED;
	s->host_rounds--;
	return next_pc(t, H_TRAP, "begins a batch, with the BQL");
}

static enum step_result host_trap(struct mmu_turn *t)
{
	struct mmu_state *s = t->s;

	if (s->engine)
		return STEP_BLOCKED;
	s->engine = (uint8_t)(t->id + 1);
	if (mutant(MUT_MMU_COUNT_FIRST))
		s->seq++;
	else
		s->trapped = 1;
	return next_pc(t, mutant(MUT_MMU_COUNT_FIRST) ? H_LATE_BITS : H_COUNT,
		       "takes the engine lock, sets the trapped bit");
}

static enum step_result host_start(struct mmu_turn *t)
{
	unsigned int i;

	for (i = 0; i < MMU_USERS; i++) {
		if (t->s->user[i].linked) {
			call(t, &t->s->user[i]);
			t->s->user[i].started = 1;
		}
	}
	t->s->engine = 0;
	return next_pc(t, H_WALK, "tells the users of the start, unlocks");
}

static enum step_result host_walk(struct mmu_turn *t)
{
	struct mmu_state *s = t->s;

	s->host_at = first_user(s);
	if (s->host_at) {
		s->rcu = 1;
		return next_pc(t, H_HOLD, "becomes a reader, begins to walk");
	}
	if (!s->leaving || mutant(MUT_MMU_FAST_PATH_BLIND))
		return next_pc(t, H_TAKE, "finds no user");
	return next_pc(t, H_WAIT, "finds no user, but one that leaves");
}

static enum step_result host_hold(struct mmu_turn *t)
{
	struct mmu_user *u = &t->s->user[t->s->host_at - 1];

	if (u->freed)
		t->info->violation = "a user is looked at that was freed";
	if (u->state != JOINING && u->state != LIVE)
		return next_pc(t, H_NEXT, "passes a user that is going");
	u->holds++;
	t->s->host_held = 1;
	t->s->rcu = 0;
	return next_pc(t, H_JOINED, "holds a user");
}

static enum step_result host_joined(struct mmu_turn *t)
{
	struct mmu_user *u = &t->s->user[t->s->host_at - 1];

	if (u->state == JOINING && !mutant(MUT_MMU_JOIN_NOT_WAITED)) {
		if (!drop_bql(t))
			return STEP_BLOCKED;
		return next_pc(t, H_JOINED, "waits for a user to join");
	}
	if (!take_bql(t))
		return STEP_BLOCKED;
	if (!u->started || u->state != LIVE)
		return next_pc(t, H_AWAKE, "need not flush it");
	return next_pc(t, H_FLUSH, "begins to flush it");
}

static enum step_result host_sleep(struct mmu_turn *t, unsigned int choice)
{
	struct mmu_user *u = &t->s->user[t->s->host_at - 1];

	call(t, u);
	t->info->more = parts & MMU_FAILS && choice == 0;
	if (choice) {
		t->s->failed = 1;
		return next_pc(t, H_AWAKE, "the flush fails");
	}
	if (u->lock)
		return STEP_BLOCKED;
	u->map = 0;
	u->closed = t->s->host_at == 2;
	return next_pc(t, H_AWAKE, "the user drops its translation");
}

static enum step_result host_awake(struct mmu_turn *t)
{
	struct mmu_state *s = t->s;
	struct mmu_user *u = &s->user[s->host_at - 1];

	if (!take_bql(t))
		return STEP_BLOCKED;
	if (mutant(MUT_MMU_NEXT_AFTER_DROP)) {
		u->holds--;
		s->host_held = 0;
	} else {
		s->rcu = 1;
	}
	return next_pc(t, H_NEXT, "is a reader again, with the BQL");
}

static enum step_result host_next(struct mmu_turn *t)
{
	struct mmu_state *s = t->s;
	struct mmu_user *u = &s->user[s->host_at - 1];

	if (u->freed)
		t->info->violation = "a user is looked at that was freed";
	s->host_at = s->failed ? 0 : u->next;
	u->holds -= s->host_held;
	s->host_held = 0;
	s->rcu = s->host_at != 0;
	return next_pc(t, s->host_at ? H_HOLD : H_WAIT, "goes to the next user");
}

static enum step_result host_wait(struct mmu_turn *t)
{
	if (t->s->leaving && !mutant(MUT_MMU_LEAVING_NOT_WAITED)) {
		if (mutant(MUT_MMU_WAITS_WITH_BQL) || !drop_bql(t))
			return STEP_BLOCKED;
		return next_pc(t, H_WAIT, "waits for a user to leave");
	}
	if (!take_bql(t))
		return STEP_BLOCKED;
	return next_pc(t, H_TAKE, "has flushed all");
}

static enum step_result host_take(struct mmu_turn *t)
{
	struct mmu_state *s = t->s;

	if (s->engine)
		return STEP_BLOCKED;
	s->engine = (uint8_t)(t->id + 1);
	if (s->trapped && !s->failed)
		return next_pc(t, H_PUNCH, "takes the engine lock");
	return next_pc(t, H_LOSE, "takes the engine lock, has lost the frame");
}

static enum step_result host_lose(struct mmu_turn *t)
{
	untrap(t);
	if (!mutant(MUT_MMU_NOT_UNTRAPPED_AGAIN))
		tell_untrap(t);
	return next_pc(t, H_END, "untraps it, also if it was untrapped");
}

static enum step_result host_end(struct mmu_turn *t)
{
	if (!t->s->failed || !mutant(MUT_MMU_NO_END_ON_ERROR))
		end_batch(t->s);
	t->s->failed = 0;
	t->s->engine = 0;
	t->s->bql = 0;
	return next_pc(t, H_IDLE, "tells the users of the end");
}

static enum step_result host_step(struct mmu_turn *t, unsigned int choice)
{
	struct mmu_state *s = t->s;

	switch (*t->pc) {
	case H_IDLE:
		return host_idle(t);
	case H_TRAP:
		return host_trap(t);
	case H_LATE_BITS:
		s->trapped = 1;
		return next_pc(t, H_START, "sets the trapped bit");
	case H_COUNT:
		s->seq += !mutant(MUT_MMU_COUNT_STANDS);
		return next_pc(t, H_START, "moves the count on");
	case H_START:
		return host_start(t);
	case H_WALK:
		return host_walk(t);
	case H_HOLD:
		return host_hold(t);
	case H_JOINED:
		return host_joined(t);
	case H_FLUSH:
		drop_bql(t);
		return next_pc(t, H_SLEEP, "flushes it, drops the BQL");
	case H_SLEEP:
		return host_sleep(t, choice);
	case H_AWAKE:
		return host_awake(t);
	case H_NEXT:
		return host_next(t);
	case H_WAIT:
		return host_wait(t);
	case H_TAKE:
		return host_take(t);
	case H_PUNCH:
		if (s->user[0].map || s->user[1].map)
			t->info->violation = "memory goes that a user translates";
		s->discarded = 1;
		return next_pc(t, H_END, "punches the memory");
	case H_LOSE:
		return host_lose(t);
	case H_END:
		return host_end(t);
	}
	return STEP_BLOCKED;
}

/* --- user 0 fills its table --- */

enum { T_BEGIN, T_BIT, T_ASK, T_LOCK, T_CHECK, T_ENTER, T_UNLOCK };

static enum step_result table_again(struct mmu_turn *t, const char *what)
{
	t->s->table_left--;
	return next_pc(t, T_BEGIN, what);
}

static enum step_result table_step(struct mmu_turn *t)
{
	struct mmu_state *s = t->s;
	struct mmu_user *u = &s->user[0];

	switch (*t->pc) {
	case T_BEGIN:
		if (!s->table_left || u->released)
			return STEP_BLOCKED;
		s->table_seq = s->seq;
		return next_pc(t, T_BIT, "reads the count");
	case T_BIT:
		return next_pc(t, s->trapped ? T_ASK : T_LOCK, "reads the bit");
	case T_ASK:
		if (s->engine)
			return STEP_BLOCKED;
		if (access_faults(t))
			return table_again(t, "asks: the content is gone");
		return next_pc(t, T_LOCK, "asks: go on");
	case T_LOCK:
		if (u->lock)
			return STEP_BLOCKED;
		if (u->released)
			return table_again(t, "finds its table frozen");
		u->lock = 1;
		return next_pc(t, T_CHECK, "locks its table");
	case T_CHECK:
		if (s->seq == s->table_seq || mutant(MUT_MMU_NO_RETRY))
			return next_pc(t, T_ENTER, "reads the same count");
		u->lock = 0;
		return next_pc(t, T_BEGIN, "reads another count, unlocks");
	case T_ENTER:
		u->map = 1;
		return next_pc(t, T_UNLOCK, "enters the translation");
	case T_UNLOCK:
		u->lock = 0;
		return table_again(t, "unlocks its table");
	}
	return STEP_BLOCKED;
}

/* --- user 1 uses the frame as soon as it may --- */

static enum step_result cpu_step(struct mmu_turn *t)
{
	struct mmu_state *s = t->s;
	struct mmu_user *u = &s->user[1];

	if (!s->cpu_left || u->released || u->state < LIVE)
		return STEP_BLOCKED;
	if (!u->closed) {
		u->map = 1;
		s->cpu_left--;
		return next_pc(t, 0, "user 1 translates the frame");
	}
	if (s->engine)
		return STEP_BLOCKED;
	s->cpu_left -= access_faults(t);
	return next_pc(t, 0, "user 1 asks");
}

/* --- registration of user 1 --- */

enum { J_BEGIN, J_INSERT, J_READ, J_FLUSH, J_SETTLE, J_JOIN, J_DONE };

static enum step_result join_insert(struct mmu_turn *t)
{
	struct mmu_state *s = t->s;

	if (s->engine)
		return STEP_BLOCKED;
	if (s->closed) {
		drop_bql(t);
		return next_pc(t, J_DONE, "may not register any more");
	}
	s->user[1].state = JOINING;
	s->user[1].linked = 1;
	s->user[1].next = s->user[0].linked;
	return next_pc(t, mutant(MUT_MMU_LISTED_LATE) ? J_JOIN : J_READ,
		       "is on the list");
}

static enum step_result join_step(struct mmu_turn *t)
{
	struct mmu_state *s = t->s;
	struct mmu_user *u = &s->user[1];
	bool late = mutant(MUT_MMU_LISTED_LATE);

	switch (*t->pc) {
	case J_BEGIN:
		if (!(parts & MMU_JOINS) || s->gone || !take_bql(t))
			return STEP_BLOCKED;
		return next_pc(t, late ? J_READ : J_INSERT, "registers");
	case J_INSERT:
		return join_insert(t);
	case J_READ:
		if (!s->trapped || mutant(MUT_MMU_NO_REPLAY))
			return next_pc(t, late ? J_INSERT : J_JOIN,
				       "has nothing to replay");
		drop_bql(t);
		return next_pc(t, J_FLUSH, "replays what is trapped");
	case J_FLUSH:
		u->closed = 1;
		return next_pc(t, J_SETTLE, "closes it");
	case J_SETTLE:
		if (s->engine)
			return STEP_BLOCKED;
		if (!s->trapped && !mutant(MUT_MMU_NO_SETTLE))
			u->closed = 0;
		return next_pc(t, late ? J_INSERT : J_JOIN,
			       "opens what is no longer trapped");
	case J_JOIN:
		if (s->engine || !take_bql(t))
			return STEP_BLOCKED;
		u->state = LIVE;
		s->bql = 0;
		return next_pc(t, J_DONE, "has joined");
	}
	return STEP_BLOCKED;
}

/* --- leaving, by unregister or by the device's exit --- */

enum {
	L_BEGIN, L_BQL, L_HELD, L_UNLINK, L_RELEASE, L_RELEASED, L_WAIT, L_FREE,
	L_DONE, L_NEXT, L_MOVES,
};

static bool begin_leaving(struct mmu_state *s, struct mmu_user *u)
{
	if (u->state != LIVE &&
	    !(mutant(MUT_MMU_RELEASED_TWICE) && u->state == LEAVING))
		return false;
	u->state = LEAVING;
	s->leaving++;
	return true;
}

static enum step_result leave_held(struct mmu_turn *t, struct mmu_user *u)
{
	if (u->holds && !mutant(MUT_MMU_HOLD_NOT_WAITED)) {
		if (mutant(MUT_MMU_WAITS_WITH_BQL) || !drop_bql(t))
			return STEP_BLOCKED;
		return next_pc(t, L_HELD, "waits for its flush");
	}
	return next_pc(t, L_UNLINK, "nobody holds it");
}

static enum step_result leave_unlink(struct mmu_turn *t, unsigned int i)
{
	struct mmu_state *s = t->s;

	if (s->engine || !take_bql(t))
		return STEP_BLOCKED;
	if (!mutant(MUT_MMU_NO_END_ON_LEAVE))
		s->user[i].started = 0;
	unlink_user(s, i);
	return next_pc(t, L_RELEASE, "is off the list");
}

static enum step_result leave_release(struct mmu_turn *t, struct mmu_user *u)
{
	if (u->lock)
		return STEP_BLOCKED;
	if (u->released)
		t->info->violation = "a user is released twice";
	if (u->started)
		t->info->violation = "a user is released between start and end";
	if (u->freed || t->s->gone)
		t->info->violation = "a user is released too late";
	u->released = 1;
	drop_bql(t);
	return next_pc(t, L_RELEASED, "release begins, and drops the BQL");
}

static enum step_result leave_released(struct mmu_turn *t, struct mmu_user *u,
				       uint8_t then)
{
	if (!take_bql(t))
		return STEP_BLOCKED;
	if (u->freed || t->s->gone)
		t->info->violation = "a user goes while it is being released";
	u->map = 0;
	u->released = 2;
	u->state = GONE;
	t->s->leaving--;
	return next_pc(t, then, "was released");
}

/* The steps that unregister and exit have in common. */
static enum step_result leave(struct mmu_turn *t, unsigned int i, uint8_t then)
{
	struct mmu_user *u = &t->s->user[i];

	switch (*t->pc) {
	case L_HELD:
		return leave_held(t, u);
	case L_UNLINK:
		return leave_unlink(t, i);
	case L_RELEASE:
		return leave_release(t, u);
	case L_RELEASED:
		return leave_released(t, u, then);
	}
	return STEP_BLOCKED;
}

static enum step_result unregister_begin(struct mmu_turn *t, unsigned int i,
					 unsigned int choice)
{
	struct mmu_state *s = t->s;

	t->info->more = choice == 0;
	if (!(parts & (i ? MMU_LEAVES_TOO : MMU_LEAVES)) ||
	    s->user[i].state < LIVE)
		return STEP_BLOCKED;
	if (choice)
		s->no_bql |= (uint8_t)(1 << t->id);
	if (!take_bql(t))
		return STEP_BLOCKED;
	return next_pc(t, L_BQL, choice ? "unregisters, without the BQL" :
					  "unregisters, with the BQL");
}

static enum step_result unregister_step(struct mmu_turn *t, unsigned int i,
					unsigned int choice)
{
	struct mmu_state *s = t->s;
	struct mmu_user *u = &s->user[i];

	switch (*t->pc) {
	case L_BEGIN:
		return unregister_begin(t, i, choice);
	case L_BQL:
		if (begin_leaving(s, u))
			return next_pc(t, L_HELD, "is leaving");
		return next_pc(t, L_WAIT, "somebody else takes it off");
	case L_WAIT:
		if (u->state == GONE || mutant(MUT_MMU_SECOND_NOT_WAITED))
			return next_pc(t, L_FREE, "it was released");
		if (!drop_bql(t))
			return STEP_BLOCKED;
		return next_pc(t, L_WAIT, "waits for its release");
	case L_FREE:
		if (drop_bql(t))
			return next_pc(t, L_FREE, "returns; RCU will free it");
		if (s->rcu && !mutant(MUT_MMU_FREED_AT_ONCE))
			return STEP_BLOCKED;
		u->freed = 1;
		return next_pc(t, L_DONE, "is freed");
	}
	return leave(t, i, L_FREE);
}

static enum step_result exit_next(struct mmu_turn *t)
{
	struct mmu_state *s = t->s;
	unsigned int i;

	if (s->engine || !take_bql(t))
		return STEP_BLOCKED;
	s->closed = 1;
	for (i = 0; i < MMU_USERS; i++) {
		if (s->user[i].linked && begin_leaving(s, &s->user[i])) {
			s->exit_user = (uint8_t)i;
			return next_pc(t, L_HELD, "exit takes a user off");
		}
	}
	return next_pc(t, L_MOVES, "exit finds no user to take off");
}

/* No batch runs when a device goes. */
static enum step_result exit_step(struct mmu_turn *t)
{
	struct mmu_state *s = t->s;
	unsigned int i;

	switch (*t->pc) {
	case L_BEGIN:
		if (!(parts & MMU_EXIT) || s->host_pc != H_IDLE || !take_bql(t))
			return STEP_BLOCKED;
		s->closed = 1;
		return next_pc(t, L_NEXT, "the device goes");
	case L_NEXT:
		return exit_next(t);
	case L_MOVES:
		if (drop_bql(t))
			return next_pc(t, L_MOVES, "exit drops the BQL");
		if (mutant(MUT_MMU_EXIT_NOT_WAITED))
			break;
		if (s->leaving || s->user[1].state == JOINING)
			return STEP_BLOCKED;
		if (first_user(s))
			return next_pc(t, L_NEXT, "exit looks again");
		break;
	default:
		return leave(t, s->exit_user, L_NEXT);
	case L_DONE:
		return STEP_BLOCKED;
	}
	for (i = 0; i < MMU_USERS; i++)
		if (s->user[i].state != NEW && s->user[i].released != 2)
			t->info->violation = "the memory goes before a release";
	s->gone = 1;
	return next_pc(t, L_DONE, "the memory goes");
}

/* --- the model --- */

static enum step_result step(void *state, unsigned int agent,
			     unsigned int choice, struct step_info *info)
{
	struct mmu_state *s = state;
	struct mmu_turn t = { .s = s, .id = agent, .info = info };
	uint8_t none = 0;

	switch (agent) {
	case AGENT_HOST:
		t.pc = &s->host_pc;
		return host_step(&t, choice);
	case AGENT_TABLE:
		t.pc = &s->table_pc;
		return table_step(&t);
	case AGENT_CPU:
		t.pc = &none;
		return cpu_step(&t);
	case AGENT_JOIN:
		t.pc = &s->join_pc;
		return join_step(&t);
	case AGENT_LEAVE0:
	case AGENT_LEAVE1:
		t.pc = &s->leave_pc[agent - AGENT_LEAVE0];
		return unregister_step(&t, agent - AGENT_LEAVE0, choice);
	}
	t.pc = &s->exit_pc;
	return exit_step(&t);
}

static const char *check(const void *state)
{
	const struct mmu_state *s = state;
	unsigned int i;

	for (i = 0; i < MMU_USERS; i++)
		if (s->user[i].map && s->trapped && s->discarded)
			return "a user translates memory that was taken";
	for (i = 0; i < MMU_USERS; i++)
		if (s->user[i].started && s->host_pc == H_IDLE)
			return "a user has a start without end";
	if (!s->engine && s->host_pc == H_IDLE && s->join_pc != J_SETTLE &&
	    s->user[1].linked && s->user[1].closed && !s->trapped)
		return "a frame that was given back stays closed";
	return NULL;
}

static bool may_stop(uint8_t pc)
{
	return pc == L_BEGIN || pc == L_DONE;
}

/* Everybody is where it waits for nobody. */
static bool finished(const void *state)
{
	const struct mmu_state *s = state;

	return s->host_pc == H_IDLE && s->table_pc == T_BEGIN &&
	       (s->join_pc == J_BEGIN || s->join_pc == J_DONE) &&
	       may_stop(s->leave_pc[0]) && may_stop(s->leave_pc[1]) &&
	       may_stop(s->exit_pc);
}

static void print(const void *state)
{
	const struct mmu_state *s = state;
	unsigned int i;

	printf("trapped=%u gone=%u seq=%u engine=%u bql=%u", s->trapped,
	       s->discarded, s->seq, s->engine, s->bql);
	for (i = 0; i < MMU_USERS; i++)
		printf(" [%u holds=%u map=%u closed=%u]", s->user[i].state,
		       s->user[i].holds, s->user[i].map, s->user[i].closed);
}

static const char *agent_name(unsigned int agent)
{
	static const char *const names[] = {
		"reclaimer", "user 0", "user 1", "register", "unregister 0",
		"unregister 1", "exit",
	};

	return names[agent];
}

struct model mmu_model(void)
{
	return (struct model){
		.state_size = sizeof(struct mmu_state),
		.nr_agents = NR_MMU_AGENTS,
		.step = step,
		.check = check,
		.finished = finished,
		.print = print,
		.agent_name = agent_name,
	};
}

struct mmu_state mmu_initial(unsigned int scenario_parts)
{
	struct mmu_state s;

	parts = scenario_parts;
	memset(&s, 0, sizeof(s));
	if (parts & (MMU_TABLE | MMU_LEAVES)) {
		s.user[0].state = LIVE;
		s.user[0].linked = 1;
	}
	s.table_left = parts & MMU_TABLE ? TABLE_FILLS : 0;
	s.cpu_left = parts & MMU_JOINS ? CPU_LOADS : 0;
	s.host_rounds = parts & MMU_TWICE ? 2 : 1;
	return s;
}
