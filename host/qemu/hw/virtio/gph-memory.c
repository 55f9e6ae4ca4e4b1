/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gph: guest memory as sections of one memfd.
 *
 * Listens to the system address space and keeps, for the machine's memory
 * backend only, which guest frames are where in the file.  Memory is given back
 * by punching holes in the file, and counted by what the file occupies.
 *
 * The first MiB stays out: its frames change between RAM, ROM and device memory
 * at the chipset's whim and are worth nothing.
 */
#include "qemu/osdep.h"
#include <sys/stat.h>
#include "exec/address-spaces.h"
#include "exec/ramblock.h"
#include "hw/virtio/virtio-gph.h"
#include "qemu/units.h"
#include "trace.h"

#define GPH_FRAME_SIZE      (UINT64_C(1) << VIRTIO_GPH_FRAME_SHIFT)

static GphMemory *from_listener(MemoryListener *listener)
{
    return container_of(listener, GphMemory, listener);
}

static void gph_memory_begin(MemoryListener *listener)
{
    g_array_set_size(from_listener(listener)->next, 0);
}

static void gph_memory_region(MemoryListener *listener,
                              MemoryRegionSection *section)
{
    GphMemory *m = from_listener(listener);
    uint64_t start, skip, size = int128_get64(section->size);
    uint64_t first = section->offset_within_address_space;
    GphSection s;

    if (!memory_region_is_ram(section->mr) || section->readonly ||
        section->mr->ram_block != m->block) {
        return;
    }
    start = ROUND_UP(MAX(first, MiB), GPH_FRAME_SIZE);
    skip = start - first;
    if (skip >= size) {
        return;
    }
    s.offset = section->offset_within_region + skip;
    s.run.start = start >> VIRTIO_GPH_FRAME_SHIFT;
    s.run.n = (size - skip) >> VIRTIO_GPH_FRAME_SHIFT;
    if (s.run.n && QEMU_IS_ALIGNED(s.offset, GPH_FRAME_SIZE)) {
        g_array_append_val(m->next, s);
    }
}

static GphSections *sections_new(const GArray *array)
{
    GphSections *s = g_malloc0(sizeof(*s) + array->len * sizeof(GphSection));

    s->n = array->len;
    if (s->n) {
        memcpy(s->section, array->data, s->n * sizeof(GphSection));
    }
    return s;
}

static bool same_sections(const GphSections *s, const GArray *array)
{
    return s->n == array->len &&
           (!s->n || !memcmp(s->section, array->data,
                             s->n * sizeof(GphSection)));
}

static void gph_memory_commit(MemoryListener *listener)
{
    GphMemory *m = from_listener(listener);
    GphSections *old = m->sections;

    if (same_sections(old, m->next)) {
        return;
    }
    qatomic_rcu_set(&m->sections, sections_new(m->next));
    g_free_rcu(old, rcu);
    m->changed(m->opaque);
}

void gph_memory_init(GphMemory *m, RAMBlock *block,
                     void (*changed)(void *opaque), void *opaque)
{
    m->block = block;
    m->changed = changed;
    m->opaque = opaque;
    /* Cleared: sections are compared as bytes. */
    m->next = g_array_new(false, true, sizeof(GphSection));
    m->sections = sections_new(m->next);
    m->listener = (MemoryListener) {
        .name = "virtio-gph",
        .begin = gph_memory_begin,
        .region_add = gph_memory_region,
        .region_nop = gph_memory_region,
        .commit = gph_memory_commit,
    };
    memory_listener_register(&m->listener, &address_space_memory);
}

void gph_memory_fini(GphMemory *m)
{
    memory_listener_unregister(&m->listener);
    g_free_rcu(m->sections, rcu);
    m->sections = NULL;
    g_array_free(m->next, true);
}

uint64_t gph_memory_end(const GphMemory *m)
{
    const GphSections *s = m->sections;

    return s->n ? s->section[s->n - 1].run.start + s->section[s->n - 1].run.n :
                  0;
}

/* Offset of @run in the RAM block; false if it is not in one section. */
static bool find_offset(const GphMemory *m, const GphRun *run, uint64_t *offset)
{
    const GphSections *sections;
    unsigned i;

    RCU_READ_LOCK_GUARD();
    sections = qatomic_rcu_read(&m->sections);
    for (i = 0; i < sections->n; i++) {
        const GphSection *s = &sections->section[i];

        if (run->start >= s->run.start &&
            run->start + run->n <= s->run.start + s->run.n) {
            *offset = s->offset + ((run->start - s->run.start)
                                   << VIRTIO_GPH_FRAME_SHIFT);
            return true;
        }
    }
    return false;
}

bool gph_memory_ram_addr(const GphMemory *m, const GphRun *run,
                         ram_addr_t *addr)
{
    uint64_t offset;

    if (!find_offset(m, run, &offset)) {
        return false;
    }
    *addr = m->block->offset + offset;
    return true;
}

bool gph_memory_frame(const GphMemory *m, ram_addr_t addr, uint64_t *frame)
{
    uint64_t offset = addr - m->block->offset;
    const GphSections *sections;
    unsigned i;

    RCU_READ_LOCK_GUARD();
    sections = qatomic_rcu_read(&m->sections);
    for (i = 0; i < sections->n; i++) {
        const GphSection *s = &sections->section[i];
        uint64_t n = (offset - s->offset) >> VIRTIO_GPH_FRAME_SHIFT;

        if (offset >= s->offset && n < s->run.n) {
            *frame = s->run.start + n;
            return true;
        }
    }
    return false;
}

int gph_memory_punch(const GphMemory *m, const GphRun *run)
{
    uint64_t offset, bytes = run->n << VIRTIO_GPH_FRAME_SHIFT;
    int ret;

    if (!find_offset(m, run, &offset)) {
        return -ENOENT;
    }
    do {
        ret = fallocate(m->block->fd,
                        FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                        m->block->fd_offset + offset, bytes);
    } while (ret && errno == EINTR);
    ret = ret ? -errno : 0;
    trace_virtio_gph_punch(run->start, run->n, ret);
    return ret;
}

uint64_t gph_memory_allocated(const GphMemory *m)
{
    struct stat st;

    return fstat(m->block->fd, &st) ? 0 : (uint64_t)st.st_blocks * 512;
}
