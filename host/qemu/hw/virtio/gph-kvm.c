/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gph: KVM as a secondary MMU, on stock KVM.
 *
 * KVM's second-stage tables follow the page tables of this process, so a frame
 * is trapped by what its page table entry says.  QEMU itself must go on reading
 * and writing guest memory, so there are two mappings of the memfd:
 *
 *   plain     QEMU's own: devices, migration, gdb.  Never trapped.
 *   trapped   KVM's: the memory slots lie here, and nobody else looks at it
 *
 *   flush     MADV_DONTNEED on the trapped mapping drops the entries, and KVM
 *             drops its own by the kernel's mmu notifier; the content stays in
 *             the memfd.  UFFDIO_POISON then writes a marker into each empty
 *             entry.  A vCPU that comes between the two maps the same bytes
 *             again, and the poison fails with EEXIST: once more.
 *   punch     (the engine) leaves the markers where they are
 *   access    KVM meets the marker and sends SIGBUS BUS_MCEERR_AR
 *   untrap    MADV_DONTNEED drops the marker; the next access maps the file
 *
 * The userfaultfd only serves to write markers.  The mapping is registered for
 * write protection, because a registration for missing pages would stop every
 * first access and could not have huge mappings; nothing is ever protected, so
 * no event comes and nobody reads the descriptor.  It is opened for faults of
 * user mode only, which needs no privilege.
 *
 * Locks.  flush holds no engine lock.  So a vCPU can give a frame back while it
 * is being flushed, and the poison can come after that.  The engine untraps such
 * a frame again after the flush; an access before that finds a marker in a frame
 * that is not trapped, and drops it.
 *
 * Host: Linux 6.6 or newer, for UFFDIO_POISON.
 */
#include "qemu/osdep.h"
#include <sys/ioctl.h>
#include <linux/userfaultfd.h>
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "qemu/bitops.h"
#include "qemu/madvise.h"
#include "qemu/main-loop.h"
#include "qemu/mmap-alloc.h"
#include "qemu/userfaultfd.h"
#include "exec/cpu-common.h"
#include "exec/memory.h"
#include "exec/ramblock.h"
#include "hw/boards.h"
#include "system/kvm.h"
#include "hw/virtio/gph-kvm.h"
#include "hw/virtio/gph-secondary-mmu.h"
#include "kvm/gph-fault.h"
#include "kvm/kvm_i386.h"
#include "trace.h"

#define GPH_FRAME_SIZE  (UINT64_C(1) << VIRTIO_GPH_FRAME_SHIFT)

/* Times that a page may be mapped again before it can be poisoned. */
#define GPH_POISON_TRIES 16

GphKvmMap gph_kvm_map;

typedef struct GphKvm {
    GphSecondaryMmu mmu;
    RAMBlock *block;
    int uffd;
} GphKvm;

static GphKvm *gph_kvm;

/* --- frames and addresses in the trapped mapping --- */

static uint8_t *run_address(GphKvm *k, const GphRun *run)
{
    ram_addr_t addr;

    if (!k->mmu.host.ram_addr(k->mmu.host.opaque, run, &addr)) {
        return NULL;
    }
    return gph_kvm_map.trapped + (addr - k->block->offset);
}

static bool address_frame(GphKvm *k, const uint8_t *addr, uint64_t *frame)
{
    ram_addr_t offset = addr - gph_kvm_map.trapped;

    return k->mmu.host.frame(k->mmu.host.opaque, k->block->offset + offset,
                             frame);
}

static bool frame_trapped(GphKvm *k, uint64_t frame)
{
    const unsigned long *map = gph_trapped_bitmap(k->mmu.host.engine);

    return frame < k->mmu.host.nr_frames &&
           (qatomic_read(&map[BIT_WORD(frame)]) & BIT_MASK(frame));
}

/* --- trap and untrap --- */

/* Drop entries and markers; the content stays.  Cannot fail on this mapping. */
static void drop(uint8_t *addr, size_t len)
{
    if (madvise(addr, len, MADV_DONTNEED)) {
        error_report("virtio-gph: MADV_DONTNEED: %s", strerror(errno));
        abort();
    }
}

/* Bytes poisoned from @addr on; less than @len if something was mapped there. */
static ssize_t poison(GphKvm *k, uint8_t *addr, size_t len)
{
    struct uffdio_poison arg = {
        .range = { .start = (uintptr_t)addr, .len = len },
        .mode = UFFDIO_POISON_MODE_DONTWAKE,
    };

    if (ioctl(k->uffd, UFFDIO_POISON, &arg) == 0) {
        return len;
    }
    switch (errno) {
    case EEXIST:        /* a page */
    case EFAULT:        /* a huge page, before Linux 6.14 */
    case EAGAIN:        /* some were done, or the mappings are changing */
    case EINTR:
        return MAX(arg.updated, 0);
    default:
        return -errno;
    }
}

