// SPDX-License-Identifier: GPL-2.0
/*
 * Interleaving explorer: scenarios, mutants, command line.
 *
 * Without arguments every scenario is explored and must hold; with --mutants
 * every planted mistake is explored in the scenarios that are meant to show it,
 * and must be caught.  Output is TAP.
 */
#include <err.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "folio.h"
#include "mmu.h"
#include "units.h"

#define MAX_STATES	(20u << 20)

static const struct scenario scenarios[] = {
	{
		.name = "race",
		.about = "downgrade against upgrade",
		.kind = { DOWNGRADER, DOWNGRADER, READER, READER, HOST },
		.nr_agents = 5, .host_rounds = 1,
	}, {
		.name = "race-twice",
		.about = "the same, the host comes back for more",
		.kind = { DOWNGRADER, DOWNGRADER, READER, READER, READER, HOST },
		.nr_agents = 6, .host_rounds = 2,
	}, {
		.name = "no-precheck",
		.about = "the same, PG_gph is read only after it was set",
		.kind = { DOWNGRADER, DOWNGRADER, READER, READER, HOST },
		.nr_agents = 5, .host_rounds = 1, .no_precheck = true,
	}, {
		.name = "lock-free",
		.about = "downgraders without the folio lock: the token alone",
		.kind = { DOWNGRADER, DOWNGRADER, READER, READER, HOST },
		.nr_agents = 5, .host_rounds = 1, .no_lock = true,
		.no_precheck = true,
	}, {
		.name = "mapped",
		.about = "mapcount and refcount against unmap, fork and GUP",
		.kind = { DOWNGRADER, ZAPPER, FORKER, READER, GUP, HOST },
		.nr_agents = 6, .host_rounds = 1, .ptes = 1,
	}, {
		.name = "mapped-twice",
		.about = "the same with two unmaps and two downgraders",
		.kind = { DOWNGRADER, DOWNGRADER, ZAPPER, FORKER, READER, HOST },
		.nr_agents = 6, .host_rounds = 1, .ptes = 1,
	}, {
		.name = "mapped-faults",
		.about = "downgrade against a process that loads and faults",
		.kind = { DOWNGRADER, USER, FAULTER, GUP, HOST },
		.nr_agents = 5, .host_rounds = 2, .ptes = 1,
	}, {
		.name = "writer",
		.about = "dirtying under a reference",
		.kind = { DOWNGRADER, DOWNGRADER, WRITER, READER, HOST },
		.nr_agents = 5, .host_rounds = 1,
	}, {
		.name = "writeback",
		.about = "the dirty bit in transit, stores through a mapping",
		.kind = { MMAP_WRITER, WRITEBACK, DOWNGRADER, RECLAIMER, HOST },
		.nr_agents = 5, .host_rounds = 1, .ptes = 1,
	}, {
		.name = "write-twice",
		.about = "dirtied again while it is written back",
		.kind = { WRITER, WRITEBACK, WRITER, DOWNGRADER, HOST },
		.nr_agents = 5, .host_rounds = 1,
	}, {
		.name = "claim",
		.about = "several users find out that the content is gone",
		.kind = { READER, READER, WRITER, DOWNGRADER },
		.nr_agents = 4, .discarded_first = true,
	}, {
		.name = "claim-mapped",
		.about = "the same, and it is mapped",
		.kind = { USER, GUP, READER, WRITER },
		.nr_agents = 4, .discarded_first = true, .ptes = 1,
	}, {
		.name = "taken-mapped",
		.about = "the host takes a mapped folio that is in use",
		.kind = { USER, GUP, READER, HOST },
		.nr_agents = 4, .volatile_first = true, .ptes = 1,
		.host_rounds = 2,
	}, {
		.name = "cow",
		.about = "a private copy while the folio goes and comes back",
		.kind = { COW, READER, FAULTER, HOST },
		.nr_agents = 4, .volatile_first = true, .ptes = 1,
		.host_rounds = 2,
	}, {
		.name = "reuse-dma",
		.about = "the frame is freed and filled by a device",
		.kind = { TRUNCATER, READER, OWNER_DMA, DOWNGRADER, HOST },
		.nr_agents = 5, .volatile_first = true, .host_rounds = 2,
	}, {
		.name = "reuse-cpu",
		.about = "the frame is freed and filled by a CPU",
		.kind = { TRUNCATER, USER, OWNER_CPU, DOWNGRADER, HOST },
		.nr_agents = 5, .volatile_first = true, .ptes = 1,
		.host_rounds = 2,
	}, {
		.name = "reclaim",
		.about = "the guest's own reclaim meets the host's",
		.kind = { RECLAIMER, TRUNCATER, READER, GUP, OWNER_DMA, HOST },
		.nr_agents = 6, .volatile_first = true, .ptes = 1,
		.host_rounds = 2,
	}, {
		.name = "reuse-lock-free",
		.about = "the frame is freed under downgraders without the lock",
		.kind = { TRUNCATER, OWNER_DMA, DOWNGRADER, DOWNGRADER, HOST },
		.nr_agents = 5, .no_lock = true, .host_rounds = 1,
		.no_precheck = true,
	}, {
		.name = "units",
		.about = "split and joined folios under the host's eyes",
		.units = true,
	}, {
		.name = "mmu-table",
		.about = "a secondary MMU fills its table during two batches",
		.mmus = MMU_TABLE | MMU_TWICE | MMU_FAILS,
	}, {
		.name = "mmu-joins",
		.about = "one registers during two batches, beside another",
		.mmus = MMU_JOINS | MMU_TABLE | MMU_TWICE | MMU_FAILS,
	}, {
		.name = "mmu-leaves",
		.about = "one registers and unregisters, another unregisters",
		.mmus = MMU_JOINS | MMU_LEAVES | MMU_LEAVES_TOO | MMU_TABLE |
			MMU_FAILS,
	}, {
		.name = "mmu-exit",
		.about = "the device goes while they come and go",
		.mmus = MMU_JOINS | MMU_LEAVES | MMU_LEAVES_TOO | MMU_EXIT,
	},
};
#define NR_SCENARIOS	(sizeof(scenarios) / sizeof(scenarios[0]))

