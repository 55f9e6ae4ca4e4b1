/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of gph's exporters: a listener that checks the contract, and another
 * process that maps the memfd and caches what it reads.
 */
#include "qemu/osdep.h"
#include <sys/socket.h>
#include <sys/wait.h>
#include "hw/virtio/gph-exporter.h"
#include "gph-mmu-machine.h"

/* The section begins inside of the guest's memory, and ends past its end. */
#define SECTION_START   64u
#define SECTION_FRAMES  NR_FRAMES
#define SECTION_OFFSET  (3u * FRAME_SIZE)       /* in its memory region */

typedef struct Listener {
    RamDiscardListener rdl;
    bool populated[SECTION_START + SECTION_FRAMES];
    unsigned populates, discards;
    uint64_t populated_frames, discarded_frames;
    int error;
    void (*told)(struct Listener *l, const GphRun *run, bool populated);
    void *opaque;
} Listener;

static MemoryRegionSection section;

static MemoryRegionSection *new_section(void)
{
    section = (MemoryRegionSection) {
        .offset_within_region = SECTION_OFFSET,
        .offset_within_address_space = SECTION_START * FRAME_SIZE,
        .size = int128_make64(SECTION_FRAMES * FRAME_SIZE),
    };
    return &section;
}

static GphRun run_of(const MemoryRegionSection *s)
{
    GphRun run = { s->offset_within_address_space / FRAME_SIZE,
                   int128_get64(s->size) / FRAME_SIZE };

    g_assert_cmpuint(s->offset_within_address_space + SECTION_OFFSET, ==,
                     s->offset_within_region + SECTION_START * FRAME_SIZE);
    g_assert_cmpuint(run.start, >=, SECTION_START);
    g_assert_cmpuint(run.start + run.n, <=, SECTION_START + SECTION_FRAMES);
    g_assert_cmpuint(run.n, >, 0);
    return run;
}

static int notify_populate(RamDiscardListener *rdl, MemoryRegionSection *s)
{
    Listener *l = container_of(rdl, Listener, rdl);
    GphRun run = run_of(s);
    uint64_t f;

    if (l->error) {
        return l->error;
    }
    for (f = run.start; f < run.start + run.n; f++) {
        g_assert_false(l->populated[f]);
        l->populated[f] = true;
    }
    if (l->told) {
        l->told(l, &run, true);
    }
    l->populates++;
    l->populated_frames += run.n;
    return 0;
}

static void notify_discard(RamDiscardListener *rdl, MemoryRegionSection *s)
{
    Listener *l = container_of(rdl, Listener, rdl);
    GphRun run = run_of(s);
    uint64_t f;

    for (f = run.start; f < run.start + run.n; f++) {
        g_assert_true(l->populated[f]);
        l->populated[f] = false;
    }
    if (l->told) {
        l->told(l, &run, false);
    }
    l->discards++;
    l->discarded_frames += run.n;
}

static Listener *listener_new(void)
{
    Listener *l = g_new0(Listener, 1);

    ram_discard_listener_init(&l->rdl, notify_populate, notify_discard, false);
    return l;
}

static GphExporter *export(Machine *m, Listener *l, Error **errp)
{
    return gph_exporter_register(&l->rdl, new_section(), &m->mmus, "test",
                                 errp);
}

static void listener_free(Listener *l)
{
    uint64_t f;

    for (f = 0; f < SECTION_START + SECTION_FRAMES; f++) {
        g_assert_false(l->populated[f]);
    }
    g_assert_cmpuint(l->populated_frames, ==, l->discarded_frames);
    g_assert_null(l->rdl.section);
    g_free(l);
}

static void end(Machine *m)
{
    machine_exit(m);
    machine_free(m);
    alarm(0);
}

static Machine *begin(void)
{
    alarm(20);
    return machine_new();
}

/* Exactly what is taken from the section, and what comes back. */
static void test_exporter_exact(void)
{
    Machine *m = begin();
    Listener *l = listener_new();
    GphExporter *e;
    uint64_t f;

    machine_offer(m, 100, 4);
    g_assert_cmpint(machine_reclaim(m, 4), ==, GPH_STOP_GOAL);
    e = export(m, l, &error_abort);
    g_assert_cmpuint(l->populated_frames, ==, SECTION_FRAMES - 4);
    g_assert_cmpuint(l->populates, ==, 2);
    g_assert_cmpuint(l->discards, ==, 0);

    /* Half of them outside. */
    machine_offer(m, 60, 8);
    machine_offer(m, 200, 8);
    g_assert_cmpint(machine_reclaim(m, 16), ==, GPH_STOP_GOAL);
    g_assert_cmpuint(l->discarded_frames, ==, 12);
    g_assert_cmpuint(l->discards, ==, 2);
    for (f = SECTION_START; f < SECTION_START + SECTION_FRAMES; f++) {
        g_assert_cmpint(l->populated[f], ==,
                        f >= NR_FRAMES || !machine_trapped(m, f));
    }
    gph_engine_reset(m->engine);
    g_assert_cmpuint(l->populated_frames, ==, SECTION_FRAMES + 12);
    g_assert_cmpuint(l->populates, ==, 2 + 3);
    gph_exporter_unregister(e);
    listener_free(l);
    end(m);
}

