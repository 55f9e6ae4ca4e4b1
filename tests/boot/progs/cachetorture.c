// SPDX-License-Identifier: GPL-2.0
/*
 * cachetorture - read files in every way there is while somebody takes the cache.
 *
 *   cachetorture DIR SECONDS [FILES] [WORKERS]
 *
 * Every 8-byte word of a file is a function of the file, its generation and the
 * offset, so any word read can be checked on its own.  Workers rewrite files
 * (write, shared mapping, truncate) under a lock and check them under a shared
 * lock by read, pread, sendfile, O_DIRECT, private and shared mappings, COW,
 * process_vm_readv, writes whose source is a mapping, and children that inherit
 * mappings.  The first wrong word ends the run with exit status 1.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_FILES	256
#define MAX_PAGES	96
#define PAGE		4096UL

struct file {
	pthread_rwlock_t lock;
	uint64_t generation;
	size_t size;		/* bytes, a multiple of 8 */
};

/* Shared by all workers. */
static struct shared {
	struct file file[MAX_FILES];
	int failed;
	unsigned long checked;	/* bytes */
} *shared;

static const char *dir;
static unsigned int nr_files = 64;
static uint64_t seed;

static void fail(const char *how, ...)
{
	va_list ap;

	__atomic_store_n(&shared->failed, 1, __ATOMIC_SEQ_CST);
	va_start(ap, how);
	fprintf(stderr, "cachetorture: ");
	vfprintf(stderr, how, ap);
	fprintf(stderr, "\n");
	va_end(ap);
	_exit(1);
}

static void check(int ok, const char *what)
{
	if (!ok)
		fail("%s: %s", what, strerror(errno));
}

static uint64_t rnd(uint64_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % below;
}

static uint64_t word_of(unsigned int id, uint64_t generation, size_t offset)
{
	uint64_t x = generation << 40 ^ (uint64_t)id << 32 ^ offset;

	x = (x ^ x >> 31) * 0x9e3779b97f4a7c15ULL;
	return x ^ x >> 29;
}

static void fill(unsigned int id, uint64_t generation, size_t offset,
		 void *buffer, size_t bytes)
{
	uint64_t *word = buffer;
	size_t i;

	for (i = 0; i < bytes / 8; i++)
		word[i] = word_of(id, generation, offset + 8 * i);
}

static void verify(unsigned int id, const char *how, size_t offset,
		   const void *buffer, size_t bytes)
{
	const volatile uint64_t *word = buffer;
	uint64_t want, got;
	size_t i;

	for (i = 0; i < bytes / 8; i++) {
		want = word_of(id, shared->file[id].generation, offset + 8 * i);
		got = word[i];
		if (got != want)
			fail("%s: file %u offset %zu: %016llx, not %016llx", how, id,
			     offset + 8 * i, (unsigned long long)got,
			     (unsigned long long)want);
	}
	__atomic_add_fetch(&shared->checked, bytes, __ATOMIC_RELAXED);
}

static int open_file(unsigned int id, int flags)
{
	char name[4096];
	int fd;

	snprintf(name, sizeof(name), "%s/f%u", dir, id);
	fd = open(name, flags, 0600);
	check(fd >= 0, name);
	return fd;
}

static void full_write(int fd, const void *buffer, size_t bytes, size_t offset)
{
	ssize_t n;

	while (bytes) {
		n = pwrite(fd, buffer, bytes, offset);
		check(n > 0, "pwrite");
		buffer = (const char *)buffer + n;
		bytes -= n;
		offset += n;
	}
}

/* --- changing a file: exclusive lock held --- */

static void rewrite(unsigned int id)
{
	struct file *f = &shared->file[id];
	static char buffer[MAX_PAGES * PAGE];
	int fd = open_file(id, O_RDWR | O_CREAT);
	size_t size = (1 + rnd(MAX_PAGES * PAGE / 8 - 1)) * 8;
	char *map;

	if (!rnd(2))
		check(!ftruncate(fd, 0), "ftruncate");
	check(!ftruncate(fd, size), "ftruncate");
	f->generation++;
	f->size = size;
	if (rnd(2)) {
		map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		check(map != MAP_FAILED, "mmap");
		fill(id, f->generation, 0, map, size);
		check(!munmap(map, size), "munmap");
	} else {
		fill(id, f->generation, 0, buffer, size);
		full_write(fd, buffer, size, 0);
	}
	if (!rnd(4))
		check(!fsync(fd), "fsync");
	close(fd);
}

