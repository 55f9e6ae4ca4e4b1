// SPDX-License-Identifier: GPL-2.0
/*
 * Unit tests of the ABI header: sizes, offsets and values that never change.
 *
 * Numbers, not names: whoever changes the header has to change this file and
 * will notice that old guests and hosts are out there.  What a compiler can
 * check it checks; the rest is the encoding of the discard fault.
 */
#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

#include <linux/virtio_gph.h>

#define PIN(expression)	_Static_assert(expression, #expression)

PIN(sizeof(struct virtio_gph_config) == 24);
PIN(offsetof(struct virtio_gph_config, abi) == 0);
PIN(offsetof(struct virtio_gph_config, age_request) == 4);
PIN(offsetof(struct virtio_gph_config, nr_frames) == 8);
PIN(offsetof(struct virtio_gph_config, control_offset) == 16);

PIN(sizeof(struct virtio_gph_control) == 64);
PIN(offsetof(struct virtio_gph_control, epoch) == 0);
PIN(offsetof(struct virtio_gph_control, reserved) == 2);

PIN(VIRTIO_ID_GPH == 63);
PIN(VIRTIO_GPH_ABI == 1);
PIN(VIRTIO_GPH_SHM_TABLE == 1);
PIN(VIRTIO_GPH_FRAME_SHIFT == 12);
PIN(VIRTIO_GPH_EPOCHS_PER_RAM == 128);
PIN(VIRTIO_GPH_MAX_ORDER == 9);

PIN(VIRTIO_GPH_STATE_MASK == 0x0007);
PIN(VIRTIO_GPH_PENDING == 0x0008);
PIN(VIRTIO_GPH_ORDER_MASK == 0x00f0);
PIN(VIRTIO_GPH_ORDER_SHIFT == 4);
PIN(VIRTIO_GPH_EPOCH_MASK == 0xff00);
PIN(VIRTIO_GPH_EPOCH_SHIFT == 8);
PIN(VIRTIO_GPH_TOKEN_MASK == 0xfff0);
PIN(VIRTIO_GPH_TOKEN_SHIFT == 4);

/* A zeroed table says "keep everything". */
PIN(VIRTIO_GPH_STABLE == 0);
PIN(VIRTIO_GPH_UNUSED == 1);
PIN(VIRTIO_GPH_VOLATILE == 2);
PIN(VIRTIO_GPH_DISCARDING == 3);
PIN(VIRTIO_GPH_DISCARDED == 4);
PIN(VIRTIO_GPH_CLAIMED == 5);

static guint64 fault_address(guint64 frame)
{
	return VIRTIO_GPH_FAULT_TAG << VIRTIO_GPH_FAULT_TAG_SHIFT |
	       (frame & VIRTIO_GPH_FAULT_FRAME_MASK);
}

/* With @bits of virtual address, is @address canonical? */
static bool canonical(guint64 address, unsigned int bits)
{
	gint64 top = (gint64)address >> (bits - 1);

	return top == 0 || top == -1;
}

static void test_fault(void)
{
	static const guint64 frames[] = { 0, 1, 0x100000, 0xffffffffff, 0xffffffffffff };
	size_t i;

	g_assert_cmphex(fault_address(0), ==, 0x6750000000000000ull);
	g_assert_cmphex(VIRTIO_GPH_FAULT_FRAME_MASK, ==, 0xffffffffffffull);
	for (i = 0; i < G_N_ELEMENTS(frames); i++) {
		guint64 address = fault_address(frames[i]);

		g_assert_false(canonical(address, 48));
		g_assert_false(canonical(address, 57));
		g_assert_cmphex(address >> 48, ==, 0x6750);
		g_assert_cmphex(address & VIRTIO_GPH_FAULT_FRAME_MASK, ==, frames[i]);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/abi/discard-fault", test_fault);
	return g_test_run();
}
