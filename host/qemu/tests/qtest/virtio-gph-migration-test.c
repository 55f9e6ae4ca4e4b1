/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QTest: migration and snapshots of virtio-gph.
 *
 * The guest's CPU is the firmware of virtio-gph-test.  What only happens in a
 * race is forced here: a migration is slowed down, or paused when the VM has
 * been stopped and the last look at the table is still to come, and the table is
 * changed then as a vCPU would have.
 */
#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include "qobject/qdict.h"
#include "qobject/qlist.h"
#include "qemu/bswap.h"
#include "standard-headers/linux/virtio_pci.h"
#include "virtio-gph-driver.h"
#include "virtio-gph-firmware.h"

#define TIMEOUT_S       60

/* Frames with different fates, 8 MiB (one page of the table) apart. */
#define STABLE          (FIRST_FRAME)
#define OFFERED         (FIRST_FRAME + 2048)
#define TAKEN           (FIRST_FRAME + 4096)
#define LATE            (FIRST_FRAME + 6144)
#define FURNISHED_END   LATE
#define BUSY            (FIRST_FRAME + 8192)

static char *dir;

static char *path_of(const char *name)
{
    return g_build_filename(dir, name, NULL);
}

static char *unix_uri(void)
{
    return g_strdup_printf("unix:%s/socket", dir);
}

/* --- the monitor --- */

static void capability(Gph *g, const char *name, bool on)
{
    qtest_qmp_assert_success(g->qts, "{ 'execute': 'migrate-set-capabilities',"
                             " 'arguments': { 'capabilities': ["
                             " { 'capability': %s, 'state': %i } ] } }",
                             name, on);
}

static void parameter(Gph *g, const char *name, uint64_t value)
{
    qtest_qmp_assert_success(g->qts, "{ 'execute': 'migrate-set-parameters',"
                             " 'arguments': { %s: %" PRIu64 " } }",
                             name, value);
}

static char *status_of(Gph *g)
{
    QDict *rsp = qtest_qmp(g->qts, "{ 'execute': 'query-migrate' }");
    QDict *ret = qdict_get_qdict(rsp, "return");
    char *status = g_strdup(qdict_get_try_str(ret, "status") ?: "none");

    if (qdict_get_try_str(ret, "error-desc")) {
        g_test_message("%s", qdict_get_str(ret, "error-desc"));
    }
    qobject_unref(rsp);
    return status;
}

static bool has_ended(const char *status)
{
    return g_str_equal(status, "completed") || g_str_equal(status, "failed") ||
           g_str_equal(status, "cancelled");
}

static void wait_status(Gph *g, const char *expected)
{
    int64_t end = g_get_monotonic_time() + TIMEOUT_S * G_USEC_PER_SEC;

    for (;;) {
        g_autofree char *status = status_of(g);

        if (g_str_equal(status, expected)) {
            return;
        }
        if (has_ended(status)) {
            g_assert_cmpstr(status, ==, expected);
        }
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(2000);
    }
}

/* A number of the migration that runs. */
static int64_t progress(Gph *g, const char *name)
{
    QDict *rsp = qtest_qmp(g->qts, "{ 'execute': 'query-migrate' }");
    QDict *ret = qdict_get_qdict(rsp, "return");
    int64_t n = 0;

    g_assert_false(has_ended(qdict_get_str(ret, "status")));
    if (qdict_haskey(ret, "ram")) {
        n = qdict_get_int(qdict_get_qdict(ret, "ram"), name);
    }
    qobject_unref(rsp);
    return n;
}

static void wait_rounds(Gph *g, int64_t rounds)
{
    int64_t end = g_get_monotonic_time() + TIMEOUT_S * G_USEC_PER_SEC;

    while (progress(g, "dirty-sync-count") < rounds) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(2000);
    }
}

static void wait_remaining(Gph *g, int64_t bytes)
{
    int64_t end = g_get_monotonic_time() + TIMEOUT_S * G_USEC_PER_SEC;

    while (progress(g, "remaining") > bytes) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(2000);
    }
}

static void listen_to(Gph *to, const char *uri)
{
    qtest_qmp_assert_success(to->qts, "{ 'execute': 'migrate-incoming',"
                             " 'arguments': { 'uri': %s,"
                             " 'exit-on-error': false } }", uri);
}

static void migrate_to(Gph *from, const char *uri)
{
    qtest_qmp_assert_success(from->qts, "{ 'execute': 'migrate',"
                             " 'arguments': { 'uri': %s } }", uri);
}

static void begin(Gph *from, Gph *to)
{
    g_autofree char *uri = unix_uri();

    listen_to(to, uri);
    migrate_to(from, uri);
}

