/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QTest: virtio-gph, driven by hand.
 *
 * The test plays the driver (it writes the table through the BAR), and a small
 * firmware plays the guest's CPU, so that trapped frames and discard faults are
 * the real ones of TCG, or of KVM with GPH_QTEST_ACCEL=kvm.
 *
 * GPH_SEED=n plays one seed of the fuzzed table only.
 */
#include "qemu/osdep.h"
#include <sys/resource.h>
#include "qobject/qdict.h"
#include "standard-headers/linux/virtio_config.h"
#include "virtio-gph-driver.h"
#include "virtio-gph-firmware.h"
#include "virtio-gph-pressure.h"

/* --- tests --- */

static void expect_refusal(const char *args, const char *expected)
{
    g_autofree char *out = NULL, *err = NULL;
    g_autofree char *line = g_strdup_printf(
        "timeout 30 %s -display none -nodefaults -S "
        "-global apic-common.vapic=off "
        "-bios %s -m %d %s",
        g_getenv("QTEST_QEMU_BINARY"), firmware, RAM_MIB, args);
    int status;

    g_assert_true(g_spawn_command_line_sync(line, &out, &err, &status, NULL));
    g_test_message("%s", err);
    g_assert_true(WIFEXITED(status));
    g_assert_cmpint(WEXITSTATUS(status), ==, 1);
    g_assert_nonnull(strstr(err, expected));
}

#define Q35     "-machine q35,memory-backend=ram "
#define MEMFD   "-object memory-backend-memfd,id=ram,size=64M"
#define GPH     " -device virtio-gph-pci"

static bool may_lock_memory(void)
{
    struct rlimit limit;

    return !geteuid() || (!getrlimit(RLIMIT_MEMLOCK, &limit) &&
                          limit.rlim_cur == RLIM_INFINITY);
}

static void test_refuse(void)
{
    expect_refusal("-machine q35 -accel tcg" GPH,
                   "cannot take memory back from a memory-backend-ram");
    expect_refusal("-machine q35 -accel tcg -numa node,memdev=ram "
                   MEMFD GPH, "needs one backend");
    expect_refusal(Q35 "-accel tcg " MEMFD ",share=off" GPH, "share=on");
    expect_refusal(Q35 "-accel tcg -object memory-backend-file,id=ram,"
                   "size=64M,share=on,mem-path=/dev/shm" GPH,
                   "cannot take memory back from a memory-backend-file");
    expect_refusal(Q35 "-accel tcg " MEMFD ",share=on" GPH GPH,
                   "only one virtio-gph device");
    if (may_lock_memory()) {
        expect_refusal(Q35 "-accel tcg " MEMFD ",share=on -overcommit mem-lock=on"
                       GPH, "mem-lock");
    }
    expect_refusal(Q35 "-accel tcg " MEMFD ",share=on" GPH ",x-pin=on",
                   "RAM discards are disabled");
    expect_refusal(Q35 "-accel qtest " MEMFD ",share=on" GPH,
                   "no secondary MMU for accelerator 'qtest'");
    expect_refusal(Q35 "-accel tcg " MEMFD ",share=on" GPH ",x-torture=9999",
                   "x-torture must be");
    expect_refusal(Q35 "-accel tcg " MEMFD ",share=on" GPH
                   ",x-pressure-critical=10", "'critical-percent' must be");
    expect_refusal(Q35 "-accel tcg " MEMFD ",share=on" GPH
                   ",modern-pio-notify=on", "modern-pio-notify must be off");
}

#define RECLAIM(g, args) \
    qtest_qmp((g)->qts, "{ 'execute': 'x-gph-reclaim'," \
              " 'arguments': { " args " } }")

