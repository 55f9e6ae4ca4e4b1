/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Interleaving explorer: the model of the host's secondary MMUs.
 */
#ifndef GPH_EXPLORE_MMU_H
#define GPH_EXPLORE_MMU_H

#include "folio.h"

#define MMU_USERS	2

/* What a scenario has besides the reclaimer; see mmu.c. */
enum mmu_parts {
	MMU_TABLE = 1,		/* user 0 fills its table on demand */
	MMU_JOINS = 2,		/* user 1 registers, and then uses the frame */
	MMU_LEAVES = 4,		/* user 0 unregisters */
	MMU_LEAVES_TOO = 8,	/* user 1 unregisters, too */
	MMU_EXIT = 16,		/* the device goes */
	MMU_FAILS = 32,		/* a flush may fail */
	MMU_TWICE = 64,		/* two batches */
};

struct mmu_user {
	uint8_t state;
	uint8_t holds;
	uint8_t started;
	uint8_t linked;
	uint8_t next;		/* on the list: user + 1, or 0 */
	uint8_t map;		/* it translates the frame */
	uint8_t closed;		/* it must ask before it does: not by the bitmap */
	uint8_t lock;		/* of its table */
	uint8_t released;	/* 1: release runs, 2: done */
	uint8_t freed;
};

struct mmu_state {
	struct mmu_user user[MMU_USERS];
	uint8_t trapped, discarded, settled;
	uint8_t seq;
	uint8_t engine;		/* locks: agent + 1, or 0 */
	uint8_t bql;
	uint8_t rcu;		/* the reclaimer is a reader */
	uint8_t leaving;
	uint8_t closed;		/* nobody may register */
	uint8_t gone;		/* the memory */
	uint8_t host_pc, host_at, host_held, host_rounds, failed;
	uint8_t table_pc, table_seq, table_left;
	uint8_t cpu_left;
	uint8_t join_pc;
	uint8_t leave_pc[MMU_USERS];
	uint8_t exit_pc, exit_user;
	uint8_t no_bql;		/* bit per agent that does without */
	uint8_t pad;
};
_Static_assert(sizeof(struct mmu_state) == 10 * MMU_USERS + 26, "no holes");

struct model mmu_model(void);
struct mmu_state mmu_initial(unsigned int parts);

#endif /* GPH_EXPLORE_MMU_H */