static void end(Gph *from, Gph *to)
{
    wait_status(from, "completed");
    wait_status(to, "completed");
    take_over(to, from);
}

static void migrate(Gph *from, Gph *to)
{
    begin(from, to);
    end(from, to);
}

static bool paused(Gph *g)
{
    QDict *rsp = qtest_qmp(g->qts, "{ 'execute': 'query-status' }");
    bool running = qdict_get_bool(qdict_get_qdict(rsp, "return"), "running");

    qobject_unref(rsp);
    return !running;
}

/* --- guests --- */

/* Frames of every kind. */
static void furnish(Gph *g)
{
    fill(g, STABLE, 64);
    fill(g, TAKEN, 32);
    set_words(g, TAKEN, 16, V(0, 3));
    set_word(g, TAKEN + 16, V(3, 4));
    g_assert_cmpuint(reclaim_bytes(g, 1 << 20), ==, 24 * FRAME);
    set_word(g, TAKEN + 1, gph_make(VIRTIO_GPH_CLAIMED, 0, 3));
    /* Settled, one refilled by a device. */
    set_words(g, TAKEN + 2, 2, 0);
    fill(g, TAKEN + 2, 1);
    /* It says that it is gone, but it is not. */
    set_word(g, TAKEN + 24, gph_make(VIRTIO_GPH_DISCARDED, 0, 3));
    fill(g, OFFERED, 64);
    set_words(g, OFFERED, 8, V(0, 200));
    set_word(g, OFFERED + 8, V(3, 201));
    set_words(g, OFFERED + 16, 8, U(0));
    set_word(g, OFFERED + 32, gph_make_pending(7));
    qpci_io_writew(g->dev, g->table, g->nr_frames * 2, 202);
    qtest_qmp_assert_success(g->qts, "{ 'execute': 'x-gph-age' }");
}

static void expect_contents(Gph *g, uint64_t frame, uint64_t n)
{
    while (n--) {
        g_assert_true(has_content(g, frame++));
    }
}

static void expect_zeros(Gph *g, uint64_t frame, uint64_t n)
{
    while (n--) {
        g_assert_true(is_zero(g, frame++));
    }
}

/* What furnish() left and any migration must bring. */
static void expect_furnished(Gph *g)
{
    expect_contents(g, STABLE, 64);
    expect_contents(g, OFFERED + 24, 40);
    expect_contents(g, TAKEN + 2, 1);
    expect_contents(g, TAKEN + 24, 8);
    g_assert_cmphex(word(g, OFFERED + 32), ==, gph_make_pending(7));
    g_assert_cmphex(word(g, TAKEN), ==, gph_make(VIRTIO_GPH_DISCARDED, 0, 3));
    g_assert_cmphex(word(g, TAKEN + 1), ==,
                    gph_make(VIRTIO_GPH_CLAIMED, 0, 3));
    g_assert_cmphex(word(g, TAKEN + 2), ==, 0);
    g_assert_cmphex(word(g, TAKEN + 16), ==,
                    gph_make(VIRTIO_GPH_DISCARDED, 3, 4));
    g_assert_cmpuint(qpci_io_readw(g->dev, g->table, g->nr_frames * 2), ==,
                     202);
    g_assert_cmpuint(query(g, "age-requests"), ==, 1);
    g_assert_cmpuint(qpci_io_readl(g->dev, g->regs, g->config + 4), ==, 1);
    g_assert_true(query(g, "totals.violations.bad-owner") == 0);
}

static void expect_gone_faults(Gph *g)
{
    expect_fault(g, FW_READ, TAKEN, 1);
    expect_fault(g, FW_READ, TAKEN + 1, 1);
    expect_fault(g, FW_WRITE, TAKEN + 23, 3);
    expect_value(g, TAKEN + 2, pattern(TAKEN + 2));
    expect_value(g, TAKEN + 24, pattern(TAKEN + 24));
    expect_value(g, STABLE, pattern(STABLE));
}

static void expect_offered_gone(Gph *g)
{
    g_assert_cmphex(word(g, OFFERED), ==,
                    gph_make(VIRTIO_GPH_DISCARDED, 0, 200));
    g_assert_cmphex(word(g, OFFERED + 8), ==,
                    gph_make(VIRTIO_GPH_DISCARDED, 3, 201));
    g_assert_cmphex(word(g, OFFERED + 16), ==,
                    gph_make(VIRTIO_GPH_DISCARDED, 0, 0));
    g_assert_cmpuint(query(g, "states.volatile.pages"), ==, 0);
    g_assert_cmpuint(query(g, "states.unused.pages"), ==, 0);
    expect_fault(g, FW_READ, OFFERED, 1);
    expect_fault(g, FW_READ, OFFERED + 15, 1);
    expect_fault(g, FW_EXEC, OFFERED + 23, 0x11);
    expect_value(g, OFFERED + 24, pattern(OFFERED + 24));
    expect_zeros(g, OFFERED, 24);
}

