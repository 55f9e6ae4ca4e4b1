/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QTest: virtio-gph and a host that is short of memory.
 *
 * The host is a directory: x-pressure-root makes the device read cgroup, PSI
 * and /proc files below it.  Usage falls by what the device takes, as it would.
 */
#include "qemu/osdep.h"
#include "qobject/qdict.h"
#include "qobject/qlist.h"
#include "standard-headers/linux/virtio_config.h"
#include "virtio-gph-driver.h"
#include "virtio-gph-pressure.h"

#define MIB_BYTES       (UINT64_C(1) << 20)
#define BLOCKS          12              /* of 2 MiB, volatile at the start */

static char *root;

/* --- a host --- */

static void host_file(const char *path, const char *text)
{
    g_autofree char *full = g_build_filename(root, path, NULL);
    g_autofree char *dir = g_path_get_dirname(full);

    g_assert_cmpint(g_mkdir_with_parents(dir, 0700), ==, 0);
    g_assert_true(g_file_set_contents(full, text, -1, NULL));
}

/* In place: the device has it open.  Always as long, so never half written. */
static void host_number(const char *path, uint64_t bytes)
{
    g_autofree char *full = g_build_filename(root, path, NULL);
    g_autofree char *text = g_strdup_printf("%-20" PRIu64 "\n", bytes);
    int fd = open(full, O_WRONLY | O_CREAT, 0600);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(pwrite(fd, text, strlen(text), 0), ==, strlen(text));
    close(fd);
}

static void used_mib(uint64_t mib)
{
    host_number("/cg/vm/memory.current", mib * MIB_BYTES);
}

static void limit_mib(uint64_t mib)
{
    host_number("/cg/vm/memory.max", mib * MIB_BYTES);
}

static void make_host(void)
{
    root = g_dir_make_tmp("virtio-gph-test-XXXXXX", NULL);
    g_assert_nonnull(root);
}

static void make_full_host(void)
{
    make_host();
    host_file("/proc/self/cgroup", "0::/vm\n");
    host_file("/proc/self/mountinfo",
              "40 30 0:38 / /cg rw - cgroup2 cgroup2 rw\n");
    host_file("/proc/meminfo", "MemTotal: 67108864 kB\n"
              "MemAvailable: 62914560 kB\n");
    host_file("/cg/vm/memory.pressure", "");
    host_file("/cg/vm/memory.high", "max\n");
    host_file("/cg/vm/memory.stat", "inactive_file 0\n");
    host_file("/cg/vm/memory.events", "high 0\n");
    used_mib(50);
    limit_mib(1024);
}

static void remove_host(void)
{
    g_autofree char *command = g_strdup_printf("rm -rf '%s'", root);

    g_assert_cmpint(system(command), ==, 0);
    g_free(root);
}

/* --- the device --- */

static Gph *start_on_host(const char *extra)
{
    g_autofree char *args = g_strdup_printf(
        ",pressure=on,x-pressure-floor=1M,x-pressure-root=%s%s", root, extra);

    return start(args);
}

static void offer(Gph *g)
{
    unsigned i;

    /* Some is not offered, so that what is can go and the floor is kept. */
    fill(g, FIRST_FRAME, (BLOCKS + 3) * 512);
    for (i = 0; i < BLOCKS; i++) {
        set_word(g, FIRST_FRAME + i * 512, V(9, 0));
    }
}

static QDict *pressure(Gph *g)
{
    QDict *ret = qtest_qmp_assert_success_ref(g->qts,
                                              "{ 'execute': 'x-query-gph' }");
    QDict *p = qobject_ref(qdict_get_qdict(ret, "pressure"));

    qobject_unref(ret);
    return p;
}

static char *text_member(Gph *g, const char *name)
{
    QDict *p = pressure(g);
    char *text = g_strdup(qdict_get_try_str(p, name) ?: "");

    qobject_unref(p);
    return text;
}

static bool flag(Gph *g, const char *name)
{
    QDict *p = pressure(g);
    bool value = qdict_get_bool(p, name);

    qobject_unref(p);
    return value;
}

static bool has_next_look(Gph *g)
{
    QDict *p = pressure(g);
    bool value = qdict_haskey(p, "next-look-us");

    qobject_unref(p);
    return value;
}

#define SET_PRESSURE(g, args) \
    qtest_qmp((g)->qts, "{ 'execute': 'x-gph-set-pressure'," \
              " 'arguments': { " args " } }")

#define SET_PRESSURE_OK(g, args) \
    qtest_qmp_assert_success((g)->qts, "{ 'execute': 'x-gph-set-pressure'," \
                             " 'arguments': { " args " } }")

