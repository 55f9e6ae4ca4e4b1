// SPDX-License-Identifier: GPL-2.0
/*
 * treesum: the checksum of every file below a directory, sorted by name.
 *
 *   treesum [-m] [-w FILE] [-j THREADS] DIRECTORY
 *
 * The host runs it when it makes a disk image, the guest runs it to see whether
 * a byte differs.  -m reads through shared file mappings instead of read(2).
 * With -w the first sums are thrown away, FILE.ready is made, and the sums are
 * taken again, through the same mappings, once FILE exists: whatever happened in
 * between happened to pages that are mapped.
 */
#define _GNU_SOURCE
#define XXH_INLINE_ALL
#include <err.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

struct file {
	char *name;
	size_t size;
	void *map;
	XXH64_hash_t sum;
};

static struct file *files;
static size_t nr_files;
static size_t next_file;
static bool by_mmap;

static int add_file(const char *name, const struct stat *st, int type,
		    struct FTW *ftw)
{
	(void)ftw;
	if (type != FTW_F || !S_ISREG(st->st_mode))
		return 0;
	if (!(nr_files & (nr_files + 1)))
		files = realloc(files, 2 * (nr_files + 1) * sizeof(*files));
	if (!files)
		err(2, "realloc");
	files[nr_files++] = (struct file){
		.name = strdup(name), .size = (size_t)st->st_size,
	};
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct file *)a)->name,
		      ((const struct file *)b)->name);
}

static XXH64_hash_t sum_by_read(int fd, const char *name)
{
	static __thread char buffer[256 << 10];
	XXH64_state_t state;
	ssize_t got;

	XXH64_reset(&state, 0);
	while ((got = read(fd, buffer, sizeof(buffer))) > 0)
		XXH64_update(&state, buffer, (size_t)got);
	if (got < 0)
		err(2, "%s", name);
	return XXH64_digest(&state);
}

static void map_file(struct file *file, int fd)
{
	if (file->map || !file->size)
		return;
	file->map = mmap(NULL, file->size, PROT_READ, MAP_SHARED, fd, 0);
	if (file->map == MAP_FAILED)
		err(2, "mmap %s", file->name);
}

static void sum_file(struct file *file)
{
	int fd = -1;

	if (!file->map) {
		fd = open(file->name, O_RDONLY);
		if (fd < 0)
			err(2, "%s", file->name);
	}
	if (by_mmap) {
		map_file(file, fd);
		file->sum = XXH64(file->map, file->size, 0);
	} else {
		file->sum = sum_by_read(fd, file->name);
	}
	if (fd >= 0)
		close(fd);
}

static void *worker(void *unused)
{
	size_t i;

	(void)unused;
	while ((i = __atomic_fetch_add(&next_file, 1, __ATOMIC_RELAXED)) < nr_files)
		sum_file(&files[i]);
	return NULL;
}

static void sum_all(long threads)
{
	pthread_t thread[64];
	long i;

	next_file = 0;
	for (i = 0; i < threads; i++) {
		if (pthread_create(&thread[i], NULL, worker, NULL))
			errx(2, "pthread_create failed");
	}
	for (i = 0; i < threads; i++)
		pthread_join(thread[i], NULL);
}

static void wait_for(const char *name)
{
	char *ready;

	if (asprintf(&ready, "%s.ready", name) < 0)
		err(2, "asprintf");
	close(open(ready, O_CREAT | O_WRONLY, 0644));
	free(ready);
	while (access(name, F_OK))
		usleep(50000);
}

int main(int argc, char **argv)
{
	const char *wait = NULL;
	long threads = 2;
	size_t i;
	int option;

	while ((option = getopt(argc, argv, "mw:j:")) != -1) {
		if (option == 'm')
			by_mmap = true;
		else if (option == 'w')
			wait = optarg;
		else if (option == 'j')
			threads = atol(optarg);
		else
			return 2;
	}
	if (optind + 1 != argc || threads < 1 || threads > 64)
		errx(2, "usage: treesum [-m] [-w FILE] [-j THREADS] DIRECTORY");
	if (nftw(argv[optind], add_file, 64, FTW_PHYS))
		err(2, "%s", argv[optind]);
	qsort(files, nr_files, sizeof(*files), by_name);

	sum_all(threads);
	if (wait) {
		wait_for(wait);
		sum_all(threads);
	}
	for (i = 0; i < nr_files; i++)
		printf("%016llx  %s\n", (unsigned long long)files[i].sum,
		       files[i].name);
	return nr_files ? 0 : 1;
}
