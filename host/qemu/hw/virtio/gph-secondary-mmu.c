/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gph: the list of secondary MMUs, and the one that each accelerator brings.
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
    error_setg(errp, "virtio-gph has no secondary MMU for accelerator '%s' yet",
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

void gph_mmus_add(GphSecondaryMmuList *list, GphSecondaryMmu *mmu)
{
    QLIST_INSERT_HEAD(list, mmu, next);
}

void gph_mmus_trap(GphSecondaryMmuList *list, const GphRun *runs, unsigned n)
{
    GphSecondaryMmu *mmu;

    QLIST_FOREACH(mmu, list, next) {
        if (mmu->ops->trap) {
            mmu->ops->trap(mmu, runs, n);
        }
    }
}

int gph_mmus_flush(GphSecondaryMmuList *list, const GphRun *runs, unsigned n)
{
    GphSecondaryMmu *mmu;
    int ret = 0;

    QLIST_FOREACH(mmu, list, next) {
        ret = mmu->ops->flush(mmu, runs, n);
        if (ret) {
            break;
        }
    }
    return ret;
}

void gph_mmus_untrap(GphSecondaryMmuList *list, const GphRun *run)
{
    GphSecondaryMmu *mmu;

    QLIST_FOREACH(mmu, list, next) {
        if (mmu->ops->untrap) {
            mmu->ops->untrap(mmu, run);
        }
    }
}

void gph_mmus_release(GphSecondaryMmuList *list)
{
    GphSecondaryMmu *mmu, *tmp;

    QLIST_FOREACH_SAFE(mmu, list, next, tmp) {
        QLIST_REMOVE(mmu, next);
        mmu->ops->release(mmu);
    }
}
