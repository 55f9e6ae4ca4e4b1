// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Fuzzer entry: the first byte chooses between an honest and a lying guest, the
 * rest is the schedule.  Link with -fsanitize=fuzzer.
 */
#include "sim.h"

#define NR_FRAMES (7 * GPH_BLOCK_FRAMES + 101)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sim s;

	if (!size)
		return 0;
	sim_init(&s, NR_FRAMES);
	sim_play(&s, data + 1, size - 1, data[0] & 1);
	sim_fini(&s);
	return 0;
}
