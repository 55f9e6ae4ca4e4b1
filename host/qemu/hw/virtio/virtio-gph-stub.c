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
