/* SPDX-License-Identifier: GPL-2.0 */
/* Guest page hinting: the discard fault, between #PF entry and arch/x86/mm/gph.c. */
#ifndef _ASM_X86_GPH_H
#define _ASM_X86_GPH_H

#include <linux/gph.h>

struct pt_regs;

#ifdef CONFIG_GPH
bool gph_x86_fault(struct pt_regs *regs, unsigned long error_code,
		   unsigned long address);
#else
static inline bool gph_x86_fault(struct pt_regs *regs, unsigned long error_code,
				 unsigned long address)
{
	return false;
}
#endif

#endif /* _ASM_X86_GPH_H */
