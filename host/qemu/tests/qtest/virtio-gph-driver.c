/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QTest: a machine with virtio-gph, its driver, and the guest's CPU.
 */
#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include "hw/pci/pci_regs.h"
#include "libqos/pci-pc.h"
#include "qobject/qdict.h"
#include "standard-headers/linux/virtio_config.h"
#include "standard-headers/linux/virtio_pci.h"
#include "virtio-gph-driver.h"
#include "virtio-gph-firmware.h"

#define SLOT            5

char *firmware;

const char *accel(void)
{
    const char *wanted = g_getenv("GPH_QTEST_ACCEL");

    return wanted ? wanted : "tcg";
}

bool under_kvm(void)
{
    return !strcmp(accel(), "kvm");
}

/* --- a machine with the device --- */

static char *machine_args(const char *machine, const char *extra)
{
    return g_strdup_printf(
        "-machine q35,memory-backend=ram%s -accel %s -cpu max -m %d "
        "-global apic-common.vapic=off "
        "-object memory-backend-memfd,id=ram,size=%dM,share=on "
        "-nodefaults -bios %s "
        "-device virtio-gph-pci,id=gph,pressure=off,addr=%d%s",
        machine, accel(), RAM_MIB, RAM_MIB, firmware, SLOT, extra);
}

/* The offset of virtio structure @type in its BAR, and which BAR that is. */
static uint32_t find_cap(Gph *g, uint8_t type, uint8_t *bar, uint8_t *id,
                         uint64_t *length)
{
    uint8_t cap = qpci_find_capability(g->dev, PCI_CAP_ID_VNDR, 0);

    while (cap && qpci_config_readb(g->dev, cap + 3) != type) {
        cap = qpci_find_capability(g->dev, PCI_CAP_ID_VNDR, cap);
    }
    g_assert_cmpuint(cap, !=, 0);
    *bar = qpci_config_readb(g->dev, cap + 4);
    *id = qpci_config_readb(g->dev, cap + 5);
    *length = qpci_config_readl(g->dev, cap + 12);
    return qpci_config_readl(g->dev, cap + 8);
}

static void find_regs(Gph *g)
{
    uint64_t length;
    uint8_t bar, id;

    g->common = find_cap(g, VIRTIO_PCI_CAP_COMMON_CFG, &bar, &id, &length);
    g->isr = find_cap(g, VIRTIO_PCI_CAP_ISR_CFG, &bar, &id, &length);
    g->config = find_cap(g, VIRTIO_PCI_CAP_DEVICE_CFG, &bar, &id, &length);
    g->regs = qpci_iomap(g->dev, bar, NULL);
    g_assert_cmpuint(find_cap(g, VIRTIO_PCI_CAP_SHARED_MEMORY_CFG, &bar, &id,
                              &length), ==, 0);
    g_assert_cmpuint(id, ==, VIRTIO_GPH_SHM_TABLE);
    g_assert_cmpuint(length, ==, g->nr_frames * 2 + FRAME);
    g->table = qpci_iomap(g->dev, bar, NULL);
}

void map_device(Gph *g)
{
    g->bus = qpci_new_pc(g->qts, NULL);
    g->dev = qpci_device_find(g->bus, QPCI_DEVFN(SLOT, 0));
    g_assert_nonnull(g->dev);
    g_assert_cmphex(qpci_config_readw(g->dev, PCI_DEVICE_ID), ==,
                    0x1040 + VIRTIO_ID_GPH);
    qpci_device_enable(g->dev);
    find_regs(g);
}

void unmap_device(Gph *g)
{
    if (g->bus) {
        g_free(g->dev);
        qpci_free_pc(g->bus);
    }
}

void set_status(Gph *g, uint8_t status)
{
    qpci_io_writeb(g->dev, g->regs, g->common + VIRTIO_PCI_COMMON_STATUS,
                   status);
}