/* Another user fails, before it is asked or after: nothing comes twice. */
static void test_exporter_balanced_on_error(void)
{
    Machine *m = begin();
    Listener *l = listener_new();
    Record *r[2];
    GphSecondaryMmu *u[2];
    GphExporter *e;
    int i;

    r[0] = record_new(m);
    u[0] = record_register(r[0], &error_abort);
    e = export(m, l, &error_abort);
    r[1] = record_new(m);
    u[1] = record_register(r[1], &error_abort);
    machine_offer(m, 100, 8);
    /* The youngest user is flushed first. */
    for (i = 0; i < 2; i++) {
        r[!i]->flush_error = -EIO;
        g_assert_cmpint(machine_reclaim(m, 8), ==, GPH_STOP_FAILED);
        r[!i]->flush_error = 0;
        g_assert_cmpuint(l->discarded_frames, ==, i ? 8 : 0);
        g_assert_cmpuint(l->populated_frames, ==,
                         SECTION_FRAMES + l->discarded_frames);
    }
    for (i = 0; i < 2; i++) {
        gph_mmu_unregister(u[i]);
        record_free(r[i]);
    }
    gph_exporter_unregister(e);
    listener_free(l);
    end(m);
}

static void give_back_300(Record *r)
{
    r->m->table[300] = 0;
    gph_access(r->m->engine, 300, true);
    g_assert_false(machine_trapped(r->m, 300));
}

/* Given back before it is discarded: mapped in the end all the same. */
static void test_exporter_untrap_in_flush(void)
{
    Machine *m = begin();
    Listener *l = listener_new();
    GphExporter *e = export(m, l, &error_abort);
    Record *r = record_new(m);
    GphSecondaryMmu *u;

    r->in_flush = give_back_300;
    u = record_register(r, &error_abort);
    machine_offer(m, 100, 1);
    machine_offer(m, 300, 1);
    machine_reclaim(m, 2);
    g_assert_true(machine_trapped(m, 100));
    g_assert_false(l->populated[100]);
    g_assert_true(l->populated[300]);
    g_assert_cmpuint(l->discarded_frames, ==, 2);
    gph_mmu_unregister(u);
    record_free(r);
    gph_exporter_unregister(e);
    listener_free(l);
    end(m);
}

/* It cannot map a page again: nothing more is taken until it has gone. */
static void test_exporter_broken(void)
{
    Machine *m = begin();
    Listener *l = listener_new();
    GphExporter *e = export(m, l, &error_abort);

    g_assert_null(gph_mmus_broken(&m->mmus));
    machine_offer(m, 100, 8);
    machine_reclaim(m, 8);
    l->error = -ENOMEM;
    m->table[103] = 0;
    g_assert_cmpint(gph_access(m->engine, 103, true), ==, GPH_RESUME);
    g_assert_nonnull(strstr(gph_mmus_broken(&m->mmus), "exporter"));
    machine_offer(m, 200, 8);
    g_assert_cmpint(machine_reclaim(m, 8), ==, GPH_STOP_FAILED);
    g_assert_false(machine_trapped(m, 200));
    gph_exporter_unregister(e);
    g_assert_null(gph_mmus_broken(&m->mmus));
    g_assert_cmpint(machine_reclaim(m, 8), ==, GPH_STOP_GOAL);
    listener_free(l);
    end(m);
}

static int second_fails(RamDiscardListener *rdl, MemoryRegionSection *s)
{
    Listener *l = container_of(rdl, Listener, rdl);

    l->error = l->populates ? -ENOMEM : 0;
    return notify_populate(rdl, s);
}

static void test_exporter_cannot_join(void)
{
    Machine *m = begin();
    Listener *l = listener_new();
    Error *err = NULL;

    machine_offer(m, 100, 1);
    machine_reclaim(m, 1);
    l->rdl.notify_populate = second_fails;
    g_assert_null(export(m, l, &err));
    g_assert_nonnull(err);
    g_clear_pointer(&err, error_free);
    g_assert_true(QLIST_EMPTY(&m->mmus.users));
    listener_free(l);

    l = listener_new();
    new_section();
    section.size = int128_make64(FRAME_SIZE + 512);
    g_assert_null(gph_exporter_register(&l->rdl, &section, &m->mmus, "odd",
                                        &err));
    g_assert_nonnull(err);
    error_free(err);
    listener_free(l);
    end(m);
}

