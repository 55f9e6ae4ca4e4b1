/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest for virtio-gph-test: firmware that does single memory accesses.
 *
 * It goes straight to long mode, maps 4 GiB one to one, and then waits for
 * commands in a mailbox in low memory, which the device leaves alone.  A page
 * fault ends the command and leaves CR2 and the error code in the mailbox.
 *
 * It is assembled into the test, so no tool is needed at run time; the test is
 * built for hosts whose assembler knows x86.
 */
#ifndef VIRTIO_GPH_FIRMWARE_H
#define VIRTIO_GPH_FIRMWARE_H

#define FW_SIZE         0x10000
#define FW_BASE         0xf0000         /* where it runs */

/* Mailbox: 64-bit words. */
#define FW_CMD          0x8000          /* command; 0 when it is done */
#define FW_ADDR         0x8008
#define FW_VALUE        0x8010
#define FW_FAULTED      0x8018
#define FW_CR2          0x8020
#define FW_ERROR        0x8028
#define FW_WORD         0x8030          /* OWN: address of the frame's word */
#define FW_COUNT        0x8038          /* OWN, DIRTY: how often */
#define FW_CORRUPT      0x8040          /* OWN: bytes that were wrong */
#define FW_LOST         0x8048          /* OWN: times the host was faster */
#define FW_READY        0x8050
#define FW_MAGIC        0x67706821

#define FW_READ         1               /* VALUE = *ADDR */
#define FW_WRITE        2               /* *ADDR = VALUE */
#define FW_EXEC         3               /* VALUE = call ADDR */
/*
 * Own the frame at ADDR: write it, offer it as volatile, take it back, and if
 * that works it must still be what was written.
 */
#define FW_OWN          4
#define FW_OUTS         5               /* 4 bytes from ADDR to port VALUE */
#define FW_INS          6               /* one byte from port VALUE to ADDR */
/* An interrupt while the stack is in the frame at ADDR: VALUE is its vector. */
#define FW_INTERRUPT    7
#define FW_DIRTY        8               /* write 16 pages at ADDR, COUNT times */

/* The image: the code, and a reset vector that jumps to it. */
void fw_make(uint8_t *image);

#endif /* VIRTIO_GPH_FIRMWARE_H */