static const char *const mutant_names[] = {
#define M(id, name)	[MUT_##id] = name,
	MUTANTS(M)
#undef M
};

/* Where a mutant is looked for; without an entry: everywhere. */
static const struct {
	enum mutant mutant;
	const char *scenario;
} targets[] = {
	{ MUT_NO_TOKEN, "lock-free" },
	{ MUT_LATE_FLAG_CLEAR, "no-precheck" },
	{ MUT_NO_FLAG_RECHECK, "no-precheck" },
	{ MUT_CLEAR_AFTER_LOST_BEGIN, "no-precheck" },
	{ MUT_NO_DOWNGRADE_REF, "reuse-lock-free" },
	{ MUT_HEAD_TRAP_ONLY, "units" },
	{ MUT_STALE_UNIT_ORDER, "units" },
	{ MUT_MMU_COUNT_STANDS, "mmu-table" },
	{ MUT_MMU_COUNT_FIRST, "mmu-table" },
	{ MUT_MMU_NO_RETRY, "mmu-table" },
	{ MUT_MMU_NO_END_ON_ERROR, "mmu-joins" },
	{ MUT_MMU_NO_END_ON_LEAVE, "mmu-leaves" },
	{ MUT_MMU_NOT_UNTRAPPED_AGAIN, "mmu-joins" },
	{ MUT_MMU_NO_REPLAY, "mmu-joins" },
	{ MUT_MMU_NO_SETTLE, "mmu-joins" },
	{ MUT_MMU_LISTED_LATE, "mmu-joins" },
	{ MUT_MMU_JOIN_NOT_WAITED, "mmu-joins" },
	{ MUT_MMU_HOLD_NOT_WAITED, "mmu-leaves" },
	{ MUT_MMU_WAITS_WITH_BQL, "mmu-leaves" },
	{ MUT_MMU_LEAVING_NOT_WAITED, "mmu-leaves" },
	{ MUT_MMU_FAST_PATH_BLIND, "mmu-leaves" },
	{ MUT_MMU_NEXT_AFTER_DROP, "mmu-leaves" },
	{ MUT_MMU_FREED_AT_ONCE, "mmu-leaves" },
	{ MUT_MMU_RELEASED_TWICE, "mmu-exit" },
	{ MUT_MMU_SECOND_NOT_WAITED, "mmu-exit" },
	{ MUT_MMU_EXIT_NOT_WAITED, "mmu-exit" },
};

static const struct scenario *find_scenario(const char *name)
{
	size_t i;

	for (i = 0; i < NR_SCENARIOS; i++)
		if (!strcmp(scenarios[i].name, name))
			return &scenarios[i];
	errx(2, "no scenario '%s'; --list shows them", name);
}

static enum mutant find_mutant(const char *name)
{
	int i;

	for (i = 0; i < NR_MUTANTS; i++)
		if (!strcmp(mutant_names[i], name))
			return (enum mutant)i;
	errx(2, "no mutant '%s'; --list shows them", name);
}

static struct outcome run(const struct scenario *scenario, enum mutant m,
			  bool trace)
{
	struct units_state two_frames = units_initial();
	struct folio_state initial = folio_initial(scenario);
	struct mmu_state mmus = mmu_initial(scenario->mmus);
	struct model model = folio_model(scenario);

	setting.scenario = scenario;
	setting.mutant = m;
	if (scenario->units) {
		model = units_model();
		return explore(&model, &two_frames, MAX_STATES, trace);
	}
	if (scenario->mmus) {
		model = mmu_model();
		return explore(&model, &mmus, MAX_STATES, trace);
	}
	return explore(&model, &initial, MAX_STATES, trace);
}

