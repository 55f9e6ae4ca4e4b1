/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest for virtio-gph-test: firmware that does single memory accesses.
 *
 * It goes straight to long mode, maps 4 GiB one to one, and then waits for
 * commands in a mailbox in low memory, which the device leaves alone.  A page
 * fault ends the command and leaves CR2 and the error code in the mailbox.
 *
 * It is assembled into the test, so no tool is needed at run time; the test is
 * built where this assembler is.
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
#define FW_COUNT        0x8038          /* OWN: how often */
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

extern const char gph_fw_start[], gph_fw_end[];

asm(".pushsection .rodata\n"
    ".balign 16\n"
    ".globl gph_fw_start, gph_fw_end\n"
    "gph_fw_start:\n"
    ".set base, 0xf0000\n"
    ".code16\n"
    "   cli\n"
    "   mov %cs, %ax\n"
    "   mov %ax, %ds\n"
    "   lgdtl fw_gdtr - gph_fw_start\n"
    "   mov %cr0, %eax\n"
    "   or $1, %al\n"
    "   mov %eax, %cr0\n"
    "   ljmpl $8, $(base + fw_pm - gph_fw_start)\n"
    ".code32\n"
    "fw_pm:\n"
    "   mov $16, %ax\n"
    "   mov %ax, %ds\n"
    "   mov %ax, %es\n"
    "   mov %ax, %ss\n"
    /* PML4 at 0x1000, PDPT at 0x2000 with four pages of 1 GiB */
    "   movl $0x2003, 0x1000\n"
    "   movl $0x000000e3, 0x2000\n"
    "   movl $0x400000e3, 0x2008\n"
    "   movl $0x800000e3, 0x2010\n"
    "   movl $0xc00000e3, 0x2018\n"
    "   mov $0x20, %eax\n"
    "   mov %eax, %cr4\n"
    "   mov $0x1000, %eax\n"
    "   mov %eax, %cr3\n"
    "   mov $0xc0000080, %ecx\n"
    "   rdmsr\n"
    "   or $0x100, %eax\n"
    "   wrmsr\n"
    "   mov %cr0, %eax\n"
    "   or $0x80000000, %eax\n"
    "   mov %eax, %cr0\n"
    "   ljmpl $24, $(base + fw_lm - gph_fw_start)\n"
    ".code64\n"
    "fw_lm:\n"
    "   lidt fw_idtr(%rip)\n"
    "   movq $0x67706821, 0x8050\n"
    "fw_done:\n"
    "   mov $0x7000, %esp\n"
    "   movq $0, 0x8000\n"
    "fw_wait:\n"
    "   pause\n"
    "   mov 0x8000, %rcx\n"
    "   test %rcx, %rcx\n"
    "   jz fw_wait\n"
    "   mov 0x8008, %rbx\n"
    "   mov 0x8010, %rdx\n"
    "   movq $0, 0x8018\n"
    "   cmp $1, %rcx\n"
    "   je fw_read\n"
    "   cmp $2, %rcx\n"
    "   je fw_write\n"
    "   cmp $3, %rcx\n"
    "   je fw_exec\n"
    "   cmp $4, %rcx\n"
    "   je fw_own\n"
    "   jmp fw_done\n"
    "fw_read:\n"
    "   mov (%rbx), %rdx\n"
    "   mov %rdx, 0x8010\n"
    "   jmp fw_done\n"
    "fw_write:\n"
    "   mov %rdx, (%rbx)\n"
    "   jmp fw_done\n"
    "fw_exec:\n"
    "   mov $0x8100, %eax\n"            /* what zero bytes may add to */
    "   call *%rbx\n"
    "   mov %rax, 0x8010\n"
    "   jmp fw_done\n"
    "fw_own:\n"
    "   mov 0x8030, %r8\n"
    "   mov 0x8038, %r9\n"
    "   xor %r10d, %r10d\n"
    "   xor %r11d, %r11d\n"
    "1: mov %r9, (%rbx)\n"
    "   xor %eax, %eax\n"
    "   mov $2, %ecx\n"                 /* STABLE -> VOLATILE */
    "   lock cmpxchg %cx, (%r8)\n"
    "   jne 4f\n"
    "   mov $200, %ecx\n"
    "2: dec %ecx\n"
    "   jnz 2b\n"
    "   mov $2, %eax\n"
    "   xor %edx, %edx\n"               /* VOLATILE -> STABLE */
    "   lock cmpxchg %dx, (%r8)\n"
    "   jne 3f\n"
    "   cmp %r9, (%rbx)\n"
    "   je 5f\n"
    "   jmp 4f\n"
    "3: inc %r11\n"
    "6: movzwl (%r8), %eax\n"
    "   and $7, %eax\n"
    "   cmp $3, %eax\n"                 /* wait while DISCARDING */
    "   je 6b\n"
    "   movw $0, (%r8)\n"               /* DISCARDED -> STABLE */
    "   jmp 5f\n"
    "4: inc %r10\n"
    "   movw $0, (%r8)\n"
    "5: dec %r9\n"
    "   jnz 1b\n"
    "   mov %r10, 0x8040\n"
    "   mov %r11, 0x8048\n"
    "   jmp fw_done\n"
    "fw_pf:\n"
    "   mov %cr2, %rax\n"
    "   mov %rax, 0x8020\n"
    "   pop %rax\n"
    "   mov %rax, 0x8028\n"
    "   movq $1, 0x8018\n"
    "   lea fw_done(%rip), %rax\n"
    "   mov %rax, (%rsp)\n"
    "   iretq\n"
    ".balign 8\n"
    "fw_gdt:\n"
    "   .quad 0, 0x00cf9a000000ffff, 0x00cf92000000ffff\n"
    "   .quad 0x00af9a000000ffff\n"
    "fw_gdtr:\n"
    "   .word 31\n"
    "   .long base + fw_gdt - gph_fw_start\n"
    ".balign 8\n"
    "fw_idt:\n"
    "   .zero 14 * 16\n"
    "   .word fw_pf - gph_fw_start, 24, 0x8e00, 0xf, 0, 0, 0, 0\n"
    "fw_idtr:\n"
    "   .word 15 * 16 - 1\n"
    "   .quad base + fw_idt - gph_fw_start\n"
    "gph_fw_end:\n"
    ".popsection\n"
    ".code64\n");

/* The image: the code, and a reset vector that jumps to it. */
static inline void fw_make(uint8_t *image)
{
    static const uint8_t reset[] = { 0xea, 0x00, 0x00, 0x00, 0xf0 };

    memset(image, 0, FW_SIZE);
    memcpy(image, gph_fw_start, gph_fw_end - gph_fw_start);
    memcpy(image + 0xfff0, reset, sizeof(reset));
}

#endif /* VIRTIO_GPH_FIRMWARE_H */
