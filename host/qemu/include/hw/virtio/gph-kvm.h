/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gph: what KVM's vCPU loop needs.
 *
 * KVM translates guest frames through the memory slots' user addresses.  With
 * gph the slots of the machine's memory lie on a second mapping of its memfd,
 * the trapped mapping, in which a trapped frame is poisoned.  A vCPU that
 * touches one leaves KVM_RUN by SIGBUS; an access by KVM's instruction emulator
 * leaves it as MMIO on an address that is memory.
 */
#ifndef HW_VIRTIO_GPH_KVM_H
#define HW_VIRTIO_GPH_KVM_H

#include CONFIG_DEVICES
#include "exec/hwaddr.h"
#include "hw/core/cpu.h"
#include <linux/kvm.h>

#ifdef CONFIG_VIRTIO_GPH

/* Both mappings of the memfd; size 0: there is no device. */
typedef struct GphKvmMap {
    uint8_t *plain;
    uint8_t *trapped;
    size_t size;
} GphKvmMap;

extern GphKvmMap gph_kvm_map;

/* The user address for a slot whose memory QEMU itself uses at @ram. */
static inline void *gph_kvm_slot_address(void *ram)
{
    size_t offset = (uint8_t *)ram - gph_kvm_map.plain;

    return offset < gph_kvm_map.size ? gph_kvm_map.trapped + offset : ram;
}

/* Is @addr in the trapped mapping?  Async-signal-safe. */
static inline bool gph_kvm_owns(const void *addr)
{
    return (size_t)((uint8_t *)addr - gph_kvm_map.trapped) < gph_kvm_map.size;
}

/*
 * In the vCPU's thread, no BQL, after KVM_RUN returned: SIGBUS @code at *@addr.
 * True: it was a trapped frame, run the vCPU again.  False: it is a memory error
 * of the hardware; *@addr is where QEMU itself would have met it.
 */
bool gph_kvm_sigbus(CPUState *cpu, int code, void **addr);

/*
 * In the vCPU's thread, no BQL: exit KVM_EXIT_MMIO.  True: a discard fault has
 * been injected, run the vCPU again.  False: do the access, on a device or on
 * memory.
 */
bool gph_kvm_mmio(CPUState *cpu, const struct kvm_run *run);

#else

static inline void *gph_kvm_slot_address(void *ram)
{
    return ram;
}

static inline bool gph_kvm_owns(const void *addr)
{
    return false;
}

static inline bool gph_kvm_sigbus(CPUState *cpu, int code, void **addr)
{
    return false;
}

static inline bool gph_kvm_mmio(CPUState *cpu, const struct kvm_run *run)
{
    return false;
}

#endif

#endif /* HW_VIRTIO_GPH_KVM_H */