static uint64_t discarded(Gph *g)
{
    return query(g, "totals.discarded-bytes");
}

/* Let it look at least @n times; it is asked to, if it would not. */
static void let_it_look(Gph *g, unsigned n)
{
    uint64_t until = query(g, "pressure.looks") + n;
    unsigned i;

    for (i = 0; query(g, "pressure.looks") < until; i++) {
        g_assert_cmpuint(i, <, 2000);
        if (i % 50 == 0) {
            SET_PRESSURE_OK(g, "");
        }
        g_usleep(2000);
    }
    /* It may have been asked once too often. */
    g_usleep(200000);
}

/* Usage is @mib less what was taken, until the device is content. */
static void press(Gph *g, uint64_t mib)
{
    uint64_t before = discarded(g);
    uint64_t episodes = query(g, "pressure.episodes");
    unsigned i;

    used_mib(mib);
    SET_PRESSURE_OK(g, "");
    for (i = 0; i < 2000; i++) {
        host_number("/cg/vm/memory.current",
                    mib * MIB_BYTES - (discarded(g) - before));
        if (query(g, "pressure.episodes") > episodes && !flag(g, "active")) {
            return;
        }
        g_usleep(2000);
    }
    g_assert_not_reached();
}

/* --- tests --- */

/* What is not there is said to be not there, and the rest works. */
static void test_sources(void)
{
    g_autofree char *why = NULL, *why2 = NULL, *why3 = NULL, *why4 = NULL;
    g_autofree char *psi = NULL, *psi2 = NULL, *cgroup = NULL, *info = NULL;
    Gph *g;

    make_host();
    g = start_on_host("");
    driver_up(g);
    let_it_look(g, 1);
    why = text_member(g, "cgroup-missing");
    g_assert_cmpstr(why, ==, "QEMU is not in a cgroup v2");
    psi = text_member(g, "psi-missing");
    g_assert_true(g_str_has_prefix(psi, "no trigger could be set"));
    g_assert_false(has_next_look(g));
    host_file("/proc/self/cgroup", "0::/vm\n");
    SET_PRESSURE_OK(g, "");
    why2 = text_member(g, "cgroup-missing");
    g_assert_cmpstr(why2, ==, "cgroup v2 is not mounted");
    host_file("/proc/self/mountinfo",
              "40 30 0:38 /other /cg rw - cgroup2 cgroup2 rw\n");
    SET_PRESSURE_OK(g, "");
    why3 = text_member(g, "cgroup-missing");
    g_assert_nonnull(strstr(why3, "outside"));
    host_file("/proc/self/mountinfo",
              "40 30 0:38 / /cg rw - cgroup2 cgroup2 rw\n");
    host_file("/proc/pressure/memory", "");
    SET_PRESSURE_OK(g, "");
    why4 = text_member(g, "cgroup-missing");
    g_assert_nonnull(strstr(why4, "memory controller is not enabled"));
    psi2 = text_member(g, "psi");
    g_assert_true(g_str_has_suffix(psi2, "/proc/pressure/memory"));
    host_file("/cg/vm/memory.max", "max\n");
    host_file("/cg/vm/memory.current", "1\n");
    SET_PRESSURE_OK(g, "");
    cgroup = text_member(g, "cgroup");
    g_assert_true(g_str_has_suffix(cgroup, "/cg/vm"));
    info = qtest_hmp(g->qts, "info gph");
    g_assert_nonnull(strstr(info, "pressure: none, episodes 0"));
    stop(g);
    remove_host();
}

/* Far from any limit: no scan, no request to the guest, hardly a look. */
static void test_quiet(void)
{
    uint64_t scans, looks;
    Gph *g;

    make_full_host();
    g = start_on_host("");
    g_assert_cmpuint(query(g, "pressure.looks"), ==, 0);
    driver_up(g);
    offer(g);
    let_it_look(g, 1);
    scans = query(g, "totals.scans");
    looks = query(g, "pressure.looks");
    g_assert_cmpuint(query(g, "pressure.next-look-us"), >, 5000000);
    g_usleep(1000000);
    g_assert_cmpuint(query(g, "totals.scans"), ==, scans);
    g_assert_cmpuint(query(g, "pressure.looks"), ==, looks);
    g_assert_cmpuint(query(g, "age-requests"), ==, 0);
    g_assert_cmpuint(discarded(g), ==, 0);
    /* In reach of a limit there are looks, but still nothing else. */
    limit_mib(90);
    let_it_look(g, 3);
    g_assert_cmpuint(query(g, "pressure.next-look-us"), <=, 250000);
    g_assert_cmpuint(query(g, "totals.scans"), ==, scans);
    g_assert_false(flag(g, "active"));
    /* No driver: nothing to look for. */
    set_status(g, 0);
    g_usleep(300000);
    g_assert_false(has_next_look(g));
    stop(g);
    remove_host();
}

