// SPDX-License-Identifier: GPL-2.0
/*
 * pattern: files whose every byte can be checked without a second copy.
 *
 *   pattern create FILE MIB          write the file
 *   pattern read FILE SECONDS        read(2) random pieces and check them
 *   pattern mmap FILE SECONDS        check random pages of a shared mapping
 *   pattern fork FILE SECONDS        fork children that all check one mapping
 *   pattern rewrite FILE MIB SECONDS truncate, write, map-write, sync, check
 *
 * The 64-bit word at each offset depends on the offset and on the seed in the
 * first word of its page, so that a page of zeros, of another file, of another
 * offset or of an older generation is seen.  Exit status 1 and one line on
 * standard error for a wrong byte, 2 if the test itself could not run.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE	4096UL
#define WORDS	(PAGE / sizeof(uint64_t))

static uint64_t random_state;

static uint64_t random_next(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static uint64_t mix(uint64_t x)
{
	x ^= x >> 31;
	x *= 0x9e3779b97f4a7c15ULL;
	return x ^ x >> 29;
}

/* The word number @word of page @page of generation @seed; never all zero. */
static uint64_t expected(uint64_t seed, uint64_t page, unsigned long word)
{
	return word ? mix(seed ^ (page * WORDS + word)) : seed;
}

static void fill_page(uint64_t *data, uint64_t seed, uint64_t page)
{
	for (unsigned long i = 0; i < WORDS; i++)
		data[i] = expected(seed, page, i);
}

/* @seed 0: any generation, but one and the same for the whole page. */
static void check_page(const uint64_t *data, uint64_t seed, uint64_t page,
		       const char *how, const char *name)
{
	uint64_t found = *(const volatile uint64_t *)data;

	if (!found || (seed && found != seed)) {
		fprintf(stderr, "%s: %s: page %llu: seed is %llx, not %llx\n",
			how, name, (unsigned long long)page,
			(unsigned long long)found, (unsigned long long)seed);
		exit(1);
	}
	for (unsigned long i = 1; i < WORDS; i++) {
		if (data[i] == expected(found, page, i))
			continue;
		fprintf(stderr, "%s: %s: page %llu, word %lu: %llx, not %llx\n",
			how, name, (unsigned long long)page, i,
			(unsigned long long)data[i],
			(unsigned long long)expected(found, page, i));
		exit(1);
	}
}

static bool time_left(time_t end)
{
	return time(NULL) < end;
}

static uint64_t file_pages(int fd, const char *name)
{
	struct stat st;

	if (fstat(fd, &st))
		err(2, "%s", name);
	if (st.st_size < (off_t)PAGE)
		errx(2, "%s: no whole page", name);
	return (uint64_t)st.st_size / PAGE;
}

static void write_pages(int fd, uint64_t seed, uint64_t from, uint64_t to,
			const char *name)
{
	static uint64_t data[16 * WORDS];

	while (from < to) {
		uint64_t n = to - from < 16 ? to - from : 16;

		for (uint64_t i = 0; i < n; i++)
			fill_page(data + i * WORDS, seed, from + i);
		if (pwrite(fd, data, n * PAGE, (off_t)(from * PAGE)) !=
		    (ssize_t)(n * PAGE))
			err(2, "write %s", name);
		from += n;
	}
}

static void create(const char *name, uint64_t mib)
{
	int fd = open(name, O_CREAT | O_TRUNC | O_WRONLY, 0644);

	if (fd < 0)
		err(2, "%s", name);
	write_pages(fd, 0x5eed, 0, mib << 8, name);
	if (fsync(fd))
		err(2, "fsync %s", name);
	close(fd);
}

static void check_by_read(const char *name, time_t end)
{
	static uint64_t data[32 * WORDS];
	int fd = open(name, O_RDONLY);
	uint64_t pages;

	if (fd < 0)
		err(2, "%s", name);
	pages = file_pages(fd, name);
	while (time_left(end)) {
		uint64_t page = random_next() % pages;
		ssize_t got = pread(fd, data, (1 + random_next() % 32) * PAGE,
				    (off_t)(page * PAGE));

		if (got < (ssize_t)PAGE)
			err(2, "read %s", name);
		for (ssize_t i = 0; i < got / (ssize_t)PAGE; i++)
			check_page(data + (size_t)i * WORDS, 0x5eed,
				   page + (uint64_t)i, "read", name);
	}
	close(fd);
}

static uint64_t *map(const char *name, uint64_t *pages, int flags)
{
	int fd = open(name, O_RDONLY);
	void *data;

	if (fd < 0)
		err(2, "%s", name);
	*pages = file_pages(fd, name);
	data = mmap(NULL, *pages * PAGE, PROT_READ, flags, fd, 0);
	if (data == MAP_FAILED)
		err(2, "mmap %s", name);
	close(fd);
	return data;
}

