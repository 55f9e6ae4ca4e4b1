/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gph: the secondary MMU that each accelerator brings.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/accel.h"
#include "hw/virtio/gph-secondary-mmu.h"

typedef struct AccelMmu {
    const char *accel;
    GphAccelMmuNew create;
    QSLIST_ENTRY(AccelMmu) next;
} AccelMmu;

static QSLIST_HEAD(, AccelMmu) accel_mmus;

void gph_accel_mmu_register(const char *accel, GphAccelMmuNew create)
{
    AccelMmu *a = g_new0(AccelMmu, 1);

    a->accel = accel;
    a->create = create;
    QSLIST_INSERT_HEAD(&accel_mmus, a, next);
}

static const AccelMmu *find_accel_mmu(const char *accel, Error **errp)
{
    AccelMmu *a;

    QSLIST_FOREACH(a, &accel_mmus, next) {
        if (!strcmp(a->accel, accel)) {
            return a;
        }
    }
    error_setg(errp, "virtio-gph has no secondary MMU for accelerator '%s'",
               accel);
    error_append_hint(errp, "Use -accel kvm or -accel tcg\n");
    return NULL;
}

/* The class is "NAME-accel", the name in it is for people. */
static char *accel_in_use(void)
{
    const char *type = object_get_typename(OBJECT(current_accel()));
    const char *suffix = strstr(type, ACCEL_CLASS_SUFFIX);

    return suffix ? g_strndup(type, suffix - type) : g_strdup(type);
}

bool gph_accel_mmu_supported(const char *accel, Error **errp)
{
    return find_accel_mmu(accel, errp);
}

GphSecondaryMmu *gph_accel_mmu_new(const GphMmuHost *host, Error **errp)
{
    g_autofree char *accel = accel_in_use();
    const AccelMmu *a = find_accel_mmu(accel, errp);

    return a ? a->create(host, errp) : NULL;
}
