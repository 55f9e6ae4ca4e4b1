/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gph, x86: the discard fault, raised by TCG.
 *
 * A #PF as the access would have made it on a present page, except that CR2
 * holds VIRTIO_GPH_FAULT_TAG and the guest frame number.  The page walk comes
 * first and may raise an ordinary #PF, which the guest settles first.
 *
 * Some accesses cannot take it: the walk's own reads of page tables, a CPU
 * outside long mode, whose CR2 has no room for the tag, system management mode,
 * and a nested guest, whose #PF the hypervisor inside would have to understand.
 * A correct guest keeps that memory stable.  The frame is given back as zeros
 * and the violation is counted.
 */
#include "qemu/osdep.h"
#include "cpu.h"
#include "tcg/gph-fault.h"
#include "tcg/helper-tcg.h"

static bool can_fault(const CPUX86State *env, int mmu_idx)
{
    return mmu_idx != MMU_PHYS_IDX && mmu_idx != MMU_NESTED_IDX &&
           (env->hflags & HF_LMA_MASK) &&
           !(env->hflags & (HF_GUEST_MASK | HF_SMM_MASK));
}

static int fault_code(MMUAccessType access_type, int mmu_idx)
{
    int code = PG_ERROR_P_MASK;

    if (is_mmu_index_user(mmu_idx)) {
        code |= PG_ERROR_U_MASK;
    }
    if (access_type == MMU_DATA_STORE) {
        code |= PG_ERROR_W_MASK;
    } else if (access_type == MMU_INST_FETCH) {
        code |= PG_ERROR_I_D_MASK;
    }
    return code;
}

bool x86_gph_refuse_trapped(CPUX86State *env, hwaddr paddr,
                            MMUAccessType access_type, int mmu_idx, bool probe,
                            uintptr_t retaddr)
{
    int code = fault_code(access_type, mmu_idx);

    if (!gph_tcg_access(paddr, can_fault(env, mmu_idx))) {
        return false;
    }
    if (probe) {
        env->error_code = code;
        return true;
    }
    env->cr[2] = VIRTIO_GPH_FAULT_TAG << VIRTIO_GPH_FAULT_TAG_SHIFT |
                 paddr >> VIRTIO_GPH_FRAME_SHIFT;
    raise_exception_err_ra(env, EXCP0E_PAGE, code, retaddr);
}
