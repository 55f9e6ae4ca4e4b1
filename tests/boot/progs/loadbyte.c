// SPDX-License-Identifier: GPL-2.0
/*
 * loadbyte: one load from a page of a file that was taken, for the debugger.
 *
 *   loadbyte FILE OFFSET
 *
 * Prints the address of the load, waits for SIGUSR1, does it, prints the byte.
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

unsigned char load_byte(const unsigned char *from);
__asm__(".text\n.globl load_byte\nload_byte:\n"
	"\tmovzbl (%rdi), %eax\n"
	"\tret\n");

int main(int argc, char **argv)
{
	unsigned char *map;
	sigset_t set;
	int fd, got;
	long offset;

	if (argc != 3)
		errx(2, "usage: loadbyte FILE OFFSET");
	fd = open(argv[1], O_RDONLY);
	offset = atol(argv[2]);
	map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, offset & ~4095L);
	if (fd < 0 || map == MAP_FAILED)
		err(2, "%s", argv[1]);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	(void)*(volatile unsigned char *)&map[offset & 4095];
	printf("%lx\n", (unsigned long)load_byte);
	fflush(stdout);
	sigwait(&set, &got);
	printf("%d\n", load_byte(&map[offset & 4095]));
	return 0;
}