static void test_arguments(void)
{
    Gph *g = start("");

    g_assert_cmpuint(query(g, "nr-frames"), ==, NR_FRAMES);
    expect_error(RECLAIM(g, "'bytes': 4096"), "driver is not up");
    expect_error(qtest_qmp(g->qts, "{ 'execute': 'x-gph-age' }"),
                 "driver is not up");
    driver_up(g);
    expect_error(RECLAIM(g, "'bytes': 0"), "must not be 0");
    expect_error(RECLAIM(g, "'bytes': 1, 'max-time-us': 0"), "max-time-us");
    expect_error(RECLAIM(g, "'bytes': 1, 'max-time-us': 60000001"),
                 "max-time-us");
    set_word(g, FIRST_FRAME, V(0, 0));
    g_assert_cmpuint(reclaim_bytes(g, UINT64_MAX), ==, FRAME);
    expect_error(qtest_qmp(g->qts, "{ 'execute': 'device_add', 'arguments': {"
                           " 'driver': 'virtio-gph-pci' } }"),
                 "'virtio-gph-pci' does not support hotplug");
    set_status(g, VIRTIO_CONFIG_S_FAILED | VIRTIO_CONFIG_S_DRIVER_OK);
    expect_error(RECLAIM(g, "'bytes': 4096"), "driver is not up");
    stop(g);
}

static void test_no_device(void)
{
    Gph g = { .qts = qtest_init("-machine none") };

    expect_error(qtest_qmp(g.qts, "{ 'execute': 'x-query-gph' }"),
                 "no virtio-gph device");
    expect_error(RECLAIM(&g, "'bytes': 1"), "no virtio-gph device");
    qtest_quit(g.qts);
}

static void test_config(void)
{
    Gph *g = start(",x-abi=77");
    uint64_t offset;

    g_assert_cmpuint(qpci_io_readl(g->dev, g->regs, g->config), ==, 77);
    g_assert_cmpuint(qpci_io_readq(g->dev, g->regs, g->config +
                     offsetof(struct virtio_gph_config, nr_frames)), ==,
                     NR_FRAMES);
    offset = qpci_io_readq(g->dev, g->regs, g->config +
                           offsetof(struct virtio_gph_config, control_offset));
    g_assert_cmpuint(offset, ==, NR_FRAMES * 2);
    stop(g);
}

static void test_info(void)
{
    Gph *g = start("");
    g_autofree char *before = qtest_hmp(g->qts, "info gph");
    g_autofree char *after = NULL;

    g_assert_nonnull(strstr(before, "driver: not up, inhibited: no"));
    driver_up(g);
    set_word(g, FIRST_FRAME, V(1, 0));
    after = qtest_hmp(g->qts, "info gph");
    g_assert_nonnull(strstr(after, "driver: up"));
    g_assert_nonnull(strstr(after, " 8192 bytes"));
    stop(g);
}

/* The accelerator is told of each batch, and x-query-gph shows it. */
static void test_secondary_mmus(void)
{
    Gph *g = start_up();
    g_autofree char *before = qtest_hmp(g->qts, "info gph");
    QDict *rsp, *mmu;
    QList *mmus;

    g_assert_nonnull(strstr(before, "secondary MMU tcg: 0 flushes"));
    set_word(g, FIRST_FRAME, V(1, 0));
    qobject_unref(reclaim(g, 1 << 20));
    rsp = qtest_qmp(g->qts, "{ 'execute': 'x-query-gph' }");
    mmus = qdict_get_qlist(qdict_get_qdict(rsp, "return"), "secondary-mmus");
    g_assert_cmpuint(qlist_size(mmus), ==, 1);
    mmu = qobject_to(QDict, qlist_peek(mmus));
    g_assert_cmpstr(qdict_get_str(mmu, "name"), ==, "tcg");
    g_assert_cmpint(qdict_get_int(mmu, "flushes"), ==, 1);
    g_assert_false(qdict_haskey(mmu, "broken"));
    qobject_unref(rsp);
    stop(g);
}

