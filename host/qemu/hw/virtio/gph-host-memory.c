/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the host's kernel says about memory: limits, and events about them.
 *
 * Files are opened once and read again with pread(): that is cheap, and works
 * when QEMU has given its privileges or its root directory up.
 */
#include "qemu/osdep.h"
#include <glib-unix.h>
#include "hw/virtio/gph-host-memory.h"
#include "hw/virtio/gph/gph-readings.h"
#include "trace.h"

/*
 * Some task waits for memory during 50 ms of 2 s.  The least that is worth an
 * action; and windows of 2 s need no privilege (Linux 6.5).
 */
#define PSI_TRIGGER     "some 50000 2000000"

#define TEXT_BYTES      16384

/* One cgroup of the path from QEMU's own to the root. */
typedef struct Level {
    char *directory;
    int current;
    int high;
    int max;
    int stat;
    int events;
    guint events_watch;
    struct GphHostMemory *host;
} Level;

struct GphHostMemory {
    char *root;
    GphHostEventFn *event;
    void *opaque;
    Level levels[GPH_POLICY_MAX_LIMITS - 1];
    unsigned nr_levels;
    bool lost;
    int meminfo;
    int psi;
    guint psi_watch;
    char *psi_file;
    char *cgroup_missing;       /* why, or NULL */
    char *psi_missing;
    char text[TEXT_BYTES];
};

/* --- files --- */

static int open_file(const char *directory, const char *name)
{
    g_autofree char *path = g_build_filename(directory, name, NULL);

    return qemu_open_old(path, O_RDONLY | O_NONBLOCK);
}

static void close_file(int *fd)
{
    if (*fd >= 0) {
        qemu_close(*fd);
        *fd = -1;
    }
}

/* The whole file as a string in h->text, or NULL. */
static const char *read_fd(GphHostMemory *h, int fd)
{
    ssize_t n = fd < 0 ? -1 : pread(fd, h->text, sizeof(h->text) - 1, 0);

    if (n < 0) {
        return NULL;
    }
    h->text[n] = '\0';
    return h->text;
}

static const char *read_path(GphHostMemory *h, const char *path)
{
    int fd = open_file(h->root, path);
    const char *text = read_fd(h, fd);

    close_file(&fd);
    return text;
}

/* --- levels --- */

static gboolean limit_event(int fd, GIOCondition condition, void *opaque)
{
    Level *l = opaque;

    /* Reading arms it again.  A cgroup that is gone cannot be read. */
    if (!read_fd(l->host, fd)) {
        l->events_watch = 0;
        l->host->event(l->host->opaque, GPH_HOST_LOST);
        return G_SOURCE_REMOVE;
    }
    l->host->event(l->host->opaque, GPH_HOST_LIMIT);
    return G_SOURCE_CONTINUE;
}

static void close_level(Level *l)
{
    if (l->events_watch) {
        g_source_remove(l->events_watch);
    }
    close_file(&l->current);
    close_file(&l->high);
    close_file(&l->max);
    close_file(&l->stat);
    close_file(&l->events);
    g_free(l->directory);
}

static void add_level(GphHostMemory *h, const char *directory)
{
    Level *l = &h->levels[h->nr_levels];

    *l = (Level){
        .directory = g_strdup(directory),
        .current = open_file(directory, "memory.current"),
        .high = open_file(directory, "memory.high"),
        .max = open_file(directory, "memory.max"),
        .stat = open_file(directory, "memory.stat"),
        .events = open_file(directory, "memory.events"),
        .host = h,
    };
    /* The root, or one without the memory controller. */
    if (l->current < 0 || (l->max < 0 && l->high < 0)) {
        close_level(l);
        return;
    }
    if (read_fd(h, l->events)) {
        l->events_watch = g_unix_fd_add(l->events, G_IO_PRI, limit_event, l);
    }
    h->nr_levels++;
}

/* @directory and those above it that @mount shows. */
static void add_levels(GphHostMemory *h, const char *mount, char *directory)
{
    while (h->nr_levels < ARRAY_SIZE(h->levels)) {
        add_level(h, directory);
        if (strlen(directory) <= strlen(mount)) {
            break;
        }
        *strrchr(directory, '/') = '\0';
    }
}

/* QEMU's own cgroup, or NULL and a reason. */
static char *find_own(GphHostMemory *h, char **mount)
{
    char path[PATH_MAX], where[PATH_MAX], root[PATH_MAX], dir[PATH_MAX];
    const char *text = read_path(h, "/proc/self/cgroup");

    if (!text || !gph_parse_own_cgroup(text, path, sizeof(path))) {
        h->cgroup_missing = g_strdup("QEMU is not in a cgroup v2");
        return NULL;
    }
    text = read_path(h, "/proc/self/mountinfo");
    if (!text || !gph_parse_cgroup_mount(text, where, root, sizeof(where))) {
        h->cgroup_missing = g_strdup("cgroup v2 is not mounted");
        return NULL;
    }
    if (!gph_cgroup_directory(where, root, path, dir, sizeof(dir))) {
        h->cgroup_missing = g_strdup_printf("QEMU's cgroup %s is outside of "
                                            "what is mounted on %s", path,
                                            where);
        return NULL;
    }
    *mount = g_strconcat(h->root, where, NULL);
    return g_strconcat(h->root, dir, NULL);
}

/* --- PSI --- */

static gboolean psi_event(int fd, GIOCondition condition, void *opaque)
{
    GphHostMemory *h = opaque;

    if (condition & (G_IO_ERR | G_IO_HUP | G_IO_NVAL)) {
        h->psi_watch = 0;
        h->event(h->opaque, GPH_HOST_LOST);
        return G_SOURCE_REMOVE;
    }
    h->event(h->opaque, GPH_HOST_STALL);
    return G_SOURCE_CONTINUE;
}

