/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * virtio-gph: the guest page hinting device.
 *
 * This header is the whole contract between a guest and its host; the kernel
 * driver, the QEMU device, the tests and the models all compile this file.
 *
 * The device owns one shared-memory region, VIRTIO_GPH_SHM_TABLE, that the
 * driver maps write-back:
 *
 *   offset 0                one little-endian 16-bit word per 4 KiB guest frame,
 *                           indexed by guest frame number (address >> 12)
 *   config.control_offset   struct virtio_gph_control
 *
 * The device zeroes the region when it is reset.  An all-zero word says
 * "stable: keep the content", so a guest without a driver, a rebooted guest
 * and a crash kernel are safe without doing anything.
 *
 * Words change by compare-and-swap only.  <gph/state.h> holds every legal
 * transition and says which side may make it.
 */
#ifndef _UAPI_LINUX_VIRTIO_GPH_H
#define _UAPI_LINUX_VIRTIO_GPH_H

#include <linux/types.h>

/* Virtio device id.  Unallocated: the highest one a modern PCI device can have. */
#define VIRTIO_ID_GPH			63

/* Value of config.abi.  A driver must refuse any other value. */
#define VIRTIO_GPH_ABI			1

/* Shared-memory region id (virtio 1.2, 2.10). */
#define VIRTIO_GPH_SHM_TABLE		1

/* log2 of the frame size that one word describes. */
#define VIRTIO_GPH_FRAME_SHIFT		12

/**
 * struct virtio_gph_config - device configuration space (read-only for the driver)
 * @abi: VIRTIO_GPH_ABI
 * @age_request: a counter; the device increments it and raises a configuration
 *	change when it wants the guest to look for cold pages
 * @nr_frames: number of words in the table
 * @control_offset: offset of struct virtio_gph_control in the region, in bytes
 */
struct virtio_gph_config {
	__le32 abi;
	__le32 age_request;
	__le64 nr_frames;
	__le64 control_offset;
};

/**
 * struct virtio_gph_control - what is not about one frame (written by the driver)
 * @epoch: the guest's current epoch, in the low 8 bits
 * @reserved: zero
 *
 * An epoch is a stretch of downgrade activity, not of time: it advances each
 * time 1/VIRTIO_GPH_EPOCHS_PER_RAM of the table's frames went volatile.  The age of a word is
 * (control.epoch - word.epoch) mod 256, and the device takes old words first.
 * An idle guest does not age, and needs no timer to say so.
 */
struct virtio_gph_control {
	__le16 epoch;
	__le16 reserved[31];
};

#define VIRTIO_GPH_EPOCHS_PER_RAM	128

/*
 * The word.
 *
 *  15            8 7       4   3   2     0
 * +---------------+---------+-----+-------+
 * |     epoch     |  order  |  0  | state |   UNUSED ... CLAIMED
 * +---------------+---------+-----+-------+
 * |          token          |  1  |   0   |   a downgrade is in flight
 * +-------------------------+-----+-------+
 * |                   0                   |   STABLE
 * +---------------------------------------+
 *
 * A word with an order describes 2^order frames and stands at the first of
 * them, which is aligned to 2^order.  The words of the other frames are STABLE.
 */
#define VIRTIO_GPH_STATE_MASK		0x0007
#define VIRTIO_GPH_PENDING		0x0008
#define VIRTIO_GPH_ORDER_SHIFT		4
#define VIRTIO_GPH_ORDER_MASK		0x00f0
#define VIRTIO_GPH_EPOCH_SHIFT		8
#define VIRTIO_GPH_EPOCH_MASK		0xff00
#define VIRTIO_GPH_TOKEN_SHIFT		4
#define VIRTIO_GPH_TOKEN_MASK		0xfff0

/* Largest order that a word may carry: 2 MiB, one huge mapping of the host. */
#define VIRTIO_GPH_MAX_ORDER		9

#define VIRTIO_GPH_STABLE		0	/* the content must be kept */
#define VIRTIO_GPH_UNUSED		1	/* there is no content */
#define VIRTIO_GPH_VOLATILE		2	/* the guest can read the content again */
#define VIRTIO_GPH_DISCARDING		3	/* the device is taking the memory */
#define VIRTIO_GPH_DISCARDED		4	/* the content is gone, accesses fault */
#define VIRTIO_GPH_CLAIMED		5	/* gone, the guest knows, accesses fault */

/*
 * The discard fault, x86: a #PF whose CR2 is non-canonical, also with 5-level
 * paging, so that no access can cause it.  The tag is in bits 63..48, the guest
 * frame number in bits 47..0.
 */
#define VIRTIO_GPH_FAULT_TAG		0x6750ULL
#define VIRTIO_GPH_FAULT_TAG_SHIFT	48
#define VIRTIO_GPH_FAULT_FRAME_MASK	((1ULL << VIRTIO_GPH_FAULT_TAG_SHIFT) - 1)

#endif /* _UAPI_LINUX_VIRTIO_GPH_H */