void driver_up(Gph *g)
{
    uint8_t status = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER;

    set_status(g, 0);
    set_status(g, status);
    qpci_io_writel(g->dev, g->regs, g->common + VIRTIO_PCI_COMMON_GFSELECT, 1);
    qpci_io_writel(g->dev, g->regs, g->common + VIRTIO_PCI_COMMON_GF,
                   1u << (VIRTIO_F_VERSION_1 - 32));
    status |= VIRTIO_CONFIG_S_FEATURES_OK;
    set_status(g, status);
    set_status(g, status | VIRTIO_CONFIG_S_DRIVER_OK);
}

Gph *start_machine(const char *machine, uint64_t nr_frames,
                          const char *extra)
{
    g_autofree char *args = machine_args(machine, extra);
    Gph *g = g_new0(Gph, 1);

    g->nr_frames = nr_frames;
    g->qts = qtest_init(args);
    map_device(g);
    return g;
}

Gph *start_incoming(const char *extra)
{
    g_autofree char *more = g_strconcat(extra, " -incoming defer", NULL);
    g_autofree char *args = machine_args("", more);
    Gph *g = g_new0(Gph, 1);

    g->nr_frames = NR_FRAMES;
    g->qts = qtest_init(args);
    return g;
}

void take_over(Gph *g, const Gph *from)
{
    g->bus = qpci_new_pc(g->qts, NULL);
    g->dev = qpci_device_find(g->bus, QPCI_DEVFN(SLOT, 0));
    g_assert_nonnull(g->dev);
    g->regs = from->regs;
    g->table = from->table;
    g->common = from->common;
    g->config = from->config;
    g->isr = from->isr;
}

Gph *start(const char *extra)
{
    return start_machine("", NR_FRAMES, extra);
}

Gph *start_up(void)
{
    Gph *g = start("");

    driver_up(g);
    return g;
}

void stop(Gph *g)
{
    unmap_device(g);
    qtest_quit(g->qts);
    g_free(g);
}

/* --- the table, memory, and the monitor --- */

gph_word_t word(Gph *g, uint64_t frame)
{
    return qpci_io_readw(g->dev, g->table, frame * 2);
}

void set_word(Gph *g, uint64_t frame, gph_word_t value)
{
    qpci_io_writew(g->dev, g->table, frame * 2, value);
}

void set_words(Gph *g, uint64_t frame, uint64_t n, gph_word_t value)
{
    while (n--) {
        set_word(g, frame++, value);
    }
}

uint64_t pattern(uint64_t frame)
{
    return frame * 0x9e3779b97f4a7c15u | 1;
}

void fill(Gph *g, uint64_t frame, uint64_t n)
{
    for (; n--; frame++) {
        qtest_writeq(g->qts, frame * FRAME, pattern(frame));
        qtest_writeq(g->qts, frame * FRAME + FRAME - 8, ~pattern(frame));
    }
}

bool has_content(Gph *g, uint64_t frame)
{
    return qtest_readq(g->qts, frame * FRAME) == pattern(frame) &&
           qtest_readq(g->qts, frame * FRAME + FRAME - 8) == ~pattern(frame);
}

bool is_zero(Gph *g, uint64_t frame)
{
    return !qtest_readq(g->qts, frame * FRAME) &&
           !qtest_readq(g->qts, frame * FRAME + FRAME - 8);
}

QDict *reclaim(Gph *g, uint64_t bytes)
{
    QDict *rsp = qtest_qmp(g->qts, "{ 'execute': 'x-gph-reclaim',"
                           " 'arguments': { 'bytes': %" PRIu64 " } }", bytes);
    QDict *ret = qdict_get_qdict(rsp, "return");

    g_assert_nonnull(ret);
    qobject_ref(ret);
    qobject_unref(rsp);
    return ret;
}

uint64_t reclaim_bytes(Gph *g, uint64_t bytes)
{
    QDict *ret = reclaim(g, bytes);
    uint64_t discarded = qdict_get_int(ret, "discarded-bytes");

    qobject_unref(ret);
    return discarded;
}

