/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gph, x86: the discard fault of a KVM vCPU.
 *
 * The fault goes in as a pending exception whose payload is CR2, so that KVM
 * sets CR2 when it delivers it, and RF in the saved flags as for any fault.  A
 * single-stepped vCPU sees what it sees of an ordinary #PF.
 *
 * The error code says "present" and whether it was user mode.  KVM does not
 * tell a read from a write here, and a guest has no use for it: the frame must
 * be filled first in any case.
 */
#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/error-report.h"
#include "cpu.h"
#include "system/kvm.h"
#include "kvm/gph-fault.h"
#include <linux/virtio_gph.h>

/* Ioctls on a vCPU that has just run only fail if QEMU has gone wrong. */
static void must(int ret, const char *what)
{
    if (ret < 0) {
        error_report("virtio-gph: %s: %s", what, strerror(-ret));
        abort();
    }
}

/* Does the vCPU run a guest of the guest? */
static bool in_nested_guest(CPUState *cpu, const struct kvm_sregs *sregs)
{
    g_autofree struct kvm_nested_state *state = NULL;
    int size;

    if (!(sregs->efer & MSR_EFER_SVME) && !(sregs->cr4 & CR4_VMXE_MASK)) {
        return false;
    }
    size = kvm_check_extension(kvm_state, KVM_CAP_NESTED_STATE);
    if (size <= 0) {
        return true;
    }
    state = g_malloc0(size);
    state->size = size;
    must(kvm_vcpu_ioctl(cpu, KVM_GET_NESTED_STATE, state), "nested state");
    return state->flags & KVM_STATE_NESTED_GUEST_MODE;
}

static bool delivering_event(const struct kvm_vcpu_events *events)
{
    return events->exception.injected || events->exception.pending ||
           events->interrupt.injected || events->nmi.injected;
}

void gph_vcpu_read(CPUState *cpu, GphVcpu *vcpu)
{
    struct kvm_sregs sregs;

    must(kvm_vcpu_ioctl(cpu, KVM_GET_SREGS, &sregs), "special registers");
    must(kvm_vcpu_ioctl(cpu, KVM_GET_VCPU_EVENTS, &vcpu->events), "events");
    vcpu->cpu = cpu;
    /* KVM reports the CPL there, also for AMD. */
    vcpu->user = sregs.ss.dpl == 3;
    vcpu->can_fault = (sregs.efer & MSR_EFER_LMA) &&
                      !vcpu->events.smi.smm &&
                      !delivering_event(&vcpu->events) &&
                      !in_nested_guest(cpu, &sregs);
}

void gph_vcpu_inject(const GphVcpu *vcpu, uint64_t frame)
{
    struct kvm_vcpu_events events = vcpu->events;

    /*
     * What else is in there and could have changed since it was read, like a
     * pending NMI, is left alone: it has no "valid" flag.
     */
    events.flags = KVM_VCPUEVENT_VALID_PAYLOAD | KVM_VCPUEVENT_VALID_SHADOW;
    events.interrupt.shadow = 0;
    events.exception.pending = 1;
    events.exception.nr = EXCP0E_PAGE;
    events.exception.has_error_code = 1;
    events.exception.error_code = PG_ERROR_P_MASK |
                                  (vcpu->user ? PG_ERROR_U_MASK : 0);
    events.exception_has_payload = 1;
    events.exception_payload = frame | VIRTIO_GPH_FAULT_TAG
                                       << VIRTIO_GPH_FAULT_TAG_SHIFT;
    must(kvm_vcpu_ioctl(vcpu->cpu, KVM_SET_VCPU_EVENTS, &events), "#PF");
}

/*
 * Exits of one instruction.  KVM goes back to the guest after 1024 iterations
 * of a string instruction, and each may read and write 2 fragments of 8 bytes.
 */
#define GPH_MAX_EXITS   4096

bool gph_vcpu_cancel(CPUState *cpu)
{
    struct kvm_run *run = cpu->kvm_run;
    struct kvm_regs regs;
    int ret, n = 0;

    must(kvm_vcpu_ioctl(cpu, KVM_GET_REGS, &regs), "registers");
    do {
        if (run->exit_reason == KVM_EXIT_MMIO && !run->mmio.is_write) {
            memset(run->mmio.data, 0, sizeof(run->mmio.data));
        }
        qatomic_set(&run->immediate_exit, 1);
        ret = kvm_vcpu_ioctl(cpu, KVM_RUN, 0);
    } while (ret == 0 && ++n < GPH_MAX_EXITS);
    /* A kick may be lost by this, but not the exit request that it is for. */
    qatomic_set(&run->immediate_exit, 0);
    smp_wmb();
    must(kvm_vcpu_ioctl(cpu, KVM_SET_REGS, &regs), "registers");
    return ret == -EINTR;
}