static void check_by_mmap(const char *name, time_t end)
{
	uint64_t pages;
	uint64_t *data = map(name, &pages, MAP_SHARED);

	while (time_left(end)) {
		uint64_t page = random_next() % pages;

		for (uint64_t i = page; i < pages && i < page + 64; i++)
			check_page(data + i * WORDS, 0x5eed, i, "mmap", name);
		if (random_next() % 64 == 0)
			madvise(data, pages * PAGE, MADV_DONTNEED);
	}
}

/* A child reads, sometimes after making private copies of some pages. */
static void fork_child(uint64_t *data, uint64_t pages, const char *name)
{
	for (int n = 0; n < 32; n++) {
		uint64_t page = random_next() % pages;

		check_page(data + page * WORDS, 0x5eed, page, "fork", name);
		if (random_next() % 4)
			continue;
		if (mprotect(data + page * WORDS, PAGE, PROT_READ | PROT_WRITE))
			err(2, "mprotect");
		data[page * WORDS + 1] ^= 1;
		data[page * WORDS + 1] ^= 1;
		check_page(data + page * WORDS, 0x5eed, page, "copy", name);
	}
	_exit(0);
}

static void wait_child(const char *name)
{
	int status;

	if (wait(&status) < 0)
		err(2, "wait");
	if (!WIFEXITED(status) || WEXITSTATUS(status)) {
		fprintf(stderr, "fork: %s: a child ended with status %#x\n",
			name, status);
		exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
	}
}

static void fork_storm(const char *name, time_t end)
{
	uint64_t pages;
	uint64_t *data = map(name, &pages, MAP_PRIVATE);
	int children = 0;

	while (time_left(end)) {
		pid_t pid;

		/* Mapped in the parent, so that fork copies the ptes. */
		for (int n = 0; n < 256; n++) {
			uint64_t page = random_next() % pages;

			check_page(data + page * WORDS, 0x5eed, page, "parent",
				   name);
		}
		random_next();
		pid = fork();
		if (pid < 0)
			err(2, "fork");
		if (!pid)
			fork_child(data, pages, name);
		if (++children >= 8) {
			wait_child(name);
			children--;
		}
	}
	while (children--)
		wait_child(name);
}

static void write_by_mmap(int fd, uint64_t seed, uint64_t from, uint64_t to,
			  const char *name)
{
	uint64_t *data = mmap(NULL, to * PAGE, PROT_READ | PROT_WRITE,
			      MAP_SHARED, fd, 0);

	if (data == MAP_FAILED)
		err(2, "mmap %s", name);
	for (uint64_t i = from; i < to; i++)
		fill_page(data + i * WORDS, seed, i);
	munmap(data, to * PAGE);
}

static void check_all(int fd, uint64_t seed, uint64_t split, uint64_t pages,
		      const char *name)
{
	uint64_t data[WORDS];

	for (uint64_t i = 0; i < pages; i++) {
		if (pread(fd, data, PAGE, (off_t)(i * PAGE)) != (ssize_t)PAGE)
			err(2, "read %s", name);
		check_page(data, i < split ? seed : seed + 1, i, "rewrite", name);
	}
}

static void rewrite(const char *name, uint64_t mib, time_t end)
{
	int fd = open(name, O_CREAT | O_RDWR, 0644);
	uint64_t seed = 2;

	if (fd < 0)
		err(2, "%s", name);
	for (; time_left(end); seed += 2) {
		uint64_t pages = 1 + random_next() % (mib << 8);
		uint64_t split = random_next() % pages;

		if (ftruncate(fd, (off_t)(random_next() % 2 ? 0 : split * PAGE)))
			err(2, "truncate %s", name);
		write_pages(fd, seed, 0, pages, name);
		if (random_next() % 2)
			fdatasync(fd);
		write_by_mmap(fd, seed + 1, split, pages, name);
		if (random_next() % 2)
			sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
		else
			fsync(fd);
		usleep((useconds_t)(random_next() % 200000));
		check_all(fd, seed, split, pages, name);
	}
	close(fd);
}

static uint64_t number(const char *text)
{
	char *end;
	unsigned long long value = strtoull(text, &end, 10);

	if (*end || !value)
		errx(2, "not a number above zero: %s", text);
	return value;
}

int main(int argc, char **argv)
{
	const char *job = argc > 3 ? argv[1] : "";
	time_t now = time(NULL);

	random_state = (uint64_t)getpid() * 0x9e3779b97f4a7c15ULL + 1;
	if (!strcmp(job, "create") && argc == 4)
		create(argv[2], number(argv[3]));
	else if (!strcmp(job, "read") && argc == 4)
		check_by_read(argv[2], now + (time_t)number(argv[3]));
	else if (!strcmp(job, "mmap") && argc == 4)
		check_by_mmap(argv[2], now + (time_t)number(argv[3]));
	else if (!strcmp(job, "fork") && argc == 4)
		fork_storm(argv[2], now + (time_t)number(argv[3]));
	else if (!strcmp(job, "rewrite") && argc == 5)
		rewrite(argv[2], number(argv[3]), now + (time_t)number(argv[4]));
	else
		errx(2, "usage: pattern create|read|mmap|fork|rewrite FILE ...");
	return 0;
}