/* Cut the end off, or add to it: partial pages at both old and new end. */
static void resize(unsigned int id)
{
	struct file *f = &shared->file[id];
	int fd = open_file(id, O_RDWR);
	size_t size = (1 + rnd(MAX_PAGES * PAGE / 8 - 1)) * 8;
	static char buffer[MAX_PAGES * PAGE];

	check(!ftruncate(fd, size), "ftruncate");
	if (size > f->size) {
		fill(id, f->generation, f->size, buffer, size - f->size);
		full_write(fd, buffer, size - f->size, f->size);
	}
	f->size = size;
	close(fd);
}

/* --- checking a file: shared lock held --- */

static void by_read(unsigned int id, size_t size, int fd)
{
	static char buffer[MAX_PAGES * PAGE];
	size_t step = rnd(2) ? PAGE : sizeof(buffer), done;
	ssize_t n;

	for (done = 0; done < size; done += n) {
		n = pread(fd, buffer, step < size - done ? step : size - done, done);
		check(n > 0, "pread");
		verify(id, "read", done, buffer, n);
	}
}

static void by_random_read(unsigned int id, size_t size, int fd)
{
	char buffer[64];
	size_t offset;
	ssize_t n;
	int i;

	for (i = 0; i < 200; i++) {
		offset = rnd(size / 8) * 8;
		n = pread(fd, buffer, sizeof(buffer), offset);
		check(n > 0, "pread");
		verify(id, "random read", offset, buffer, n & ~7);
	}
}

static void by_direct(unsigned int id, size_t size, int fd)
{
	static char buffer[MAX_PAGES * PAGE] __attribute__((aligned(4096)));
	int direct = open_file(id, O_RDONLY | O_DIRECT);
	ssize_t n = pread(direct, buffer, sizeof(buffer), 0);

	(void)fd;
	check(n >= 0 && (size_t)n == size, "direct read");
	verify(id, "direct read", 0, buffer, size);
	close(direct);
}

static void by_sendfile(unsigned int id, size_t size, int fd)
{
	static char buffer[16 * PAGE];
	size_t bytes = size < sizeof(buffer) ? size : sizeof(buffer);
	off_t offset = 0;
	ssize_t n, m;
	int p[2];

	check(!pipe(p), "pipe");
	n = sendfile(p[1], fd, &offset, bytes);
	check(n > 0, "sendfile");
	m = read(p[0], buffer, n);
	check(m > 0, "read from pipe");
	verify(id, "sendfile", 0, buffer, m & ~7);
	close(p[0]);
	close(p[1]);
}

static void by_mapping(unsigned int id, size_t size, int fd)
{
	int how = rnd(2) ? MAP_SHARED : MAP_PRIVATE;
	char *map = mmap(NULL, size, PROT_READ, how, fd, 0);
	int i;

	check(map != MAP_FAILED, "mmap");
	for (i = 0; i < 3; i++) {
		verify(id, "mapping", 0, map, size);
		usleep(rnd(50000));
	}
	check(!munmap(map, size), "munmap");
}

static void by_cow(unsigned int id, size_t size, int fd)
{
	char *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	size_t at, page;

	check(map != MAP_FAILED, "mmap");
	if (rnd(2))
		verify(id, "before COW", 0, map, size);
	usleep(rnd(200000));
	/* Write one byte a page: the rest of the page must be the file's. */
	for (at = 0; at + 8 <= size; at += PAGE) {
		page = size - at < PAGE ? size - at : PAGE;
		map[at] ^= 1;
		verify(id, "COW", at + 8, map + at + 8, page - 8);
	}
	check(!munmap(map, size), "munmap");
}

static void by_gup(unsigned int id, size_t size, int fd)
{
	static char buffer[MAX_PAGES * PAGE];
	char *map = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
	struct iovec to = { buffer, size }, from = { map, size };
	ssize_t n;

	check(map != MAP_FAILED, "mmap");
	if (rnd(2))
		verify(id, "before GUP", 0, map, size);
	usleep(rnd(200000));
	n = process_vm_readv(getpid(), &to, 1, &from, 1, 0);
	check(n >= 0 && (size_t)n == size, "process_vm_readv");
	verify(id, "GUP", 0, buffer, size);
	check(!munmap(map, size), "munmap");
}