/* Taken: from below 10 % up to 15 %, not more than a step too much. */
static void test_hysteresis(void)
{
    uint64_t got;
    QDict *event;
    Gph *g;

    make_full_host();
    limit_mib(100);
    g = start_on_host("");
    driver_up(g);
    offer(g);
    /* Until it has forgotten how fast that went. */
    let_it_look(g, 8);
    press(g, 93);
    got = discarded(g);
    g_assert_cmpuint(got, >=, 8 * MIB_BYTES);
    g_assert_cmpuint(got, <=, 12 * MIB_BYTES);
    g_assert_cmpuint(query(g, "pressure.taken-bytes"), ==, got);
    g_assert_cmpuint(query(g, "pressure.episodes"), ==, 1);
    event = qtest_qmp_eventwait_ref(g->qts, "X_GPH_PRESSURE");
    g_assert_true(qdict_get_bool(qdict_get_qdict(event, "data"), "active"));
    qobject_unref(event);
    /* Between start and stop nothing begins. */
    used_mib(88);
    let_it_look(g, 3);
    g_assert_cmpuint(discarded(g), ==, got);
    /* memory.high counts as memory.max does. */
    limit_mib(1024);
    host_number("/cg/vm/memory.high", 100 * MIB_BYTES);
    press(g, 92);
    g_assert_cmpuint(discarded(g), >=, got + 7 * MIB_BYTES - 4096);
    stop(g);
    remove_host();
}

/* The host's memory, and file cache that the kernel would drop first. */
static void test_host(void)
{
    Gph *g;

    make_full_host();
    limit_mib(100);
    host_file("/cg/vm/memory.stat", "anon 1\ninactive_file 20971520\n");
    g = start_on_host("");
    driver_up(g);
    offer(g);
    used_mib(93);
    let_it_look(g, 3);
    g_assert_cmpuint(discarded(g), ==, 0);
    host_file("/proc/meminfo", "MemTotal: 67108864 kB\n"
              "MemAvailable: 12582912 kB\n");
    let_it_look(g, 3);
    g_assert_cmpuint(discarded(g), >, 0);
    g_assert_true(flag(g, "active"));
    stop(g);
    remove_host();
}

static void test_floor_and_off(void)
{
    uint64_t resident;
    Gph *g;

    make_full_host();
    limit_mib(100);
    g = start_on_host("");
    driver_up(g);
    SET_PRESSURE_OK(g, "'enabled': false");
    offer(g);
    used_mib(99);
    g_usleep(300000);
    g_assert_cmpuint(discarded(g), ==, 0);
    g_assert_false(has_next_look(g));
    resident = query(g, "memfd-bytes");
    qtest_qmp_assert_success(g->qts, "{ 'execute': 'x-gph-set-pressure',"
                             " 'arguments': { 'enabled': true, 'floor': %"
                             PRIu64 " } }", resident - 5 * MIB_BYTES);
    let_it_look(g, 10);
    g_assert_true(flag(g, "critical"));
    g_assert_cmpuint(discarded(g), >, 0);
    g_assert_cmpuint(discarded(g), <=, 5 * MIB_BYTES);
    /* Pinned memory stays, too. */
    SET_PRESSURE_OK(g, "'floor': 1048576, 'enabled': false");
    g_usleep(100000);
    resident = discarded(g);
    qtest_qmp_assert_success(g->qts, "{ 'execute': 'qom-set', 'arguments': {"
                             " 'path': '/machine/peripheral/gph',"
                             " 'property': 'x-pin', 'value': true } }");
    SET_PRESSURE_OK(g, "'enabled': true");
    let_it_look(g, 2);
    g_assert_cmpuint(discarded(g), ==, resident);
    stop(g);
    remove_host();
}

/* All is taken and it is not enough: the guest is asked, once. */
static void test_empty(void)
{
    uint64_t scans;
    Gph *g;

    make_full_host();
    limit_mib(100);
    g = start_on_host("");
    driver_up(g);
    offer(g);
    used_mib(99);
    let_it_look(g, 20);
    g_assert_cmpuint(discarded(g), ==, BLOCKS * 2 * MIB_BYTES);
    g_assert_cmpuint(query(g, "age-requests"), ==, 1);
    g_assert_cmpuint(query(g, "pressure.ageings"), ==, 1);
    scans = query(g, "totals.scans");
    g_usleep(1000000);
    g_assert_cmpuint(query(g, "totals.scans"), <=, scans + 3);
    g_assert_cmpuint(query(g, "age-requests"), ==, 1);
    stop(g);
    remove_host();
}