/* The pattern of frame @frame is nowhere in @file. */
static void expect_not_in(const char *file, uint64_t frame)
{
    uint64_t value = pattern(frame);
    g_autofree char *content = NULL;
    size_t length;

    g_assert_true(g_file_get_contents(file, &content, &length, NULL));
    g_assert_null(memmem(content, length, &value, sizeof(value)));
    value = pattern(STABLE);
    g_assert_nonnull(memmem(content, length, &value, sizeof(value)));
}

/* --- tests --- */

static void live(const char *caps)
{
    g_auto(GStrv) names = g_strsplit(caps, " ", -1);
    Gph *from = start_up(), *to = start_incoming("");
    char **name;

    for (name = names; *name; name++) {
        if (**name) {
            capability(from, *name, true);
            capability(to, *name, true);
        }
    }
    furnish(from);
    migrate(from, to);
    g_assert_cmpuint(query(from, "migration.skipped-offered-bytes"), ==,
                     24 * FRAME);
    g_assert_cmpuint(query(from, "migration.skipped-discarded-bytes"), ==,
                     22 * FRAME);
    g_assert_cmpuint(query(from, "migration.skipped-bytes"), ==, 46 * FRAME);
    g_assert_cmpuint(query(to, "migration.arrived-discarded-bytes"), ==,
                     46 * FRAME);
    g_assert_cmpuint(query(to, "trapped-pages"), ==, 46);
    g_assert_cmpuint(query(to, "host-discarded-pages"), ==, 46);
    expect_furnished(to);
    expect_offered_gone(to);
    expect_gone_faults(to);
    /* The source has kept everything. */
    g_assert_cmphex(word(from, OFFERED), ==, V(0, 200));
    expect_contents(from, OFFERED, 24);
    expect_error(qtest_qmp(from->qts, "{ 'execute': 'x-gph-reclaim',"
                           " 'arguments': { 'bytes': 4096 } }"),
                 "has migrated");
    /* The destination reclaims, and goes on from there. */
    set_words(to, STABLE, 4, V(0, 0));
    g_assert_cmpuint(reclaim_bytes(to, 1 << 20), ==, 4 * FRAME);
    stop(to);
    stop(from);
}

static void test_live(gconstpointer caps)
{
    live(caps);
}

static void test_send_volatile(void)
{
    Gph *from = start(",migrate-volatile=on -only-migratable");
    Gph *to = start_incoming("");
    uint64_t f;

    driver_up(from);
    furnish(from);
    migrate(from, to);
    g_assert_cmpuint(query(from, "migration.skipped-bytes"), ==, 22 * FRAME);
    g_assert_cmpuint(query(from, "migration.skipped-offered-bytes"), ==, 0);
    g_assert_cmpuint(query(to, "migration.arrived-discarded-bytes"), ==,
                     22 * FRAME);
    expect_furnished(to);
    expect_gone_faults(to);
    expect_contents(to, OFFERED, 24);
    expect_value(to, OFFERED, pattern(OFFERED));
    for (f = FIRST_FRAME; f < NR_FRAMES; f++) {
        g_assert_cmphex(word(to, f), ==, word(from, f));
    }
    g_assert_cmpuint(reclaim_bytes(to, 1 << 20), ==, 24 * FRAME);
    stop(to);
    stop(from);
}

/* What was not sent, and not there, takes no memory at the destination. */
static void test_no_memory(void)
{
    Gph *from = start_up(), *to = start_incoming("");
    uint64_t mib = 1 << 20;

    fill(from, FIRST_FRAME, 8192);
    set_words(from, FIRST_FRAME, 4096, V(0, 0));
    g_assert_cmpuint(reclaim_bytes(from, 8 * mib), ==, 8 * mib);
    migrate(from, to);
    g_assert_cmpuint(query(from, "migration.skipped-bytes"), ==, 16 * mib);
    g_assert_cmpuint(query(to, "host-discarded-pages"), ==, 4096);
    expect_contents(to, FIRST_FRAME + 4096, 4096);
    g_assert_cmpuint(query(to, "memfd-bytes") + 16 * mib, <=,
                     RAM_MIB * mib);
    g_assert_cmpuint(query(from, "memfd-bytes") + 8 * mib, <=,
                     RAM_MIB * mib);
    stop(to);
    stop(from);
}