/* 0 or -errno */
static int try_psi(GphHostMemory *h, char *path)
{
    int fd = qemu_open_old(path, O_RDWR | O_NONBLOCK);
    int ret;

    if (fd < 0) {
        ret = -errno;
    } else if (write(fd, PSI_TRIGGER, sizeof(PSI_TRIGGER)) < 0) {
        ret = -errno;
        qemu_close(fd);
    } else {
        h->psi = fd;
        h->psi_file = path;
        h->psi_watch = g_unix_fd_add(fd, G_IO_PRI, psi_event, h);
        return 0;
    }
    g_free(path);
    return ret;
}

static void open_psi(GphHostMemory *h, const char *own)
{
    int cgroup = -ENOENT, host;

    if (own) {
        cgroup = try_psi(h, g_build_filename(own, "memory.pressure", NULL));
    }
    if (!cgroup) {
        return;
    }
    host = try_psi(h, g_build_filename(h->root, "/proc/pressure/memory", NULL));
    if (host) {
        h->psi_missing = g_strdup_printf("no trigger could be set: cgroup's "
                                         "memory.pressure: %s, host's: %s",
                                         strerror(-cgroup), strerror(-host));
    }
}

/* --- all together --- */

GphHostMemory *gph_host_memory_new(const char *root, GphHostEventFn *event,
                                   void *opaque)
{
    GphHostMemory *h = g_new0(GphHostMemory, 1);
    g_autofree char *own = NULL;
    g_autofree char *mount = NULL;

    h->root = g_strdup(root ?: "");
    h->event = event;
    h->opaque = opaque;
    h->psi = -1;
    h->meminfo = open_file(h->root, "/proc/meminfo");
    own = find_own(h, &mount);
    open_psi(h, own);
    if (own) {
        g_autofree char *directory = g_strdup(own);

        add_levels(h, mount, directory);
        if (!h->nr_levels) {
            h->cgroup_missing = g_strdup_printf("the memory controller is not "
                                                "enabled for %s", own);
        }
    }
    trace_virtio_gph_host_memory(h->nr_levels ? h->levels[0].directory :
                                 h->cgroup_missing,
                                 h->psi_file ?: h->psi_missing);
    return h;
}

void gph_host_memory_free(GphHostMemory *h)
{
    unsigned i;

    if (!h) {
        return;
    }
    for (i = 0; i < h->nr_levels; i++) {
        close_level(&h->levels[i]);
    }
    if (h->psi_watch) {
        g_source_remove(h->psi_watch);
    }
    close_file(&h->psi);
    close_file(&h->meminfo);
    g_free(h->psi_file);
    g_free(h->psi_missing);
    g_free(h->cgroup_missing);
    g_free(h->root);
    g_free(h);
}

static uint64_t read_limit(GphHostMemory *h, int fd)
{
    const char *text = read_fd(h, fd);
    uint64_t bytes;

    return text && gph_parse_limit(text, &bytes) ? bytes : GPH_UNLIMITED;
}

static bool read_level(GphHostMemory *h, unsigned i, GphLimit *limit)
{
    Level *l = &h->levels[i];
    const char *text = read_fd(h, l->current);

    *limit = (GphLimit){ .shared = i > 0 };
    if (!text) {
        h->lost = true;
        return false;
    }
    if (!gph_parse_limit(text, &limit->used)) {
        return false;
    }
    limit->limit = MIN(read_limit(h, l->high), read_limit(h, l->max));
    if (limit->limit == GPH_UNLIMITED) {
        return false;
    }
    /*
     * File cache that is not in use, such as that of disk images: the kernel
     * drops it first.  Guest memory is shmem, and not counted as that.
     * Read only when it may matter, it makes the kernel add up its counters.
     */
    if (limit->used > limit->limit / 2) {
        text = read_fd(h, l->stat);
        if (text) {
            gph_parse_key(text, "inactive_file", &limit->reclaimable);
        }
    }
    return true;
}

static bool read_host(GphHostMemory *h, GphLimit *limit)
{
    const char *text = read_fd(h, h->meminfo);
    uint64_t total, available;

    if (!text || !gph_parse_kib(text, "MemTotal:", &total) ||
        !gph_parse_kib(text, "MemAvailable:", &available)) {
        return false;
    }
    *limit = (GphLimit){
        .limit = total,
        .used = total > available ? total - available : 0,
        .host = true,
        .shared = true,
    };
    return true;
}

unsigned gph_host_memory_read(GphHostMemory *h, GphLimit *limits,
                              const char **names, unsigned max)
{
    unsigned i, n = 0;

    for (i = 0; i < h->nr_levels && n < max; i++) {
        if (read_level(h, i, &limits[n])) {
            if (names) {
                names[n] = h->levels[i].directory;
            }
            n++;
        }
    }
    if (n < max && read_host(h, &limits[n])) {
        if (names) {
            names[n] = "host";
        }
        n++;
    }
    return n;
}

bool gph_host_memory_lost(const GphHostMemory *h)
{
    return h->lost;
}

const char *gph_host_memory_cgroup(const GphHostMemory *h, const char **why)
{
    *why = h->cgroup_missing;
    return h->nr_levels ? h->levels[0].directory : NULL;
}

const char *gph_host_memory_psi(const GphHostMemory *h, const char **why)
{
    *why = h->psi_missing;
    return h->psi_file;
}