static void test_rate(void)
{
    Gph *g;

    make_full_host();
    limit_mib(100);
    g = start_on_host(",x-pressure-rate=2M");
    driver_up(g);
    offer(g);
    used_mib(99);
    /* The first second's worth is there at once. */
    g_usleep(1500000);
    g_assert_cmpuint(discarded(g), >=, 2 * MIB_BYTES);
    g_assert_cmpuint(discarded(g), <=, 7 * MIB_BYTES);
    stop(g);
    remove_host();
}

static void test_settings(void)
{
    Gph *g;

    make_full_host();
    g = start_on_host(",x-pressure-cgroup=12,x-pressure-host=25,"
                      "x-pressure-critical=3,x-pressure-hysteresis=4,"
                      "x-pressure-step=7,x-pressure-backoff=60,"
                      "x-pressure-rate=5M");
    g_assert_cmpuint(query(g, "pressure.settings.cgroup-percent"), ==, 12);
    g_assert_cmpuint(query(g, "pressure.settings.host-percent"), ==, 25);
    g_assert_cmpuint(query(g, "pressure.settings.critical-percent"), ==, 3);
    g_assert_cmpuint(query(g, "pressure.settings.hysteresis-percent"), ==, 4);
    g_assert_cmpuint(query(g, "pressure.settings.step-percent"), ==, 7);
    g_assert_cmpuint(query(g, "pressure.settings.backoff-percent"), ==, 60);
    g_assert_cmpuint(query(g, "pressure.settings.rate"), ==, 5 * MIB_BYTES);
    g_assert_cmpuint(query(g, "pressure.settings.floor"), ==, MIB_BYTES);
    expect_error(SET_PRESSURE(g, "'rate': 5"), "'rate' must be at least");
    expect_error(SET_PRESSURE(g, "'floor': 5, 'cgroup-percent': 91"),
                 "'cgroup-percent' must be 1 to 90");
    expect_error(SET_PRESSURE(g, "'critical-percent': 12"),
                 "'critical-percent' must be at least 1, and less");
    expect_error(SET_PRESSURE(g, "'step-percent': 101"), "'step-percent'");
    expect_error(SET_PRESSURE(g, "'step-percent': -1"), "step-percent");
    expect_error(SET_PRESSURE(g, "'nonsense': 1"), "nonsense");
    g_assert_cmpuint(query(g, "pressure.settings.floor"), ==, MIB_BYTES);
    SET_PRESSURE_OK(g, "'floor': 5, 'cgroup-percent': 15, 'host-percent': 16,"
                    " 'critical-percent': 4, 'hysteresis-percent': 6,"
                    " 'step-percent': 8, 'backoff-percent': 70,"
                    " 'rate': 7340032");
    g_assert_cmpuint(query(g, "pressure.settings.floor"), ==, 5);
    g_assert_cmpuint(query(g, "pressure.settings.cgroup-percent"), ==, 15);
    g_assert_cmpuint(query(g, "pressure.settings.host-percent"), ==, 16);
    g_assert_cmpuint(query(g, "pressure.settings.critical-percent"), ==, 4);
    g_assert_cmpuint(query(g, "pressure.settings.hysteresis-percent"), ==, 6);
    g_assert_cmpuint(query(g, "pressure.settings.step-percent"), ==, 8);
    g_assert_cmpuint(query(g, "pressure.settings.backoff-percent"), ==, 70);
    g_assert_cmpuint(query(g, "pressure.settings.rate"), ==, 7 * MIB_BYTES);
    stop(g);
    remove_host();
}

static void test_no_device(void)
{
    Gph g = { .qts = qtest_init("-machine none") };

    expect_error(SET_PRESSURE(&g, "'enabled': true"), "no virtio-gph device");
    qtest_quit(g.qts);
}

void add_pressure_tests(void)
{
    qtest_add_func("/virtio-gph/pressure/sources", test_sources);
    qtest_add_func("/virtio-gph/pressure/quiet", test_quiet);
    qtest_add_func("/virtio-gph/pressure/hysteresis", test_hysteresis);
    qtest_add_func("/virtio-gph/pressure/host", test_host);
    qtest_add_func("/virtio-gph/pressure/floor-and-off", test_floor_and_off);
    qtest_add_func("/virtio-gph/pressure/empty", test_empty);
    qtest_add_func("/virtio-gph/pressure/rate", test_rate);
    qtest_add_func("/virtio-gph/pressure/settings", test_settings);
    qtest_add_func("/virtio-gph/pressure/no-device", test_no_device);
}
