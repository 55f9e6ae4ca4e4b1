/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gph, x86: the discard fault of a KVM vCPU.
 */
#ifndef I386_KVM_GPH_FAULT_H
#define I386_KVM_GPH_FAULT_H

#include "hw/core/cpu.h"
#include <linux/kvm.h>

/* The vCPU as it was when it met a trapped frame. */
typedef struct GphVcpu {
    CPUState *cpu;
    struct kvm_vcpu_events events;
    bool user;                          /* CPL 3 */
    bool can_fault;
} GphVcpu;

/*
 * All in the vCPU's thread, between two KVM_RUNs, with the registers in KVM.
 *
 * can_fault is false where the guest could not take a discard fault: outside
 * long mode, in SMM, in a guest of its own, or in the middle of the delivery of
 * another event, which the fault would replace.
 */
void gph_vcpu_read(CPUState *cpu, GphVcpu *vcpu);

/* #PF with CR2 = tag and @frame on the next KVM_RUN; vcpu->can_fault. */
void gph_vcpu_inject(const GphVcpu *vcpu, uint64_t frame);

/*
 * KVM waits for the result of a read in the middle of an instruction.  Let the
 * instruction run to its end on zeros, none of it reaching a device, and put
 * the registers back so that it has not begun.  False if it has no end.
 */
bool gph_vcpu_cancel(CPUState *cpu);

#endif /* I386_KVM_GPH_FAULT_H */