static void test_age(void)
{
    Gph *g = start_up();
    uint32_t offset = g->config + offsetof(struct virtio_gph_config,
                                           age_request);

    qpci_io_readb(g->dev, g->regs, g->isr);
    g_assert_cmpuint(qpci_io_readl(g->dev, g->regs, offset), ==, 0);
    qtest_qmp_assert_success(g->qts, "{ 'execute': 'x-gph-age' }");
    g_assert_cmpuint(qpci_io_readl(g->dev, g->regs, offset), ==, 1);
    g_assert_cmpuint(qpci_io_readb(g->dev, g->regs, g->isr) & 2, ==, 2);
    stop(g);
}

/* What is offered goes, all of it and nothing else, and the host has it. */
static void test_reclaim(void)
{
    Gph *g = start_up();
    uint64_t f, before;
    QDict *ret;

    fill(g, FIRST_FRAME, 1024);
    set_word(g, FIRST_FRAME, V(9, 1));
    set_word(g, FIRST_FRAME + 520, U(3));
    set_word(g, FIRST_FRAME + 600, gph_make_pending(3));
    set_word(g, 100, V(0, 0));          /* below 1 MiB: not worth taking */
    before = query(g, "memfd-bytes");
    g_assert_cmpuint(query(g, "states.volatile.pages"), ==, 512);
    g_assert_cmpuint(query(g, "states.stable.pages"), ==,
                     NR_FRAMES - 256 - 520);
    g_assert_cmpuint(query(g, "states.unused.bytes"), ==, 8 * FRAME);
    g_assert_cmpuint(query(g, "takeable-by-run.blocks-2m"), ==, 512 * FRAME);
    ret = reclaim(g, 1 << 30);
    g_assert_cmpstr(qdict_get_str(ret, "stopped"), ==, "empty");
    g_assert_cmpuint(qdict_get_int(ret, "discarded-bytes"), ==, 520 * FRAME);
    g_assert_cmpuint(qdict_get_int(ret, "freed-bytes"), ==, 520 * FRAME);
    qobject_unref(ret);
    g_assert_cmpuint(before - query(g, "memfd-bytes"), ==, 520 * FRAME);
    g_assert_cmphex(word(g, FIRST_FRAME), ==,
                    gph_make(VIRTIO_GPH_DISCARDED, 9, 1));
    g_assert_cmphex(word(g, FIRST_FRAME + 600), ==, gph_make_pending(3));
    for (f = FIRST_FRAME; f < FIRST_FRAME + 1024; f++) {
        uint64_t i = f - FIRST_FRAME;

        g_assert_true(i < 512 || (i >= 520 && i < 528) ? is_zero(g, f) :
                      has_content(g, f));
    }
    g_assert_cmpuint(query(g, "totals.violations.total"), ==, 0);
    stop(g);
}

/* Half of the memory above 4 GiB, and nothing at all below that. */
static void test_split(void)
{
    uint64_t high = 1 << 20, half = NR_FRAMES / 2;
    Gph *g = start_machine(",max-ram-below-4g=32M", high + half, "");

    driver_up(g);
    fill(g, half - 16, 16);
    fill(g, high, half);
    set_words(g, half - 8, 8, V(0, 0));
    set_word(g, half, V(0, 0));         /* a lie: there is no memory */
    set_words(g, high + 512, 1024, V(0, 0));
    set_word(g, high + half - 1, V(0, 0));
    g_assert_cmpuint(reclaim_bytes(g, 1 << 30), ==, 1033 * FRAME);
    for (uint64_t i = 0; i < half; i++) {
        g_assert_true((i >= 512 && i < 1536) || i == half - 1 ?
                      is_zero(g, high + i) : has_content(g, high + i));
    }
    g_assert_true(has_content(g, half - 9));
    g_assert_true(is_zero(g, half - 1));
    g_assert_cmpuint(query(g, "totals.violations.bad-range"), ==, 1);
    stop(g);
}

/* Memory of another backend is not the device's. */
static void test_other_memory(void)
{
    Gph *g = start_machine(" -m slots=1,maxmem=1G"
                           " -object memory-backend-memfd,id=dimm,size=128M"
                           " -device pc-dimm,memdev=dimm", NR_FRAMES, "");

    driver_up(g);
    fill(g, 1 << 20, 8);
    g_assert_true(has_content(g, 1 << 20));
    g_assert_cmpuint(query(g, "nr-frames"), ==, NR_FRAMES);
    stop(g);
}

