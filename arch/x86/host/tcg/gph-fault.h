/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gph, x86: trapped frames in the TLB fill.
 */
#ifndef I386_TCG_GPH_FAULT_H
#define I386_TCG_GPH_FAULT_H

#include CONFIG_DEVICES
#include "cpu.h"
#include "exec/hwaddr.h"
#include "exec/mmu-access-type.h"

#ifdef CONFIG_VIRTIO_GPH
#include "hw/virtio/gph-tcg.h"

/*
 * Give the trapped frame at @paddr back and return false, or find its content
 * gone: then return true if this is a probe, raise the discard fault if not.
 */
bool x86_gph_refuse_trapped(CPUX86State *env, hwaddr paddr,
                            MMUAccessType access_type, int mmu_idx, bool probe,
                            uintptr_t retaddr);

static inline bool x86_gph_refuse(CPUX86State *env, hwaddr paddr,
                                  MMUAccessType access_type, int mmu_idx,
                                  bool probe, uintptr_t retaddr)
{
    return unlikely(gph_tcg_trapped(paddr)) &&
           x86_gph_refuse_trapped(env, paddr, access_type, mmu_idx, probe,
                                  retaddr);
}
#else
static inline bool x86_gph_refuse(CPUX86State *env, hwaddr paddr,
                                  MMUAccessType access_type, int mmu_idx,
                                  bool probe, uintptr_t retaddr)
{
    return false;
}
#endif

#endif /* I386_TCG_GPH_FAULT_H */
