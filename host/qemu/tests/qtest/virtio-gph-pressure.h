/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QTest: virtio-gph and a host that is short of memory.
 */
#ifndef VIRTIO_GPH_PRESSURE_TEST_H
#define VIRTIO_GPH_PRESSURE_TEST_H

void add_pressure_tests(void);

#endif /* VIRTIO_GPH_PRESSURE_TEST_H */