static void test_order(void)
{
    Gph *g = start_up();

    fill(g, FIRST_FRAME, 1536);
    set_words(g, FIRST_FRAME, 8, V(0, 3));
    set_words(g, FIRST_FRAME + 512, 64, V(0, 2));
    set_words(g, FIRST_FRAME + 1024, 512, V(0, 200));
    qpci_io_writew(g->dev, g->table, NR_FRAMES * 2, 200);
    g_assert_cmpuint(reclaim_bytes(g, 512 * FRAME), ==, 512 * FRAME);
    g_assert_true(is_zero(g, FIRST_FRAME + 1500));
    g_assert_true(has_content(g, FIRST_FRAME + 512));
    g_assert_cmpuint(reclaim_bytes(g, 64 * FRAME), ==, 64 * FRAME);
    g_assert_true(is_zero(g, FIRST_FRAME + 512));
    g_assert_true(has_content(g, FIRST_FRAME));
    set_word(g, FIRST_FRAME + 3, V(0, 100));
    set_word(g, FIRST_FRAME + 2, 0);
    set_word(g, FIRST_FRAME + 4, 0);
    g_assert_cmpuint(reclaim_bytes(g, 5 * FRAME), ==, 5 * FRAME);
    g_assert_true(has_content(g, FIRST_FRAME + 3));
    stop(g);
}

static void test_fault(void)
{
    Gph *g = start_up();
    uint64_t f = FIRST_FRAME + 64;

    fill(g, f, 16);
    expect_value(g, f, pattern(f));
    set_word(g, f, V(2, 0));
    expect_value(g, f + 1, pattern(f + 1));
    g_assert_cmpuint(reclaim_bytes(g, FRAME), ==, 4 * FRAME);
    expect_fault(g, FW_READ, f, 1);
    expect_fault(g, FW_WRITE, f + 3, 3);
    expect_fault(g, FW_EXEC, f + 1, 0x11);
    expect_value(g, f + 4, pattern(f + 4));
    set_word(g, f, gph_make(VIRTIO_GPH_CLAIMED, 2, 0));
    expect_fault(g, FW_READ, f + 2, 1);
    g_assert_cmpuint(query(g, "totals.faults"), ==, 4);
    /* Settled: two frames are refilled by a device, one by the CPU. */
    set_word(g, f, 0);
    fill(g, f, 2);
    expect_value(g, f, pattern(f));
    expect_value(g, f + 1, pattern(f + 1));
    expect_value(g, f + 2, 0);
    g_assert_cmpuint(query(g, "totals.reused-pages"), ==, 4);
    g_assert_cmpuint(query(g, "trapped-pages"), ==, 0);
    g_assert_cmpuint(query(g, "totals.violations.total"), ==, 0);
    stop(g);
}

/*
 * The page walk finds a table gone.  TCG gives it zeros, and counts; KVM cannot
 * tell that it is the page walk.
 */
static void test_page_table(void)
{
    uint64_t value, addr = 1ull << 39, f = FIRST_FRAME + 9;
    Gph *g = start_up();

    fill(g, FIRST_FRAME, 1);
    wait_for(g, FW_READY, FW_MAGIC);
    qtest_writeq(g->qts, 0x1008, f * FRAME | 3);
    qtest_writeq(g->qts, f * FRAME, 0xe3);
    addr += FIRST_FRAME * FRAME;
    cpu_begin(g, FW_READ, addr, 0);
    g_assert_false(cpu_end(g, &value));
    g_assert_cmphex(value, ==, pattern(FIRST_FRAME));
    set_word(g, f, V(0, 0));
    g_assert_cmpuint(reclaim_bytes(g, FRAME), ==, FRAME);
    cpu_begin(g, FW_READ, addr, 0);
    g_assert_true(cpu_end(g, &value));
    if (under_kvm()) {
        addr = VIRTIO_GPH_FAULT_TAG << VIRTIO_GPH_FAULT_TAG_SHIFT | f;
    }
    g_assert_cmphex(qtest_readq(g->qts, FW_CR2), ==, addr);
    g_assert_cmphex(qtest_readq(g->qts, FW_ERROR), ==, under_kvm());
    g_assert_cmpuint(query(g, "totals.violations.bad-access"), ==,
                     !under_kvm());
    stop(g);
}

