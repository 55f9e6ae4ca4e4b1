/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-gph: QMP commands of a QEMU that is built without the device.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-gph.h"

#define NOT_BUILT "this QEMU is built without virtio-gph"

GphInfo *qmp_x_query_gph(Error **errp)
{
    error_setg(errp, NOT_BUILT);
    return NULL;
}

GphReclaimResult *coroutine_fn qmp_x_gph_reclaim(uint64_t bytes,
                                                 bool has_max_time_us,
                                                 uint64_t max_time_us,
                                                 Error **errp)
{
    error_setg(errp, NOT_BUILT);
    return NULL;
}

void qmp_x_gph_age(Error **errp)
{
    error_setg(errp, NOT_BUILT);
}

void qmp_x_gph_set_pressure(bool has_enabled, bool enabled,
                            bool has_floor, uint64_t floor,
                            bool has_rate, uint64_t rate,
                            bool has_cgroup_percent, uint32_t cgroup_percent,
                            bool has_host_percent, uint32_t host_percent,
                            bool has_critical_percent,
                            uint32_t critical_percent,
                            bool has_hysteresis_percent,
                            uint32_t hysteresis_percent,
                            bool has_step_percent, uint32_t step_percent,
                            bool has_backoff_percent,
                            uint32_t backoff_percent, Error **errp)
{
    error_setg(errp, NOT_BUILT);
}