/*
 * The guest takes a page back without writing to it, after it was skipped; all
 * that comes then is the last sync.
 */
static void test_upgrade_at_the_end(void)
{
    Gph *from = start_up(), *to = start_incoming("");

    capability(from, "pause-before-switchover", true);
    fill(from, OFFERED, 64);
    set_words(from, OFFERED, 16, V(0, 0));
    set_word(from, OFFERED + 16, V(4, 0));
    begin(from, to);
    wait_status(from, "pre-switchover");
    g_assert_cmpuint(query(from, "migration.skipped-bytes"), ==, 32 * FRAME);
    set_word(from, OFFERED + 5, 0);
    set_word(from, OFFERED + 16, 0);
    qtest_qmp_assert_success(from->qts, "{ 'execute': 'migrate-continue',"
                             " 'arguments': { 'state': 'pre-switchover' } }");
    end(from, to);
    expect_contents(to, OFFERED + 5, 1);
    expect_contents(to, OFFERED + 16, 16);
    expect_value(to, OFFERED + 5, pattern(OFFERED + 5));
    expect_value(to, OFFERED + 31, pattern(OFFERED + 31));
    expect_fault(to, FW_READ, OFFERED + 6, 1);
    g_assert_cmpuint(query(from, "migration.skipped-bytes"), ==, 15 * FRAME);
    g_assert_cmpuint(query(from, "migration.taken-back-bytes"), ==,
                     17 * FRAME);
    stop(to);
    stop(from);
}

/* A migration that goes on until it may_end(): the CPU writes all the time. */
static void begin_endless(Gph *from, Gph *to)
{
    qtest_writeq(from->qts, FW_COUNT, 1ull << 40);
    cpu_begin(from, FW_DIRTY, BUSY * FRAME, 0);
    /*
     * A round sends more than a tenth of a second may, so there is a pause in
     * which the CPU writes; and that is more than may remain.
     */
    parameter(from, "downtime-limit", 1);
    parameter(from, "max-bandwidth", 400 << 10);
    begin(from, to);
}

static void may_end(Gph *from)
{
    parameter(from, "max-bandwidth", 1ull << 40);
    parameter(from, "downtime-limit", 2000);
}

/* Every round sees something else: offered, taken back, offered again, taken. */
static void test_rounds(void)
{
    Gph *from = start_up(), *to = start_incoming("");
    uint64_t skipped;

    fill(from, OFFERED, 64);
    fill(from, LATE, 64);
    set_words(from, OFFERED, 64, V(0, 0));
    begin_endless(from, to);
    wait_rounds(from, 3);
    skipped = query(from, "migration.skipped-bytes");
    g_assert_cmpuint(skipped, >=, 64 * FRAME);
    /* Sent as stable, then offered: what arrived must be thrown away. */
    set_words(from, LATE, 32, V(0, 0));
    /* Taken back; half of it offered again later. */
    set_words(from, OFFERED, 32, 0);
    wait_rounds(from, 6);
    set_words(from, OFFERED, 16, V(0, 1));
    /* Changed by a device. */
    fill(from, OFFERED + 64, 4);
    qtest_writeq(from->qts, (OFFERED + 16) * FRAME, 42);
    wait_rounds(from, 9);
    may_end(from);
    end(from, to);
    expect_contents(to, OFFERED + 17, 15);
    g_assert_cmphex(qtest_readq(to->qts, (OFFERED + 16) * FRAME), ==, 42);
    expect_contents(to, OFFERED + 64, 4);
    expect_contents(to, LATE + 32, 32);
    expect_zeros(to, OFFERED, 16);
    expect_zeros(to, OFFERED + 32, 32);
    expect_zeros(to, LATE, 32);
    g_assert_cmpuint(query(to, "host-discarded-pages"), >=, 80);
    g_assert_cmphex(word(to, OFFERED), ==,
                    gph_make(VIRTIO_GPH_DISCARDED, 0, 1));
    stop(to);
    stop(from);
}

/* The host takes memory when the table has been sent already. */
static void test_reclaim_meanwhile(void)
{
    Gph *from = start(",migrate-volatile=on"), *to = start_incoming("");
    uint64_t f;

    driver_up(from);
    fill(from, OFFERED, 64);
    set_words(from, OFFERED, 64, V(0, 0));
    begin_endless(from, to);
    wait_rounds(from, 4);
    g_assert_cmpuint(reclaim_bytes(from, 32 * FRAME), >=, 32 * FRAME);
    g_assert_cmpuint(query(from, "states.discarded.pages"), >=, 31);
    wait_rounds(from, 7);
    may_end(from);
    end(from, to);
    for (f = OFFERED; f < OFFERED + 64; f++) {
        g_assert_cmphex(word(to, f), ==, word(from, f));
        if (gph_gone(word(to, f))) {
            g_assert_true(is_zero(to, f));
        } else {
            g_assert_true(has_content(to, f));
        }
    }
    g_assert_cmpuint(query(to, "host-discarded-pages"), >=, 31);
    stop(to);
    stop(from);
}