/* Code that was translated must not run on when its memory has gone. */
static void test_stale_code(void)
{
    static const uint8_t one[] = { 0xb8, 1, 0, 0, 0, 0xc3 };
    static const uint8_t two[] = { 0xb8, 2, 0, 0, 0, 0xc3 };
    uint64_t value, f = FIRST_FRAME + 7;
    Gph *g = start_up();

    /* The first flush changes how the CPU translates: have it behind us. */
    set_word(g, f + 8, V(0, 0));
    g_assert_cmpuint(reclaim_bytes(g, FRAME), ==, FRAME);
    qtest_memwrite(g->qts, f * FRAME, one, sizeof(one));
    qtest_memwrite(g->qts, (f + 1) * FRAME, two, sizeof(two));
    cpu_begin(g, FW_EXEC, f * FRAME, 0);
    g_assert_false(cpu_end(g, &value));
    g_assert_cmpuint(value, ==, 1);
    set_word(g, f, V(0, 0));
    g_assert_cmpuint(reclaim_bytes(g, FRAME), ==, FRAME);
    set_word(g, f, 0);
    cpu_begin(g, FW_EXEC, f * FRAME, 0);
    g_assert_false(cpu_end(g, &value));
    g_assert_cmpuint(value, ==, 2);
    stop(g);
}

#define DEBUG_PORT      0x402           /* what is written can be read back */

static char *debug_port_output(Gph *g)
{
    QDict *rsp = qtest_qmp(g->qts, "{ 'execute': 'ringbuf-read', 'arguments': {"
                           " 'device': 'debug', 'size': 64 } }");
    char *text = g_strdup(qdict_get_str(rsp, "return"));

    qobject_unref(rsp);
    return text;
}

/* String I/O, which KVM's emulator does: it cannot read or write the frame. */
static void test_string_io(void)
{
    Gph *g = start(" -chardev ringbuf,id=debug "
                   "-device isa-debugcon,iobase=0x402,chardev=debug");
    g_autofree char *none = NULL, *bytes = NULL;
    uint64_t value, f = FIRST_FRAME + 33;

    driver_up(g);
    qtest_memwrite(g->qts, f * FRAME, "gone", 4);
    set_word(g, f, V(0, 0));
    set_word(g, f + 1, V(0, 0));
    g_assert_cmpuint(reclaim_bytes(g, 2 * FRAME), ==, 2 * FRAME);
    cpu_begin(g, FW_OUTS, f * FRAME, DEBUG_PORT);
    g_assert_true(cpu_end(g, &value));
    g_assert_cmphex(qtest_readq(g->qts, FW_CR2), ==,
                    VIRTIO_GPH_FAULT_TAG << VIRTIO_GPH_FAULT_TAG_SHIFT | f);
    none = debug_port_output(g);
    g_assert_cmpstr(none, ==, "");
    /* Settled and refilled by a device, and still trapped. */
    set_word(g, f, 0);
    set_word(g, f + 1, 0);
    qtest_memwrite(g->qts, f * FRAME, "back", 4);
    cpu_begin(g, FW_OUTS, f * FRAME, DEBUG_PORT);
    g_assert_false(cpu_end(g, &value));
    g_assert_cmpuint(value, ==, 4);
    bytes = debug_port_output(g);
    g_assert_cmpstr(bytes, ==, "back");
    /* Into a frame that is trapped and in use again. */
    set_word(g, f + 1, V(0, 0));
    g_assert_cmpuint(reclaim_bytes(g, FRAME), ==, FRAME);
    set_word(g, f + 1, 0);
    cpu_begin(g, FW_INS, (f + 1) * FRAME, DEBUG_PORT);
    g_assert_false(cpu_end(g, &value));
    g_assert_cmpuint(qtest_readb(g->qts, (f + 1) * FRAME), ==, 0xe9);
    g_assert_cmpuint(query(g, "trapped-pages"), ==, 0);
    g_assert_cmpuint(query(g, "totals.violations.total"), ==, 0);
    stop(g);
}