/* Returns the number of scenarios that do not hold. */
static int run_scenarios(const struct scenario *only, enum mutant m, bool trace)
{
	struct outcome out;
	int nr = 0, failed = 0;
	size_t i;

	for (i = 0; i < NR_SCENARIOS; i++) {
		if (only && only != &scenarios[i])
			continue;
		out = run(&scenarios[i], m, trace);
		failed += !!out.violation;
		printf("%sok %d - %s: %s (%u states, %u ends)%s%s\n",
		       out.violation ? "not " : "", ++nr, scenarios[i].name,
		       scenarios[i].about, out.states, out.ends,
		       out.violation ? ": " : "",
		       out.violation ? out.violation : "");
		fflush(stdout);
	}
	printf("1..%d\n", nr);
	return failed;
}

static const char *target_of(enum mutant m)
{
	size_t i;

	for (i = 0; i < sizeof(targets) / sizeof(targets[0]); i++)
		if (targets[i].mutant == m)
			return targets[i].scenario;
	return NULL;
}

/* Look for @m in the scenarios that are meant for it. */
static const struct scenario *look_for(enum mutant m, bool trace,
				       struct outcome *total)
{
	const char *only = target_of(m);
	struct outcome out;
	size_t i;

	for (i = 0; i < NR_SCENARIOS; i++) {
		if (only && strcmp(only, scenarios[i].name))
			continue;
		/* What has no lock is no part of the protocol. */
		if (!only && (scenarios[i].no_lock || scenarios[i].no_precheck))
			continue;
		/* The other mistakes are not in this model. */
		if (!only && scenarios[i].mmus)
			continue;
		out = run(&scenarios[i], m, trace);
		total->states += out.states;
		if (out.violation) {
			total->violation = out.violation;
			return &scenarios[i];
		}
	}
	return NULL;
}

/*
 * Is @m caught?  By harm to data if it does any, or else by a broken rule: then
 * it takes a second mistake to do harm, and the message says so.
 */
static bool catch_mutant(int nr, enum mutant m, bool trace)
{
	const struct scenario *where;
	struct outcome total = { };

	setting.harm_only = true;
	where = look_for(m, trace, &total);
	setting.harm_only = false;
	if (!where)
		where = look_for(m, trace, &total);
	if (!where) {
		printf("not ok %d - mutant %s survived %u states\n", nr,
		       mutant_names[m], total.states);
		return false;
	}
	printf("ok %d - mutant %s caught (after %u states, by %s: %s)\n", nr,
	       mutant_names[m], total.states, where->name, total.violation);
	return true;
}

static int run_mutants(bool trace)
{
	int m, survived = 0;

	for (m = MUT_NONE + 1; m < NR_MUTANTS; m++) {
		survived += !catch_mutant(m, (enum mutant)m, trace);
		fflush(stdout);
	}
	printf("1..%d\n", NR_MUTANTS - 1);
	return survived;
}

static void list(void)
{
	size_t i;

	for (i = 0; i < NR_SCENARIOS; i++)
		printf("scenario %-16s %s\n", scenarios[i].name, scenarios[i].about);
	for (i = MUT_NONE + 1; i < NR_MUTANTS; i++)
		printf("mutant   %s\n", mutant_names[i]);
}

static void usage(FILE *to)
{
	fprintf(to, "usage: explore [-v] [--scenario=NAME] [--mutant=NAME]\n"
		    "       explore [-v] --mutants | --list | --help\n"
		    "  -v  print the way to a violation\n");
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "scenario", required_argument, NULL, 's' },
		{ "mutant", required_argument, NULL, 'm' },
		{ "mutants", no_argument, NULL, 'a' },
		{ "list", no_argument, NULL, 'l' },
		{ "help", no_argument, NULL, 'h' },
		{ }
	};
	const struct scenario *only = NULL;
	enum mutant m = MUT_NONE;
	bool trace = false, all = false;
	int c;

	while ((c = getopt_long(argc, argv, "vh", options, NULL)) != -1) {
		switch (c) {
		case 'v':
			trace = true;
			break;
		case 's':
			only = find_scenario(optarg);
			break;
		case 'm':
			m = find_mutant(optarg);
			break;
		case 'a':
			all = true;
			break;
		case 'l':
			list();
			return 0;
		case 'h':
			usage(stdout);
			return 0;
		default:
			usage(stderr);
			return 2;
		}
	}
	return all ? !!run_mutants(trace) : !!run_scenarios(only, m, trace);
}