/* The device is reset when the table has been sent already. */
static void test_reset_meanwhile(void)
{
    Gph *from = start(",migrate-volatile=on"), *to = start_incoming("");
    uint64_t f;

    driver_up(from);
    fill(from, OFFERED, 64);
    set_words(from, OFFERED, 64, V(0, 0));
    begin_endless(from, to);
    wait_rounds(from, 4);
    set_status(from, 0);
    wait_rounds(from, 7);
    may_end(from);
    end(from, to);
    for (f = OFFERED; f < OFFERED + 64; f++) {
        g_assert_cmphex(word(to, f), ==, 0);
    }
    expect_contents(to, OFFERED, 64);
    stop(to);
    stop(from);
}

/* A first round that takes seconds, over memory with content. */
static void begin_slow(Gph *from, Gph *to)
{
    fill(from, FIRST_FRAME + 1024, NR_FRAMES - FIRST_FRAME - 1024);
    parameter(from, "downtime-limit", 1);
    parameter(from, "max-bandwidth", 8 << 20);
    begin(from, to);
    wait_status(from, "active");
}

/* What is taken before its turn comes is not read: a hole stays a hole. */
static void test_holes_stay(void)
{
    Gph *from = start_up(), *to = start_incoming("");
    uint64_t taken = 1024 * FRAME;

    begin_slow(from, to);
    set_words(from, NR_FRAMES - 1024, 1024, V(0, 0));
    g_assert_cmpuint(reclaim_bytes(from, taken), ==, taken);
    g_assert_cmpuint(progress(from, "dirty-sync-count"), ==, 1);
    parameter(from, "max-bandwidth", 1ull << 40);
    end(from, to);
    g_assert_cmpuint(query(from, "memfd-bytes"), <=,
                     ((uint64_t)RAM_MIB << 20) - taken);
    g_assert_cmpuint(query(to, "host-discarded-pages"), ==, 1024);
    expect_contents(to, FIRST_FRAME + 1024, NR_FRAMES - FIRST_FRAME - 2048);
    stop(to);
    stop(from);
}

/* Offered when its turn comes, and taken back before the round is over. */
static void test_passed_over(void)
{
    Gph *from = start_up(), *to = start_incoming("");
    int64_t bytes = (RAM_MIB - 24) << 20;

    begin_slow(from, to);
    set_words(from, FIRST_FRAME + 2560, 1024, V(0, 0));
    wait_remaining(from, bytes);
    set_words(from, FIRST_FRAME + 2560, 1024, 0);
    g_assert_cmpuint(progress(from, "dirty-sync-count"), ==, 1);
    may_end(from);
    end(from, to);
    expect_contents(to, FIRST_FRAME + 1024, NR_FRAMES - FIRST_FRAME - 1024);
    g_assert_cmpuint(query(from, "migration.taken-back-bytes"), >=,
                     512 * FRAME);
    stop(to);
    stop(from);
}

static void expect_nothing_lost(Gph *from)
{
    g_assert_false(paused(from));
    expect_furnished(from);
    expect_gone_faults(from);
    g_assert_cmphex(word(from, OFFERED), ==, V(0, 200));
    expect_contents(from, OFFERED, 24);
    expect_value(from, OFFERED, pattern(OFFERED));
    g_assert_cmpuint(query(from, "totals.violations.bad-owner"), ==, 0);
}

static void test_cancel(void)
{
    Gph *from = start_up(), *to = start_incoming(""), *second;

    fill(from, FURNISHED_END, 4096);
    furnish(from);
    parameter(from, "max-bandwidth", 1 << 20);
    begin(from, to);
    wait_status(from, "active");
    g_usleep(300000);
    qtest_qmp_assert_success(from->qts, "{ 'execute': 'migrate_cancel' }");
    wait_status(from, "cancelled");
    stop(to);
    expect_nothing_lost(from);
    /* Also when it is nearly over. */
    parameter(from, "max-bandwidth", 1ull << 40);
    capability(from, "pause-before-switchover", true);
    to = start_incoming("");
    begin(from, to);
    wait_status(from, "pre-switchover");
    qtest_qmp_assert_success(from->qts, "{ 'execute': 'migrate_cancel' }");
    wait_status(from, "cancelled");
    stop(to);
    expect_nothing_lost(from);
    capability(from, "pause-before-switchover", false);
    second = start_incoming("");
    migrate(from, second);
    expect_furnished(second);
    expect_offered_gone(second);
    expect_contents(second, FURNISHED_END, 4096);
    stop(second);
    stop(from);
}