/*
 * The stack is gone when an interrupt is delivered: a fault would replace the
 * interrupt.  So the guest, whose fault it is, has a stack of zeros.
 */
static void test_event_delivery(void)
{
    uint64_t value, f = FIRST_FRAME + 5;
    Gph *g = start_up();

    fill(g, f, 1);
    expect_value(g, f, pattern(f));
    set_word(g, f, V(0, 0));
    g_assert_cmpuint(reclaim_bytes(g, FRAME), ==, FRAME);
    cpu_begin(g, FW_INTERRUPT, f * FRAME, 0);
    g_assert_false(cpu_end(g, &value));
    g_assert_cmpuint(value, ==, 0x21);
    g_assert_cmpuint(query(g, "totals.violations.bad-access"), ==, 1);
    g_assert_cmpuint(query(g, "trapped-pages"), ==, 0);
    expect_value(g, f, 0);
    stop(g);
}

static void test_stopped(void)
{
    Gph *g = start_up();

    fill(g, FIRST_FRAME, 32);
    set_words(g, FIRST_FRAME, 16, V(0, 0));
    expect_value(g, FIRST_FRAME, pattern(FIRST_FRAME));
    qtest_qmp_assert_success(g->qts, "{ 'execute': 'stop' }");
    g_assert_cmpuint(reclaim_bytes(g, 1 << 20), ==, 16 * FRAME);
    g_assert_true(is_zero(g, FIRST_FRAME));
    qtest_qmp_assert_success(g->qts, "{ 'execute': 'cont' }");
    expect_fault(g, FW_READ, FIRST_FRAME, 1);
    expect_value(g, FIRST_FRAME + 16, pattern(FIRST_FRAME + 16));
    stop(g);
}

static void expect_all_stable(Gph *g)
{
    uint64_t f;

    for (f = 0; f < NR_FRAMES; f++) {
        g_assert_cmphex(word(g, f), ==, 0);
    }
    g_assert_cmpuint(query(g, "trapped-pages"), ==, 0);
    g_assert_cmpuint(query(g, "host-discarded-pages"), ==, 0);
}

static void offer_and_take(Gph *g)
{
    fill(g, FIRST_FRAME, 64);
    set_words(g, FIRST_FRAME, 64, V(0, 0));
    g_assert_cmpuint(reclaim_bytes(g, 32 * FRAME), ==, 32 * FRAME);
    g_assert_cmpuint(query(g, "trapped-pages"), ==, 32);
}

static void test_reset(void)
{
    Gph *g = start_up();

    offer_and_take(g);
    set_status(g, 0);
    expect_all_stable(g);
    expect_value(g, FIRST_FRAME, 0);
    expect_value(g, FIRST_FRAME + 63, pattern(FIRST_FRAME + 63));
    expect_error(RECLAIM(g, "'bytes': 4096"), "driver is not up");

    driver_up(g);
    offer_and_take(g);
    qtest_writeq(g->qts, FW_READY, 0);
    qtest_system_reset(g->qts);
    unmap_device(g);
    map_device(g);
    expect_all_stable(g);
    expect_value(g, FIRST_FRAME, 0);
    stop(g);
}