/* The device goes first. */
static void test_exporter_device_exit(void)
{
    Machine *m = begin();
    Listener *l = listener_new();
    GphExporter *e = export(m, l, &error_abort);

    machine_offer(m, 100, 8);
    machine_reclaim(m, 8);
    machine_exit(m);
    g_assert_cmpuint(l->populated_frames, ==, l->discarded_frames);
    gph_exporter_unregister(e);
    listener_free(l);
    end(m);
}

/* --- another process --- */

/*
 * It maps the memfd and keeps copies of the pages that it has read, as who pins
 * them would: a page that it was not told of goes on to look like the old one.
 */
typedef struct Request {
    char what;                          /* Read, Discard, Populate */
    uint64_t frame, n;
} Request;

static void other_process(int fd, int sock)
{
    g_autofree uint8_t *copy = g_malloc(NR_FRAMES);
    g_autofree bool *copied = g_new0(bool, NR_FRAMES);
    uint8_t *ram = mmap(NULL, NR_FRAMES * FRAME_SIZE, PROT_READ, MAP_SHARED,
                        fd, 0);
    Request q;
    uint64_t f;
    int answer;

    while (read(sock, &q, sizeof(q)) == sizeof(q)) {
        answer = 0;
        for (f = q.frame; f < q.frame + q.n && f < NR_FRAMES; f++) {
            if (q.what == 'D') {
                copied[f] = false;
            } else if (q.what == 'R' && !copied[f]) {
                copy[f] = ram[f * FRAME_SIZE];
                copied[f] = true;
            }
            if (q.what == 'R') {
                answer = copy[f];
            }
        }
        if (write(sock, &answer, sizeof(answer)) != sizeof(answer)) {
            break;
        }
    }
    _exit(0);
}

static int ask(int sock, char what, uint64_t frame, uint64_t n)
{
    Request q = { what, frame, n };
    int answer;

    g_assert_cmpint(write(sock, &q, sizeof(q)), ==, sizeof(q));
    g_assert_cmpint(read(sock, &answer, sizeof(answer)), ==, sizeof(answer));
    return answer;
}

static void tell_other(Listener *l, const GphRun *run, bool populated)
{
    ask(GPOINTER_TO_INT(l->opaque), populated ? 'P' : 'D', run->start, run->n);
}

/* Frame 100 is read there, taken, and used again by the guest. */
static int read_after_reuse(Machine *m, int sock)
{
    uint8_t *page = &m->ram[100 * FRAME_SIZE];

    *page = 0x11;
    g_assert_cmpint(ask(sock, 'R', 100, 1), ==, 0x11);
    machine_offer(m, 100, 1);
    g_assert_cmpint(machine_reclaim(m, 1), ==, GPH_STOP_GOAL);
    g_assert_cmpint(*page, ==, 0);
    m->table[100] = 0;
    g_assert_cmpint(gph_access(m->engine, 100, true), ==, GPH_RESUME);
    *page = 0x22;
    return ask(sock, 'R', 100, 1);
}

static void test_exporter_process(void)
{
    Machine *m = begin();
    Listener *l = listener_new();
    GphExporter *e;
    int sock[2];
    pid_t pid;

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sock), ==, 0);
    pid = fork();
    g_assert_cmpint(pid, >=, 0);
    if (!pid) {
        close(sock[0]);
        other_process(m->fd, sock[1]);
    }
    close(sock[1]);
    /* Without being told it goes on with what is no longer there. */
    g_assert_cmphex(read_after_reuse(m, sock[0]), ==, 0x11);
    ask(sock[0], 'D', 100, 1);

    l->told = tell_other;
    l->opaque = GINT_TO_POINTER(sock[0]);
    e = export(m, l, &error_abort);
    g_assert_cmphex(read_after_reuse(m, sock[0]), ==, 0x22);
    gph_exporter_unregister(e);
    listener_free(l);
    close(sock[0]);
    g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);
    end(m);
}

void test_exporter_add(void)
{
    g_test_add_func("/gph-mmu/exporter/exact", test_exporter_exact);
    g_test_add_func("/gph-mmu/exporter/balanced-on-error",
                    test_exporter_balanced_on_error);
    g_test_add_func("/gph-mmu/exporter/untrap-in-flush",
                    test_exporter_untrap_in_flush);
    g_test_add_func("/gph-mmu/exporter/broken", test_exporter_broken);
    g_test_add_func("/gph-mmu/exporter/cannot-join",
                    test_exporter_cannot_join);
    g_test_add_func("/gph-mmu/exporter/device-exit",
                    test_exporter_device_exit);
    g_test_add_func("/gph-mmu/exporter/process", test_exporter_process);
}