static void test_destination_dies(void)
{
    Gph *from = start_up(), *to = start_incoming("");

    fill(from, FURNISHED_END, 4096);
    furnish(from);
    parameter(from, "max-bandwidth", 1 << 20);
    begin(from, to);
    wait_status(from, "active");
    g_usleep(300000);
    qtest_kill_qemu(to->qts);
    wait_status(from, "failed");
    expect_nothing_lost(from);
    stop(to);
    g_assert_cmpuint(reclaim_bytes(from, 1 << 20), ==, 24 * FRAME);
    stop(from);
}

/* To a file, and from it twice. */
static void file(const char *caps)
{
    g_autofree char *path = path_of("stream");
    g_autofree char *uri = g_strconcat("file:", path, NULL);
    Gph *from = start_up(), *to;
    int i;

    if (*caps) {
        capability(from, caps, true);
    }
    furnish(from);
    migrate_to(from, uri);
    wait_status(from, "completed");
    expect_not_in(path, OFFERED);
    expect_not_in(path, OFFERED + 20);
    expect_not_in(path, TAKEN);
    for (i = 0; i < 2; i++) {
        to = start_incoming("");
        if (*caps) {
            capability(to, caps, true);
        }
        listen_to(to, uri);
        wait_status(to, "completed");
        take_over(to, from);
        expect_furnished(to);
        expect_offered_gone(to);
        expect_gone_faults(to);
        stop(to);
    }
    stop(from);
    g_unlink(path);
}

static void test_file(gconstpointer caps)
{
    file(caps);
}

static void run_job(Gph *g, const char *command, const char *arguments)
{
    int64_t end = g_get_monotonic_time() + TIMEOUT_S * G_USEC_PER_SEC;
    g_autofree char *json = g_strdup_printf("{ 'execute': '%s', 'arguments': {"
                                            " 'job-id': 'job', %s } }",
                                            command, arguments);
    bool concluded = false;
    QDict *rsp, *job;

    qtest_qmp_assert_success(g->qts, json, NULL);
    while (!concluded) {
        rsp = qtest_qmp(g->qts, "{ 'execute': 'query-jobs' }");
        job = qobject_to(QDict, qlist_peek(qdict_get_qlist(rsp, "return")));
        g_assert_nonnull(job);
        concluded = g_str_equal(qdict_get_str(job, "status"), "concluded");
        if (concluded) {
            g_assert_cmpstr(qdict_get_try_str(job, "error"), ==, NULL);
        }
        qobject_unref(rsp);
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(2000);
    }
    qtest_qmp_assert_success(g->qts, "{ 'execute': 'job-dismiss',"
                             " 'arguments': { 'id': 'job' } }");
}

static void add_disk(Gph *g, const char *path)
{
    g_autofree char *file = g_strdup_printf("'options': { 'driver': 'file',"
        " 'filename': '%s', 'size': 0 }", path);

    run_job(g, "blockdev-create", file);
    qtest_qmp_assert_success(g->qts, "{ 'execute': 'blockdev-add',"
                             " 'arguments': { 'driver': 'file',"
                             " 'node-name': 'file', 'filename': %s } }", path);
    run_job(g, "blockdev-create", "'options': { 'driver': 'qcow2',"
            " 'file': 'file', 'size': 1048576 }");
    qtest_qmp_assert_success(g->qts, "{ 'execute': 'blockdev-add',"
                             " 'arguments': { 'driver': 'qcow2',"
                             " 'node-name': 'disk', 'file': 'file' } }");
}

#define SNAPSHOT "'tag': 'one', 'vmstate': 'disk', 'devices': [ 'disk' ]"

static void test_snapshot(void)
{
    g_autofree char *path = path_of("disk");
    Gph *g = start_up();

    add_disk(g, path);
    furnish(g);
    run_job(g, "snapshot-save", SNAPSHOT);
    expect_nothing_lost(g);
    g_assert_cmpuint(query(g, "migration.skipped-bytes"), ==, 46 * FRAME);
    /* Another life, with other content where the snapshot has none. */
    set_words(g, TAKEN, 64, 0);
    fill(g, TAKEN, 64);
    qtest_writeq(g->qts, STABLE * FRAME, 1);
    set_words(g, LATE, 64, V(0, 0));
    g_assert_cmpuint(reclaim_bytes(g, 1 << 20), >=, 64 * FRAME);
    run_job(g, "snapshot-load", SNAPSHOT);
    qtest_qmp_assert_success(g->qts, "{ 'execute': 'cont' }");
    expect_furnished(g);
    expect_offered_gone(g);
    expect_gone_faults(g);
    expect_zeros(g, TAKEN, 2);
    g_assert_cmpuint(query(g, "host-discarded-pages"), ==, 46);
    stop(g);
    g_unlink(path);
}