/* As when a VFIO device comes and goes. */
static void test_inhibited(void)
{
    Gph *g = start_up();

    fill(g, FIRST_FRAME, 16);
    set_words(g, FIRST_FRAME, 16, V(0, 0));
    qtest_qmp_assert_success(g->qts, "{ 'execute': 'qom-set', 'arguments': {"
                             " 'path': '/machine/peripheral/gph',"
                             " 'property': 'x-pin', 'value': true } }");
    expect_error(RECLAIM(g, "'bytes': 4096"), "RAM discards are disabled");
    g_assert_true(has_content(g, FIRST_FRAME));
    qtest_qmp_assert_success(g->qts, "{ 'execute': 'qom-set', 'arguments': {"
                             " 'path': '/machine/peripheral/gph',"
                             " 'property': 'x-pin', 'value': false } }");
    g_assert_cmpuint(reclaim_bytes(g, 1 << 20), ==, 16 * FRAME);
    stop(g);
}

static void test_torture(void)
{
    Gph *g = start_up();
    uint64_t i, left = 256;

    fill(g, FIRST_FRAME, 512);
    set_words(g, FIRST_FRAME, 256, V(0, 0));
    set_property(g, "x-torture", 8);
    for (i = 0; left && i < 10000; i++) {
        g_usleep(1000);
        left = query(g, "states.volatile.pages");
    }
    g_assert_cmpuint(left, ==, 0);
    set_property(g, "x-torture", 0);
    for (i = 0; i < 512; i++) {
        g_assert_true(i < 256 ? is_zero(g, FIRST_FRAME + i) :
                      has_content(g, FIRST_FRAME + i));
    }
    set_words(g, FIRST_FRAME + 256, 16, V(0, 0));
    g_usleep(50000);
    g_assert_cmpuint(query(g, "states.volatile.pages"), ==, 16);
    stop(g);
}

/* The guest offers a frame and takes it back while the host tries to take it. */
static void test_owner(gconstpointer machine)
{
    Gph *g = start_machine(machine, NR_FRAMES, "");
    uint64_t lost = 0, value, f = FIRST_FRAME + 33;
    int i;

    driver_up(g);
    qtest_writeq(g->qts, FW_WORD, g->table.addr + f * 2);
    /* On a busy host it may take more than once until the host is faster. */
    for (i = 0; i < 20 && !lost; i++) {
        qtest_writeq(g->qts, FW_COUNT, g_test_quick() ? 1000000 : 20000000);
        cpu_begin(g, FW_OWN, f * FRAME, 0);
        while (qtest_readq(g->qts, FW_CMD)) {
            reclaim_bytes(g, 1 << 20);
        }
        g_assert_false(cpu_end(g, &value));
        lost = qtest_readq(g->qts, FW_LOST);
        g_test_message("%" PRIu64 " times lost, %" PRIu64 " times rescued",
                       lost, query(g, "totals.rescued-pages"));
        g_assert_cmpuint(qtest_readq(g->qts, FW_CORRUPT), ==, 0);
    }
    g_assert_cmpuint(lost, >, 0);
    g_assert_cmpuint(query(g, "totals.violations.total"), ==, 0);
    stop(g);
}

/* --- a guest that lies --- */

/* KVM is tested in a guest of TCG, where a megabyte takes seconds. */
static uint64_t fuzz_frames(void)
{
    return under_kvm() ? 8 * 512 : NR_FRAMES;
}

/* Words of every other 2 MiB block only; the others must not notice. */
static uint64_t random_frame(GRand *rand)
{
    uint64_t frame = g_rand_int_range(rand, FIRST_FRAME, fuzz_frames());

    return frame & ~512ull;
}

static void scribble(Gph *g, GRand *rand)
{
    static const uint16_t masks[] = { 0xffff, 0xff97, 0x00f7, 0xff07 };
    int i;

    for (i = 0; i < 400; i++) {
        uint16_t value = g_rand_int(rand);
        uint64_t frame = random_frame(rand);

        if (g_rand_boolean(rand)) {
            frame &= ~(uint64_t)((1u << (value >> 4 & 7)) - 1);
        }
        set_word(g, frame, value & masks[g_rand_int_range(rand, 0, 4)]);
    }
}

