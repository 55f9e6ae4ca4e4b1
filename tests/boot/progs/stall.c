// SPDX-License-Identifier: GPL-2.0
/*
 * stall: the longest time in which a thread that faults on nothing did not run.
 *
 *   stall CPU FILE
 *
 * Sits on CPU before all others and reads the TSC until FILE exists, then prints the
 * largest step that it saw, in microseconds.  The TSC, because clock_gettime() may
 * read a device of the emulated machine.  Its memory is locked, anonymous and
 * touched before; FILE is looked for by another thread.
 */
#define _GNU_SOURCE
#include <err.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

static atomic_bool over;

static void *wait_for(void *file)
{
	while (access(file, F_OK))
		usleep(20000);
	over = true;
	return NULL;
}

static long long now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000LL + time.tv_nsec;
}

int main(int argc, char **argv)
{
	struct sched_param first = { .sched_priority = 1 };
	unsigned long long last, next, first_tsc, longest = 0;
	long long begin;
	pthread_t waiter;
	cpu_set_t cpus;

	if (argc != 3)
		errx(2, "usage: stall CPU FILE");
	if (pthread_create(&waiter, NULL, wait_for, argv[2]))
		errx(2, "pthread_create failed");
	CPU_ZERO(&cpus);
	CPU_SET(atoi(argv[1]), &cpus);
	if (mlockall(MCL_CURRENT | MCL_FUTURE) ||
	    sched_setaffinity(0, sizeof(cpus), &cpus) ||
	    sched_setscheduler(0, SCHED_FIFO, &first))
		err(2, "cannot get CPU %s for itself", argv[1]);
	begin = now();
	first_tsc = last = __rdtsc();
	while (!over) {
		next = __rdtsc();
		if (next - last > longest)
			longest = next - last;
		last = next;
	}
	pthread_join(waiter, NULL);
	printf("%.0f\n", (double)longest / (last - first_tsc) * (now() - begin) / 1000);
	return 0;
}