/* The destination says no; the source goes on. */
static void refused_by(Gph *to, const char *source)
{
    Gph *from = start(source);

    driver_up(from);
    fill(from, STABLE, 64);
    begin(from, to);
    wait_status(to, "failed");
    wait_status(from, "failed");
    expect_contents(from, STABLE, 64);
    expect_value(from, STABLE, pattern(STABLE));
    stop(to);
    stop(from);
}

/* @args: all but the firmware. */
static Gph *start_other(const char *args)
{
    g_autofree char *all = g_strdup_printf("-cpu max -nodefaults -bios %s"
        " -accel tcg -incoming defer -global apic-common.vapic=off %s",
        firmware, args);
    Gph *g = g_new0(Gph, 1);

    g->qts = qtest_init(all);
    return g;
}

static void test_refuse_destination(void)
{
    refused_by(start_incoming(",x-abi=2"), "");
    refused_by(start_other("-machine q35,memory-backend=ram -m 64"
                           " -object memory-backend-memfd,id=ram,size=64M,"
                           "share=on"), "");
    refused_by(start_other("-machine q35,memory-backend=ram -m 128"
                           " -object memory-backend-memfd,id=ram,size=128M,"
                           "share=on -device virtio-gph-pci,id=gph,addr=5"),
               "");
}

static void expect_no_migration(Gph *g, const char *reason)
{
    expect_error(qtest_qmp(g->qts, "{ 'execute': 'migrate', 'arguments': {"
                           " 'uri': 'exec:cat >/dev/null' } }"), reason);
    g_assert_false(paused(g));
    expect_contents(g, STABLE, 64);
}

/* False if this host cannot do it anyway. */
static bool try_capability(Gph *g, const char *name)
{
    QDict *rsp = qtest_qmp(g->qts, "{ 'execute': 'migrate-set-capabilities',"
                           " 'arguments': { 'capabilities': ["
                           " { 'capability': %s, 'state': true } ] } }", name);
    bool ok = qdict_haskey(rsp, "return");

    if (!ok) {
        g_test_message("%s: %s", name, qdict_get_str(
                           qdict_get_qdict(rsp, "error"), "desc"));
    }
    qobject_unref(rsp);
    return ok;
}

static void test_refuse_source(void)
{
    Gph *g = start_up();

    fill(g, STABLE, 64);
    capability(g, "postcopy-ram", true);
    expect_no_migration(g, "does not support postcopy");
    capability(g, "postcopy-ram", false);
    if (try_capability(g, "background-snapshot")) {
        expect_no_migration(g, "does not support a background snapshot");
        capability(g, "background-snapshot", false);
    } else {
        g_test_incomplete("no background snapshots on this host");
    }
    qtest_qmp_assert_success(g->qts, "{ 'execute': 'migrate-set-parameters',"
                             " 'arguments': { 'mode': 'cpr-reboot' } }");
    expect_no_migration(g, "does not support CPR");
    stop(g);
}

static void test_refuse_postcopy_destination(void)
{
    Gph *to = start_incoming("");
    QDict *rsp = qtest_qmp(to->qts, "{ 'execute': 'migrate-set-capabilities',"
                           " 'arguments': { 'capabilities': ["
                           " { 'capability': 'postcopy-ram',"
                           " 'state': true } ] } }");
    const char *why = qdict_get_str(qdict_get_qdict(rsp, "error"), "desc");

    if (strstr(why, "Userfaultfd not available")) {
        g_test_skip("no userfaultfd on this host");
        qobject_unref(rsp);
    } else {
        expect_error(rsp, "virtio-gph does not support postcopy");
    }
    stop(to);
}

/* --- streams that lie --- */

/* Where @bytes stand in @content for the first time, or the last. */
static char *find(char *content, size_t length, const void *bytes, size_t n,
                  bool last)
{
    char *at, *found = memmem(content, length, bytes, n);

    g_assert_nonnull(found);
    while (last && (at = memmem(found + 1, content + length - (found + 1),
                                bytes, n))) {
        found = at;
    }
    return found;
}