static void cpu_meddles(Gph *g, GRand *rand)
{
    uint64_t value, frame;
    int i;

    for (i = 0; i < 20; i++) {
        frame = g_rand_int_range(rand, FIRST_FRAME, fuzz_frames());
        cpu_begin(g, FW_READ, frame * FRAME, 0);
        if (cpu_end(g, &value)) {
            g_assert_cmpuint(frame & 512, ==, 0);
        } else {
            g_assert_true(value == pattern(frame) ||
                          (!value && !(frame & 512)));
        }
    }
}

static void fuzz(uint32_t seed)
{
    GRand *rand = g_rand_new_with_seed(seed);
    Gph *g = start_up();
    uint64_t f;
    int i;

    g_test_message("seed %u (repeat: GPH_SEED=%u)", seed, seed);
    fill(g, FIRST_FRAME, fuzz_frames() - FIRST_FRAME);
    set_property(g, "x-torture", g_rand_boolean(rand) ? 16 : 0);
    for (i = 0; i < 10; i++) {
        scribble(g, rand);
        cpu_meddles(g, rand);
        reclaim_bytes(g, g_rand_int_range(rand, 1, 1 << 24));
        cpu_meddles(g, rand);
    }
    for (f = FIRST_FRAME; f < fuzz_frames(); f++) {
        g_assert_true(has_content(g, f) || (!(f & 512) && is_zero(g, f)));
    }
    g_assert_cmpuint(query(g, "totals.violations.total"), >, 0);
    g_assert_cmpuint(query(g, "totals.discarded-bytes"), >, 0);
    set_property(g, "x-torture", 0);
    set_status(g, 0);
    expect_all_stable(g);
    stop(g);
    g_rand_free(rand);
}

static void test_fuzz(void)
{
    const char *one = g_getenv("GPH_SEED");
    uint32_t seed, n = !g_test_quick() ? 100 : under_kvm() ? 1 : 3;

    if (one) {
        fuzz(strtoul(one, NULL, 0));
        return;
    }
    for (seed = 1; seed <= n; seed++) {
        fuzz(seed);
    }
}

int main(int argc, char **argv)
{
    int ret;

    g_test_init(&argc, &argv, NULL);
    make_firmware();
    qtest_add_func("/virtio-gph/refuse", test_refuse);
    qtest_add_func("/virtio-gph/no-device", test_no_device);
    qtest_add_func("/virtio-gph/arguments", test_arguments);
    add_pressure_tests();
    qtest_add_func("/virtio-gph/config", test_config);
    qtest_add_func("/virtio-gph/info", test_info);
    qtest_add_func("/virtio-gph/secondary-mmus", test_secondary_mmus);
    qtest_add_func("/virtio-gph/age", test_age);
    qtest_add_func("/virtio-gph/reclaim", test_reclaim);
    qtest_add_func("/virtio-gph/split", test_split);
    qtest_add_func("/virtio-gph/other-memory", test_other_memory);
    qtest_add_func("/virtio-gph/order", test_order);
    qtest_add_func("/virtio-gph/fault", test_fault);
    qtest_add_func("/virtio-gph/page-table", test_page_table);
    qtest_add_func("/virtio-gph/stale-code", test_stale_code);
    qtest_add_func("/virtio-gph/string-io", test_string_io);
    /* TCG does as a CPU would, which is of no use to the guest. */
    if (under_kvm()) {
        qtest_add_func("/virtio-gph/event-delivery", test_event_delivery);
    }
    qtest_add_func("/virtio-gph/stopped", test_stopped);
    qtest_add_func("/virtio-gph/reset", test_reset);
    qtest_add_func("/virtio-gph/inhibited", test_inhibited);
    qtest_add_func("/virtio-gph/torture", test_torture);
    qtest_add_data_func("/virtio-gph/owner", "", test_owner);
    if (!under_kvm()) {
        qtest_add_data_func("/virtio-gph/owner/one-thread",
                            " -accel tcg,thread=single -smp 2", test_owner);
    }
    qtest_add_func("/virtio-gph/fuzz", test_fuzz);
    ret = g_test_run();
    remove_firmware();
    return ret;
}
