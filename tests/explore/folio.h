/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Interleaving explorer: the model of one folio, its word, and its users.
 *
 * The state is what guest and host share or can see of each other, at the grain
 * of single atomic memory operations.  The agents are programs over it, one
 * operation a step, and make every change of the word with the functions of
 * <gph/state.h>.
 */
#ifndef GPH_EXPLORE_FOLIO_H
#define GPH_EXPLORE_FOLIO_H

#include <gph/state.h>

#include "engine.h"

#define MAX_AGENTS	6

/* What the frame holds. */
enum content {
	ZEROS,		/* the host took it and gave an empty one */
	FILE_BYTES,	/* what is on disk */
	NEW_BYTES,	/* what a writer wrote: exists nowhere else */
	OWNER_BYTES,	/* of somebody else, after the frame was reused */
};

enum owner { OWNER_CACHE, OWNER_ALLOCATOR, OWNER_OTHER };

struct agent {
	uint8_t pc;
	uint8_t yes, no;	/* where the upgrade goes on */
	uint8_t ret;		/* where settle and removal go on */
	uint8_t mapcount;	/* what a downgrader has read */
	uint8_t copy;		/* what a copier has read */
	uint8_t round;
	uint8_t late;		/* for mutants: has something left to do */
};

struct folio_state {
	gph_word_t word;
	uint8_t gph;		/* PG_gph */
	uint8_t lock;		/* folio lock: 0, or agent + 1 */
	uint8_t uptodate;
	uint8_t dirty;
	uint8_t writeback;
	uint8_t refs;		/* 0 while frozen */
	uint8_t mapcount;
	uint8_t pte;		/* bit per page table that maps the folio */
	uint8_t writable;	/* page table 0 allows stores */
	uint8_t ptl;		/* the lock of page table 0 is held */
	uint8_t cached;		/* in the page cache, which has a reference */
	uint8_t owner;		/* enum owner */
	uint8_t mem;		/* enum content: what is there */
	uint8_t file;		/* enum content: what has to be there */
	uint8_t disk;		/* enum content: what a read would bring */
	uint8_t trapped;	/* host */
	uint8_t discarded;	/* host: its own record */
	uint8_t engine;		/* host: the engine lock is held */
	uint8_t tlb;		/* bit per agent: its CPU translates the frame */
	uint8_t pad[2];
	struct agent agent[MAX_AGENTS];
};
_Static_assert(sizeof(struct folio_state) == 24 + 8 * MAX_AGENTS, "no holes");

/* One planted mistake each; NONE is the protocol. */
#define MUTANTS(M)						\
	M(NONE, "none")						\
	M(CHECK_THEN_CAS, "check-then-cas")			\
	M(CAS_RECHECK_UNDO, "cas-recheck-undo")			\
	M(NO_TOKEN, "no-token")					\
	M(NO_DOWNGRADE_REF, "downgrade-without-ref")		\
	M(NO_FLAG_RECHECK, "no-flag-recheck")			\
	M(REFS_BEFORE_MAPCOUNT, "refcount-before-mapcount")	\
	M(DIRTY_BEFORE_REFS, "dirty-before-refcount")		\
	M(IGNORE_WRITEBACK, "writeback-ignored")		\
	M(CLEAR_AFTER_LOST_BEGIN, "clear-after-lost-begin")	\
	M(FLAG_AFTER_WORD, "flag-after-word")			\
	M(RELAXED_REF, "relaxed-ref")				\
	M(LATE_FLAG_CLEAR, "late-flag-clear")			\
	M(LOSER_CLEARS, "loser-clears-uptodate")		\
	M(LOSER_DOES_NOT_WAIT, "loser-does-not-wait")		\
	M(STABLE_BEFORE_UPTODATE, "stable-before-uptodate")	\
	M(SETTLE_BEFORE_UNMAP, "settle-before-unmap")		\
	M(REFILL_BEFORE_SETTLE, "no-settle-before-refill")	\
	M(GUP_RECHECK_EARLY, "gup-recheck-before-hook")		\
	M(COW_HOOK_LATE, "cow-hook-after-ptl")			\
	M(NO_UNMAP_HOOK, "no-unmap-hook")			\
	M(UNMAP_HOOK_LATE, "unmap-hook-after-put")		\
	M(MAPCOUNT_BEFORE_REF, "map-counts-before-ref")		\
	M(NO_REMOVE_HOOK, "no-remove-hook")			\
	M(RELEASE_DISCARDING, "discarding-handed-out")		\
	M(FREE_BEFORE_TRAP, "free-before-trap")			\
	M(TRAP_WITHOUT_FLUSH, "trap-without-flush")		\
	M(NO_TRAP_RECHECK, "no-trap-recheck")			\
	M(DISCARDED_BEFORE_PUNCH, "one-phase-discard")		\
	M(PUNCH_BEFORE_CAS, "punch-before-cas")			\
	M(FILL_WITHOUT_LOCK, "fill-without-engine-lock")	\
	M(HEAD_TRAP_ONLY, "only-head-still-trapped")		\
	M(STALE_UNIT_ORDER, "stale-unit-order")			\
	M(MMU_COUNT_STANDS, "count-stands-still")		\
	M(MMU_COUNT_FIRST, "count-before-bits")			\
	M(MMU_NO_RETRY, "no-retry")				\
	M(MMU_NO_END_ON_ERROR, "no-end-on-error")		\
	M(MMU_NO_END_ON_LEAVE, "no-end-on-unregister")		\
	M(MMU_NOT_UNTRAPPED_AGAIN, "not-untrapped-again")	\
	M(MMU_NO_REPLAY, "no-replay")				\
	M(MMU_NO_SETTLE, "replay-not-settled")			\
	M(MMU_LISTED_LATE, "listed-after-replay")		\
	M(MMU_JOIN_NOT_WAITED, "join-not-waited-for")		\
	M(MMU_HOLD_NOT_WAITED, "flush-not-waited-for")		\
	M(MMU_WAITS_WITH_BQL, "waits-with-bql")			\
	M(MMU_LEAVING_NOT_WAITED, "release-not-waited-for")	\
	M(MMU_FAST_PATH_BLIND, "fast-path-ignores-leaving")	\
	M(MMU_NEXT_AFTER_DROP, "next-after-drop")		\
	M(MMU_FREED_AT_ONCE, "freed-under-readers")		\
	M(MMU_RELEASED_TWICE, "released-twice")			\
	M(MMU_SECOND_NOT_WAITED, "second-does-not-wait")	\
	M(MMU_EXIT_NOT_WAITED, "exit-does-not-wait")