static void load_changed(const char *path, bool good)
{
    g_autofree char *uri = g_strconcat("file:", path, NULL);
    Gph *to = start_incoming("");

    listen_to(to, uri);
    wait_status(to, good ? "completed" : "failed");
    stop(to);
}

static void write_changed(const char *path, const char *content,
                          size_t length, char *at, char byte)
{
    char was = *at;

    *at = byte;
    g_assert_true(g_file_set_contents(path, content, length, NULL));
    *at = was;
}

static void test_bad_stream(void)
{
    g_autofree char *path = path_of("stream");
    g_autofree char *uri = g_strconcat("file:", path, NULL);
    g_autofree char *content = NULL;
    Gph *from = start_up();
    uint64_t nr = cpu_to_be64(NR_FRAMES);
    char *layout, *device;
    size_t length;
    uint32_t i;

    /* So that the field of the device can be found. */
    for (i = 0; i < 0x1d7; i++) {
        qtest_qmp_assert_success(from->qts, "{ 'execute': 'x-gph-age' }");
    }
    furnish(from);
    migrate_to(from, uri);
    wait_status(from, "completed");
    g_assert_true(g_file_get_contents(path, &content, &length, NULL));
    stop(from);

    load_changed(path, true);
    layout = find(content, length, "virtio-gph-early", 16, false);
    layout = find(layout, 200, &nr, sizeof(nr), false);
    write_changed(path, content, length, layout, 1);
    load_changed(path, false);
    write_changed(path, content, length, layout + 7, 1);
    load_changed(path, false);
    write_changed(path, content, length, layout - 1, 9);        /* abi */
    load_changed(path, false);
    write_changed(path, content, length, layout + 15, 1);
    load_changed(path, false);

    /* age_request 0x1d8, then whether volatile memory was sent, then bits */
    device = find(content, length, "\0\0\1\xd8\0", 5, true);
    write_changed(path, content, length, device + 4, 2);
    load_changed(path, false);
    for (i = 0; i < NR_FRAMES / 8; i++) {
        device[5 + i] = -1;
    }
    write_changed(path, content, length, device, 0);
    load_changed(path, true);
    g_unlink(path);
}

int main(int argc, char **argv)
{
    int ret;

    g_test_init(&argc, &argv, NULL);
    dir = g_dir_make_tmp("virtio-gph-migration-XXXXXX", NULL);
    g_assert_nonnull(dir);
    make_firmware();
    qtest_add_data_func("/virtio-gph/migration/live", "", test_live);
    qtest_add_data_func("/virtio-gph/migration/live/multifd", "multifd",
                        test_live);
    qtest_add_data_func("/virtio-gph/migration/live/xbzrle", "xbzrle",
                        test_live);
    qtest_add_data_func("/virtio-gph/migration/live/ignore-shared",
                        "x-ignore-shared", test_live);
    qtest_add_data_func("/virtio-gph/migration/live/auto-converge",
                        "auto-converge", test_live);
    qtest_add_func("/virtio-gph/migration/send-volatile", test_send_volatile);
    qtest_add_func("/virtio-gph/migration/no-memory", test_no_memory);
    qtest_add_func("/virtio-gph/migration/upgrade-at-the-end",
                   test_upgrade_at_the_end);
    qtest_add_func("/virtio-gph/migration/rounds", test_rounds);
    qtest_add_func("/virtio-gph/migration/reclaim-meanwhile",
                   test_reclaim_meanwhile);
    qtest_add_func("/virtio-gph/migration/reset-meanwhile",
                   test_reset_meanwhile);
    qtest_add_func("/virtio-gph/migration/holes-stay", test_holes_stay);
    qtest_add_func("/virtio-gph/migration/passed-over", test_passed_over);
    qtest_add_func("/virtio-gph/migration/cancel", test_cancel);
    qtest_add_func("/virtio-gph/migration/destination-dies",
                   test_destination_dies);
    qtest_add_data_func("/virtio-gph/migration/file", "", test_file);
    qtest_add_data_func("/virtio-gph/migration/file/mapped-ram", "mapped-ram",
                        test_file);
    qtest_add_func("/virtio-gph/migration/snapshot", test_snapshot);
    qtest_add_func("/virtio-gph/migration/refuse-destination",
                   test_refuse_destination);
    qtest_add_func("/virtio-gph/migration/refuse-source", test_refuse_source);
    qtest_add_func("/virtio-gph/migration/refuse-postcopy-destination",
                   test_refuse_postcopy_destination);
    qtest_add_func("/virtio-gph/migration/bad-stream", test_bad_stream);
    ret = g_test_run();
    remove_firmware();
    g_rmdir(dir);
    g_free(dir);
    return ret;
}