/* The guest does not let go of this page: it has it back. */
static void give_back(GphKvm *k, const uint8_t *addr)
{
    uint64_t frame;

    if (address_frame(k, addr, &frame)) {
        trace_virtio_gph_kvm_busy(frame);
        gph_access(k->mmu.host.engine, frame, false);
    }
}

static int trap_range(GphKvm *k, uint8_t *addr, size_t len)
{
    unsigned tries = 0;
    ssize_t done;

    while (len) {
        drop(addr, len);
        done = poison(k, addr, len);
        if (done < 0) {
            return done;
        }
        if (!done && ++tries == GPH_POISON_TRIES) {
            give_back(k, addr);
            done = GPH_FRAME_SIZE;
        }
        if (done) {
            tries = 0;
        }
        addr += done;
        len -= done;
    }
    return 0;
}

static int gph_kvm_flush(GphSecondaryMmu *mmu, const GphRun *runs, unsigned n)
{
    GphKvm *k = container_of(mmu, GphKvm, mmu);
    unsigned i;
    int ret;

    assert(bql_locked());
    for (i = 0; i < n; i++) {
        uint8_t *addr = run_address(k, &runs[i]);

        if (!addr) {
            return -ENOENT;
        }
        ret = trap_range(k, addr, runs[i].n << VIRTIO_GPH_FRAME_SHIFT);
        if (ret) {
            return ret;
        }
    }
    return 0;
}

/* Also in a vCPU's thread. */
static void gph_kvm_untrap(GphSecondaryMmu *mmu, const GphRun *run)
{
    GphKvm *k = container_of(mmu, GphKvm, mmu);
    uint8_t *addr = run_address(k, run);

    /* Not there any more: markers left behind are dropped when they are met. */
    if (addr) {
        drop(addr, run->n << VIRTIO_GPH_FRAME_SHIFT);
    }
}

/* --- accesses --- */

static void access_trapped(GphKvm *k, GphVcpu *vcpu, uint64_t frame)
{
    if (gph_access(k->mmu.host.engine, frame, vcpu->can_fault) == GPH_FAULT) {
        trace_virtio_gph_kvm_fault(vcpu->cpu->cpu_index, frame, vcpu->user);
        gph_vcpu_inject(vcpu, frame);
    } else {
        trace_virtio_gph_kvm_resume(vcpu->cpu->cpu_index, frame);
    }
}

/* Has the hardware lost the page of the memfd that is at @plain? */
static bool hardware_error(uint8_t *plain)
{
    return madvise(plain, GPH_FRAME_SIZE, MADV_POPULATE_READ) &&
           errno == EHWPOISON;
}

bool gph_kvm_sigbus(CPUState *cpu, int code, void **addr)
{
    GphKvm *k = gph_kvm;
    uint64_t frame;
    uint8_t *page;
    GphVcpu vcpu;

    if (!gph_kvm_owns(*addr)) {
        return false;
    }
    page = (uint8_t *)QEMU_ALIGN_PTR_DOWN((uint8_t *)*addr, GPH_FRAME_SIZE);
    *addr = gph_kvm_map.plain + ((uint8_t *)*addr - gph_kvm_map.trapped);
    if (code != BUS_MCEERR_AR) {
        return false;
    }
    if (address_frame(k, page, &frame) && frame_trapped(k, frame)) {
        gph_vcpu_read(cpu, &vcpu);
        access_trapped(k, &vcpu, frame);
        return true;
    }
    /* A marker that came too late, or memory that is really broken. */
    drop(page, GPH_FRAME_SIZE);
    trace_virtio_gph_kvm_stray(cpu->cpu_index, page - gph_kvm_map.trapped);
    return !hardware_error(QEMU_ALIGN_PTR_DOWN((uint8_t *)*addr,
                                               GPH_FRAME_SIZE));
}

bool gph_kvm_mmio(CPUState *cpu, const struct kvm_run *run)
{
    uint64_t frame = run->mmio.phys_addr >> VIRTIO_GPH_FRAME_SHIFT;
    GphKvm *k = gph_kvm;
    GphVcpu vcpu;

    if (!k || !frame_trapped(k, frame)) {
        return false;
    }
    gph_vcpu_read(cpu, &vcpu);
    /*
     * KVM has let a write pass the guest's page tables and has retired the
     * instruction.  A guest has no writable mapping of a page that can be
     * gone; one that has gets what it asks for.
     */
    if (run->mmio.is_write) {
        vcpu.can_fault = false;
    }
    trace_virtio_gph_kvm_emulator(cpu->cpu_index, frame, run->mmio.is_write);
    if (gph_access(k->mmu.host.engine, frame, vcpu.can_fault) != GPH_FAULT) {
        return false;
    }
    if (gph_vcpu_cancel(cpu)) {
        gph_vcpu_inject(&vcpu, frame);
    }
    return true;
}