/* write(2) whose source is a mapping; direct I/O pins it with GUP-fast. */
static void by_write_source(unsigned int id, size_t size, int fd)
{
	static char buffer[MAX_PAGES * PAGE];
	char *map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	size_t bytes = size & ~(PAGE - 1);
	int flags = O_WRONLY | O_CREAT | O_TRUNC;
	char name[4096];
	int out, in;

	check(map != MAP_FAILED, "mmap");
	if (bytes && rnd(3))
		flags |= O_DIRECT;
	else
		bytes = size;
	snprintf(name, sizeof(name), "%s/t%d", dir, getpid());
	out = open(name, flags, 0600);
	check(out >= 0, name);
	verify(id, "before write", 0, map, size);
	/* Until an ageing pass found the mapping cold and the host took it. */
	usleep(rnd(200000));
	full_write(out, map, bytes, 0);
	close(out);
	in = open(name, O_RDONLY);
	check(in >= 0, name);
	check(pread(in, buffer, bytes, 0) == (ssize_t)bytes, "read back");
	verify(id, flags & O_DIRECT ? "written directly from mapping" :
	       "written from mapping", 0, buffer, bytes);
	close(in);
	check(!munmap(map, size), "munmap");
}

static void by_children(unsigned int id, size_t size, int fd)
{
	char *map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	int i, status;

	check(map != MAP_FAILED, "mmap");
	verify(id, "parent", 0, map, size);
	for (i = 0; i < 4; i++) {
		pid_t pid = fork();

		check(pid >= 0, "fork");
		if (!pid) {
			usleep(rnd(2000));
			verify(id, "child", 0, map, size);
			_exit(0);
		}
	}
	for (i = 0; i < 4; i++) {
		check(wait(&status) > 0, "wait");
		if (!WIFEXITED(status) || WEXITSTATUS(status))
			fail("child: status %x", status);
	}
	check(!munmap(map, size), "munmap");
}

static void by_mlock(unsigned int id, size_t size, int fd)
{
	char *map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);

	check(map != MAP_FAILED, "mmap");
	if (rnd(2))
		verify(id, "before mlock", 0, map, size);
	check(!mlock(map, size), "mlock");
	usleep(rnd(3000));
	verify(id, "mlocked", 0, map, size);
	check(!munmap(map, size), "munmap");
}

static void (*const ways[])(unsigned int id, size_t size, int fd) = {
	by_read, by_read, by_random_read, by_direct, by_sendfile, by_mapping,
	by_mapping, by_cow, by_gup, by_write_source, by_write_source, by_children, by_mlock,
};

static void work(time_t end)
{
	while (time(NULL) < end && !__atomic_load_n(&shared->failed, __ATOMIC_SEQ_CST)) {
		unsigned int id = rnd(nr_files);
		struct file *f = &shared->file[id];
		int fd;

		if (!rnd(20)) {
			pthread_rwlock_wrlock(&f->lock);
			rnd(3) ? rewrite(id) : resize(id);
		} else {
			pthread_rwlock_rdlock(&f->lock);
			fd = open_file(id, O_RDONLY);
			ways[rnd(sizeof(ways) / sizeof(*ways))](id, f->size, fd);
			close(fd);
		}
		pthread_rwlock_unlock(&f->lock);
	}
	_exit(0);
}

int main(int argc, char **argv)
{
	int workers = argc > 4 ? atoi(argv[4]) : 4, status, i, bad = 0;
	pthread_rwlockattr_t attr;
	time_t end;

	if (argc < 3) {
		fprintf(stderr, "usage: cachetorture DIR SECONDS [FILES] [WORKERS]\n");
		return 2;
	}
	dir = argv[1];
	end = time(NULL) + atoi(argv[2]);
	if (argc > 3)
		nr_files = atoi(argv[3]);
	if (!nr_files || nr_files > MAX_FILES)
		nr_files = MAX_FILES;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED) {
		perror("cachetorture: mmap");
		return 2;
	}
	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	seed = 0x9e3779b97f4a7c15ULL;
	for (i = 0; i < (int)nr_files; i++) {
		pthread_rwlock_init(&shared->file[i].lock, &attr);
		rewrite(i);
	}
	sync();
	for (i = 0; i < workers; i++) {
		if (!fork()) {
			seed = (i + 1) * 0x9e3779b97f4a7c15ULL + time(NULL);
			work(end);
		}
	}
	while (wait(&status) > 0)
		bad |= !WIFEXITED(status) || WEXITSTATUS(status);
	printf("cachetorture: %lu MiB checked, %s\n", shared->checked >> 20,
	       bad ? "FAILED" : "all right");
	return bad;
}
