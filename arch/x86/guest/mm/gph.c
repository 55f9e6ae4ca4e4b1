// SPDX-License-Identifier: GPL-2.0
/*
 * Guest page hinting: the discard fault on x86.
 *
 * The host reports an access to a discarded frame as a #PF whose CR2 is not
 * canonical, so that no access of the guest can cause it, and carries the frame
 * number.  The event needs no mailbox and survives nesting as any #PF does.
 */
#include <linux/extable.h>
#include <linux/gph.h>
#include <linux/kprobes.h>
#include <linux/sched/signal.h>
#include <linux/uaccess.h>

#include <asm/extable.h>
#include <asm/gph.h>
#include <asm/ptrace.h>
#include <asm/trapnr.h>

/*
 * May a kernel access at @regs wait until the frame is recovered?  Not where the
 * context cannot sleep, and not for load_unaligned_zeropad(): that one meets a
 * discarded frame because it reads over the end of the frame before, perhaps
 * under RCU, and wants zeros.
 */
static bool gph_may_recover(struct pt_regs *regs)
{
	return !faulthandler_disabled() && (regs->flags & X86_EFLAGS_IF) &&
	       ex_get_fixup_type(regs->ip) != EX_TYPE_ZEROPAD;
}

/*
 * In kernel mode only accesses that expect to fault may meet a discarded frame:
 * those with an exception table entry.  Recover and repeat where that is
 * possible, as for a user page that is not present; elsewhere end in the entry,
 * and the caller falls back as for any page that is not there.
 *
 * Returns false for an access without an entry: a hook is missing somewhere.
 */
static bool gph_kernel_fault(struct pt_regs *regs, unsigned long error_code,
			     unsigned long pfn)
{
	/* Only zeropad asks for the address, and it starts the frame there. */
	unsigned long address = (unsigned long)pfn_to_kaddr(pfn);
	bool done = false;

	if (!search_exception_tables(regs->ip))
		return false;
	if (gph_may_recover(regs)) {
		local_irq_enable();
		done = gph_discard_fault(pfn, false);
		local_irq_disable();
	} else {
		gph_count_fixup();
	}
	return done || fixup_exception(regs, X86_TRAP_PF, error_code, address);
}

/**
 * gph_x86_fault - handle a discard fault
 * @regs: the interrupted context
 * @error_code: of the #PF
 * @address: CR2, for which gph_is_discard_fault() is true
 *
 * Context: #PF entry after irqentry_enter(), interrupts off, also on return.
 * Return: true if the interrupted context can go on; false if the access must
 * be reported like one to an address that does not exist.
 */
bool gph_x86_fault(struct pt_regs *regs, unsigned long error_code,
		   unsigned long address)
{
	unsigned long pfn = address & VIRTIO_GPH_FAULT_FRAME_MASK;
	bool done;

	if (!user_mode(regs))
		return gph_kernel_fault(regs, error_code, pfn);

	local_irq_enable();
	done = gph_discard_fault(pfn, true);
	if (!done)
		force_sig_fault(SIGBUS, BUS_ADRERR, (void __user *)regs->ip);
	local_irq_disable();
	return true;
}
NOKPROBE_SYMBOL(gph_x86_fault);