/* --- set-up --- */

static bool open_uffd(GphKvm *k, Error **errp)
{
    struct uffdio_api api = {
        .api = UFFD_API,
        .features = UFFD_FEATURE_POISON | UFFD_FEATURE_WP_HUGETLBFS_SHMEM,
    };
    struct uffdio_register reg = {
        .range = { .start = (uintptr_t)gph_kvm_map.trapped,
                   .len = gph_kvm_map.size },
        .mode = UFFDIO_REGISTER_MODE_WP,
    };

    k->uffd = uffd_open(O_CLOEXEC | UFFD_USER_MODE_ONLY);
    if (k->uffd < 0) {
        error_setg_errno(errp, errno, "virtio-gph cannot open a userfaultfd");
        error_append_hint(errp, "The host's kernel needs CONFIG_USERFAULTFD, "
                          "and a sandbox must allow userfaultfd(2)\n");
        return false;
    }
    if (ioctl(k->uffd, UFFDIO_API, &api) ||
        ioctl(k->uffd, UFFDIO_REGISTER, &reg) ||
        !(reg.ioctls & (UINT64_C(1) << _UFFDIO_POISON))) {
        error_setg(errp, "virtio-gph with KVM needs UFFDIO_POISON, which the "
                   "host's kernel has not");
        error_append_hint(errp, "Use a host with Linux 6.6 or newer\n");
        return false;
    }
    return true;
}

static bool map_again(GphKvm *k, Error **errp)
{
    size_t size = k->block->max_length;
    void *p = qemu_ram_mmap(k->block->fd, size, k->block->mr->align,
                            QEMU_MAP_SHARED, k->block->fd_offset);

    if (p == MAP_FAILED) {
        error_setg_errno(errp, errno, "virtio-gph cannot map guest memory a "
                         "second time");
        return false;
    }
    /* As QEMU's own mapping; but a core dump needs the memory just once. */
    qemu_madvise(p, size, QEMU_MADV_HUGEPAGE);
    qemu_madvise(p, size, QEMU_MADV_DONTFORK);
    qemu_madvise(p, size, QEMU_MADV_DONTDUMP);
    gph_kvm_map = (GphKvmMap) {
        .plain = k->block->host,
        .trapped = p,
        .size = size,
    };
    return true;
}

/*
 * Make KVM ask again where the memory is: gph_kvm_slot_address().  The slots of
 * the old map go in one transaction, those of the new one come in the next.
 */
static void move_slots(GphKvm *k)
{
    memory_region_set_enabled(k->block->mr, false);
    memory_region_set_enabled(k->block->mr, true);
}

/* No vCPU runs: the device comes and goes with the machine. */
static void gph_kvm_destroy(GphKvm *k)
{
    void *p = gph_kvm_map.trapped;
    size_t size = gph_kvm_map.size;

    gph_kvm_map = (GphKvmMap) { };
    if (gph_kvm) {
        move_slots(k);
        gph_kvm = NULL;
    }
    if (size) {
        qemu_ram_munmap(k->block->fd, p, size);
    }
    if (k->uffd >= 0) {
        close(k->uffd);
        k->uffd = -1;
    }
}

static void gph_kvm_release(GphSecondaryMmu *mmu)
{
    gph_kvm_destroy(container_of(mmu, GphKvm, mmu));
}

static const GphSecondaryMmuOps gph_kvm_ops = {
    .name = "kvm",
    .flush = gph_kvm_flush,
    .untrap = gph_kvm_untrap,
    .release = gph_kvm_release,
};

static GphSecondaryMmu *gph_kvm_new(const GphMmuHost *host, Error **errp)
{
    GphKvm *k;

    if (current_machine->cgs) {
        error_setg(errp, "virtio-gph cannot give a confidential guest its "
                   "faults");
        error_append_hint(errp, "Remove the device or "
                          "confidential-guest-support=\n");
        return NULL;
    }
    if (!kvm_has_exception_payload()) {
        error_setg(errp, "virtio-gph with KVM needs KVM_CAP_EXCEPTION_PAYLOAD");
        error_append_hint(errp, "Use a host with Linux 6.6 or newer\n");
        return NULL;
    }
    k = g_new0(GphKvm, 1);
    k->mmu.ops = &gph_kvm_ops;
    k->mmu.host = *host;
    k->block = host->block;
    k->uffd = -1;
    if (!map_again(k, errp) || !open_uffd(k, errp)) {
        gph_kvm_destroy(k);
        g_free(k);
        return NULL;
    }
    gph_kvm = k;
    move_slots(k);
    return &k->mmu;
}

static void gph_kvm_register(void)
{
    gph_accel_mmu_register("kvm", gph_kvm_new);
}

type_init(gph_kvm_register)
