/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Interleaving explorer: the model of two frames that are one folio or two.
 */
#ifndef GPH_EXPLORE_UNITS_H
#define GPH_EXPLORE_UNITS_H

#include "folio.h"

#define UNIT_FRAMES	2
#define UNIT_CPUS	2

struct units_state {
	gph_word_t word[UNIT_FRAMES];
	uint8_t trapped[UNIT_FRAMES];
	uint8_t discarded[UNIT_FRAMES];
	uint8_t mem[UNIT_FRAMES];	/* enum content */
	uint8_t tlb[UNIT_CPUS];		/* bit per frame */
	uint8_t split;			/* two folios of order 0 */
	uint8_t moves;			/* what the guest has left to do */
	uint8_t engine;
	uint8_t host_pc, host_head, host_order, host_rounds;
	uint8_t cpu_pc[UNIT_CPUS];
	uint8_t pad[3];
};
_Static_assert(sizeof(struct units_state) == 24, "no holes");

struct model units_model(void);
struct units_state units_initial(void);

#endif /* GPH_EXPLORE_UNITS_H */
