/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gph: what a TCG target's TLB fill needs.
 *
 * A vCPU's TLB is a secondary MMU without page tables.  Each fill, of one 4 KiB
 * page whatever the size of the guest's own, asks gph_tcg_trapped(); if it says
 * yes the target calls gph_tcg_access() and either goes on or raises its
 * discard fault.
 */
#ifndef HW_VIRTIO_GPH_TCG_H
#define HW_VIRTIO_GPH_TCG_H

#include "exec/hwaddr.h"
#include "qemu/atomic.h"
#include "qemu/bitops.h"
#include <linux/virtio_gph.h>

typedef struct GphTcgTraps {
    const unsigned long *trapped;
    uint64_t nr_frames;                 /* 0: there is no device */
} GphTcgTraps;

extern GphTcgTraps gph_tcg_traps;

/*
 * No lock: a fill that misses a bit being set ends before its vCPU takes part
 * in the flush that follows, which drops what it has filled.
 */
static inline bool gph_tcg_trapped(hwaddr paddr)
{
    uint64_t frame = paddr >> VIRTIO_GPH_FRAME_SHIFT;

    return frame < gph_tcg_traps.nr_frames &&
           (qatomic_read(&gph_tcg_traps.trapped[BIT_WORD(frame)]) &
            BIT_MASK(frame));
}

/*
 * True: the content is gone, raise the fault.  False: translate.
 * @can_fault is false where the architecture could not deliver it.
 */
bool gph_tcg_access(hwaddr paddr, bool can_fault);

#endif /* HW_VIRTIO_GPH_TCG_H */
