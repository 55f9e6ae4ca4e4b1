/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QTest: a machine with virtio-gph, its driver, and the guest's CPU.
 */
#ifndef VIRTIO_GPH_DRIVER_H
#define VIRTIO_GPH_DRIVER_H

#include <linux/virtio_gph.h>
#include "gph/state.h"
#include "libqtest.h"
#include "libqos/pci.h"

#define RAM_MIB         64
#define FRAME           4096u
#define FIRST_FRAME     512u            /* below it the test leaves alone */
#define NR_FRAMES       (RAM_MIB * 256u)

#define V(order, epoch) gph_make(VIRTIO_GPH_VOLATILE, order, epoch)
#define U(order)        gph_make(VIRTIO_GPH_UNUSED, order, 0)

typedef struct Gph {
    QTestState *qts;
    uint64_t nr_frames;
    QPCIBus *bus;
    QPCIDevice *dev;
    QPCIBar regs;
    QPCIBar table;
    uint32_t common, config, isr;       /* offsets in regs */
} Gph;

/* Which accelerator: what GPH_QTEST_ACCEL says, or TCG. */
const char *accel(void);
bool under_kvm(void);

/* The file that the machines start: first and last call. */
extern char *firmware;
void make_firmware(void);
void remove_firmware(void);

/* A machine with the device; @machine goes behind its -machine option. */
Gph *start_machine(const char *machine, uint64_t nr_frames, const char *extra);
Gph *start(const char *extra);
/* One that waits for a migration; when it is over, its device is @from's. */
Gph *start_incoming(const char *extra);
void take_over(Gph *g, const Gph *from);
/* With the driver up. */
Gph *start_up(void);
void stop(Gph *g);
void map_device(Gph *g);
void unmap_device(Gph *g);
void set_status(Gph *g, uint8_t status);
void driver_up(Gph *g);

/* The table. */
gph_word_t word(Gph *g, uint64_t frame);
void set_word(Gph *g, uint64_t frame, gph_word_t value);
void set_words(Gph *g, uint64_t frame, uint64_t n, gph_word_t value);

/* Memory: a pattern per frame, as a device would write it. */
uint64_t pattern(uint64_t frame);
void fill(Gph *g, uint64_t frame, uint64_t n);
bool has_content(Gph *g, uint64_t frame);
bool is_zero(Gph *g, uint64_t frame);

/* The monitor; query() reads "member" or "struct.member..." of x-query-gph. */
QDict *reclaim(Gph *g, uint64_t bytes);
uint64_t reclaim_bytes(Gph *g, uint64_t bytes);
uint64_t query(Gph *g, const char *path);
void expect_error(QDict *rsp, const char *expected);
void set_property(Gph *g, const char *name, uint64_t value);

/* The guest's CPU, see virtio-gph-firmware.h; cpu_end() is true for a fault. */
void wait_for(Gph *g, uint64_t addr, uint64_t value);
void cpu_begin(Gph *g, uint64_t cmd, uint64_t addr, uint64_t value);
bool cpu_end(Gph *g, uint64_t *value);
void expect_value(Gph *g, uint64_t frame, uint64_t expected);
void expect_fault(Gph *g, uint64_t cmd, uint64_t frame, uint64_t code);

#endif /* VIRTIO_GPH_DRIVER_H */