enum mutant {
#define M(id, name)	MUT_##id,
	MUTANTS(M)
#undef M
	NR_MUTANTS
};

enum kind {
	DOWNGRADER,	/* folio lock, a reference, tries to downgrade */
	READER,		/* read(2): lookup, read again if need be, use, put */
	WRITER,		/* the same, then changes the content and marks it dirty */
	GUP,		/* fast GUP through page table 0, holds it, then puts */
	USER,		/* loads twice through page table 0, handles faults */
	ZAPPER,		/* unmaps page table 0 */
	FORKER,		/* copies page table 0 to 1 and unmaps 1 again */
	COW,		/* copies what page table 0 maps for a private mapping */
	FAULTER,	/* a page fault: looks up, reads if need be, maps */
	MMAP_WRITER,	/* stores through page table 0 after a write fault */
	WRITEBACK,	/* writes a dirty folio to disk */
	RECLAIMER,	/* unmaps, removes if clean and unused: the guest's own */
	TRUNCATER,	/* unmaps, removes from the page cache, puts */
	OWNER_DMA,	/* gets the freed frame, a device fills it, reads it */
	OWNER_CPU,	/* gets the freed frame, fills it itself, reads it */
	HOST,		/* the reclaim engine */
};

struct scenario {
	const char *name;
	const char *about;
	unsigned int nr_agents;
	enum kind kind[MAX_AGENTS];
	bool units;		/* the model of units.c, without agents of its own */
	unsigned int mmus;	/* that of mmu.c: enum mmu_parts */
	bool no_lock;		/* downgraders do without the folio lock */
	bool no_precheck;	/* and do not look at PG_gph before they set it */
	bool volatile_first;	/* the folio is volatile at the start */
	bool discarded_first;	/* and the host has taken it */
	uint8_t ptes;		/* page tables that map it at the start */
	uint8_t host_rounds;
};

/* What the agents of one exploration have in common. */
struct setting {
	const struct scenario *scenario;
	enum mutant mutant;
	bool harm_only;		/* look for wrong and lost bytes alone */
};
extern struct setting setting;

static inline bool mutant(enum mutant m)
{
	return setting.mutant == m;
}

/* A step of one agent; see struct model. */
struct turn {
	struct folio_state *s;
	struct agent *me;
	unsigned int id;
	struct step_info *info;
};

#define PC_DONE		255

/*
 * A rule of the protocol is broken, which need not hurt anybody yet.  Wrong and
 * lost bytes, in contrast, are set as violations directly.
 */
static inline void broken_rule(struct turn *t, const char *which)
{
	if (!setting.harm_only && !t->info->violation)
		t->info->violation = which;
}

/* Say what the step does and where the agent goes on. */
static inline enum step_result go(struct turn *t, uint8_t pc, const char *what)
{
	t->me->pc = pc;
	t->info->what = what;
	return STEP_DONE;
}

enum access { ACCESS_OK, ACCESS_WAITS, ACCESS_FAULTS };

/* folio_host.c */
enum access cpu_access(struct turn *t);
enum step_result step_host(struct turn *t);

/* folio_guest.c: what several agents do */
enum { PC_UPGRADE = 100, PC_SETTLE = 120, PC_REMOVE = 140 };

bool try_get(struct turn *t);
void put(struct turn *t);
void start_upgrade(struct turn *t, uint8_t yes, uint8_t no);
void start_settle(struct turn *t, uint8_t ret);
void start_unmap(struct turn *t, uint8_t ret);
void start_remove(struct turn *t, uint8_t ret);
bool can_drop(const struct turn *t);
enum step_result step_common(struct turn *t);

/* folio_downgrade.c, folio_users.c, folio_dirty.c, folio_free.c */
enum step_result step_downgrader(struct turn *t);
enum step_result step_reader(struct turn *t);
enum step_result step_gup(struct turn *t);
enum step_result step_user(struct turn *t);
enum step_result step_zapper(struct turn *t);
enum step_result step_forker(struct turn *t);
enum step_result load(struct turn *t, uint8_t next, uint8_t fault);
enum step_result step_cow(struct turn *t);
enum step_result step_mmap_writer(struct turn *t);
enum step_result step_writeback(struct turn *t);
enum step_result step_truncater(struct turn *t);
enum step_result step_owner(struct turn *t);

/* folio.c */
struct model folio_model(const struct scenario *scenario);
struct folio_state folio_initial(const struct scenario *scenario);

#endif /* GPH_EXPLORE_FOLIO_H */