/* A number of x-query-gph: "member" or "struct.member..." */
uint64_t query(Gph *g, const char *path)
{
    QDict *rsp = qtest_qmp(g->qts, "{ 'execute': 'x-query-gph' }");
    g_auto(GStrv) names = g_strsplit(path, ".", -1);
    QDict *dict = qdict_get_qdict(rsp, "return");
    uint64_t value;
    char **name;

    for (name = names; name[1]; name++) {
        dict = qdict_get_qdict(dict, name[0]);
        g_assert_nonnull(dict);
    }
    g_assert_true(qdict_haskey(dict, name[0]));
    value = qdict_get_int(dict, name[0]);
    qobject_unref(rsp);
    return value;
}

void expect_error(QDict *rsp, const char *expected)
{
    QDict *error = qdict_get_qdict(rsp, "error");

    g_assert_nonnull(error);
    g_test_message("%s", qdict_get_str(error, "desc"));
    g_assert_nonnull(strstr(qdict_get_str(error, "desc"), expected));
    qobject_unref(rsp);
}

void set_property(Gph *g, const char *name, uint64_t value)
{
    qtest_qmp_assert_success(g->qts, "{ 'execute': 'qom-set', 'arguments': {"
                             " 'path': '/machine/peripheral/gph',"
                             " 'property': %s, 'value': %" PRIu64 " } }",
                             name, value);
}

/* --- the guest's CPU --- */

void wait_for(Gph *g, uint64_t addr, uint64_t value)
{
    int64_t end = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;

    while (qtest_readq(g->qts, addr) != value) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(100);
    }
}

void cpu_begin(Gph *g, uint64_t cmd, uint64_t addr, uint64_t value)
{
    wait_for(g, FW_READY, FW_MAGIC);
    wait_for(g, FW_CMD, 0);
    qtest_writeq(g->qts, FW_ADDR, addr);
    qtest_writeq(g->qts, FW_VALUE, value);
    qtest_writeq(g->qts, FW_CMD, cmd);
}

/* True if it faulted. */
bool cpu_end(Gph *g, uint64_t *value)
{
    wait_for(g, FW_CMD, 0);
    *value = qtest_readq(g->qts, FW_VALUE);
    return qtest_readq(g->qts, FW_FAULTED);
}

void expect_value(Gph *g, uint64_t frame, uint64_t expected)
{
    uint64_t value;

    cpu_begin(g, FW_READ, frame * FRAME, 0);
    g_assert_false(cpu_end(g, &value));
    g_assert_cmphex(value, ==, expected);
}

void expect_fault(Gph *g, uint64_t cmd, uint64_t frame, uint64_t code)
{
    uint64_t value;

    cpu_begin(g, cmd, frame * FRAME + 24, 0);
    g_assert_true(cpu_end(g, &value));
    g_assert_cmphex(qtest_readq(g->qts, FW_CR2), ==,
                    VIRTIO_GPH_FAULT_TAG << VIRTIO_GPH_FAULT_TAG_SHIFT | frame);
    /* KVM tells whether it was user mode, and not what kind of access. */
    g_assert_cmphex(qtest_readq(g->qts, FW_ERROR), ==,
                    under_kvm() ? code & 5 : code);
}

/* --- the firmware's file --- */

void remove_firmware(void)
{
    g_unlink(firmware);
    g_free(firmware);
    firmware = NULL;
}

static void abrt_handler(void *unused)
{
    g_unlink(firmware);
}

void make_firmware(void)
{
    g_autofree uint8_t *image = g_malloc(FW_SIZE);
    int fd = g_file_open_tmp("virtio-gph-test-XXXXXX", &firmware, NULL);

    g_assert_cmpint(fd, >=, 0);
    qtest_add_abrt_handler(abrt_handler, firmware);
    close(fd);
    fw_make(image);
    g_assert_true(g_file_set_contents(firmware, (char *)image, FW_SIZE, NULL));
}
