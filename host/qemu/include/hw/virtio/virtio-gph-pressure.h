/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-gph: what the device does by itself when the host is short of memory.
 *
 * All of it runs in the main loop, under the BQL.
 */
#ifndef HW_VIRTIO_GPH_PRESSURE_H
#define HW_VIRTIO_GPH_PRESSURE_H

#include "hw/virtio/gph/gph-policy.h"
#include "qapi/qapi-types-gph.h"

typedef struct VirtIOGPH VirtIOGPH;
typedef struct GphPressureWatch GphPressureWatch;

/* What the user may set, before the device is realized. */
typedef struct GphPressureOptions {
    GphPolicySettings set;
    char *root;                 /* for tests: files are below it; or NULL */
} GphPressureOptions;

#define GPH_PRESSURE_PERCENT(_name, _state, _field)                         \
    DEFINE_PROP_UNSIGNED_NODEFAULT(_name, _state, pressure.set._field,      \
                                   qdev_prop_uint32, uint32_t)
#define GPH_PRESSURE_SIZE(_name, _state, _field)                            \
    DEFINE_PROP_UNSIGNED_NODEFAULT(_name, _state, pressure.set._field,      \
                                   qdev_prop_size, uint64_t)

/* For the device's list; virtio_gph_pressure_defaults() gives the values. */
#define GPH_PRESSURE_PROPERTIES(_state)                                     \
    DEFINE_PROP_BOOL("pressure", _state, pressure.set.enabled, true),       \
    GPH_PRESSURE_SIZE("x-pressure-floor", _state, floor),                   \
    GPH_PRESSURE_SIZE("x-pressure-rate", _state, rate),                     \
    GPH_PRESSURE_PERCENT("x-pressure-cgroup", _state, cgroup_percent),      \
    GPH_PRESSURE_PERCENT("x-pressure-host", _state, host_percent),          \
    GPH_PRESSURE_PERCENT("x-pressure-critical", _state, critical_percent),  \
    GPH_PRESSURE_PERCENT("x-pressure-hysteresis", _state,                   \
                         hysteresis_percent),                               \
    GPH_PRESSURE_PERCENT("x-pressure-step", _state, step_percent),          \
    GPH_PRESSURE_PERCENT("x-pressure-backoff", _state, backoff_percent),    \
    DEFINE_PROP_STRING("x-pressure-root", _state, pressure.root)

void virtio_gph_pressure_defaults(VirtIOGPH *s);
/* Are the user's settings good? */
bool virtio_gph_pressure_check(VirtIOGPH *s, Error **errp);
/* Begin to watch. */
void virtio_gph_pressure_start(VirtIOGPH *s);
void virtio_gph_pressure_stop(VirtIOGPH *s);
/* Something has changed that readings do not show: look soon. */
void virtio_gph_pressure_kick(VirtIOGPH *s);
/* For x-query-gph. */
GphPressure *virtio_gph_pressure_query(VirtIOGPH *s);

#endif /* HW_VIRTIO_GPH_PRESSURE_H */
