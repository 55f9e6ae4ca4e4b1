/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-gph: QMP commands and "info gph".
 */
#include "qemu/osdep.h"
#include "hw/virtio/virtio-gph.h"
#include "monitor/hmp.h"
#include "monitor/monitor.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-gph.h"
#include "qemu/timer.h"
#include "trace.h"

#define GPH_FRAME_BYTES     (UINT64_C(1) << VIRTIO_GPH_FRAME_SHIFT)
#define GPH_DEFAULT_US      (10 * UINT64_C(1000000))
#define GPH_MAX_US          (60 * UINT64_C(1000000))

static VirtIOGPH *find_device(Error **errp)
{
    VirtIOGPH *s = virtio_gph_find();

    if (!s) {
        error_setg(errp, "there is no virtio-gph device");
    }
    return s;
}

static GphAmount *amount(uint64_t frames)
{
    GphAmount *a = g_new0(GphAmount, 1);

    a->pages = frames;
    a->bytes = frames * GPH_FRAME_BYTES;
    return a;
}

static GphStates *query_states(const GphCensus *census)
{
    GphStates *r = g_new0(GphStates, 1);

    r->stable = amount(census->state[VIRTIO_GPH_STABLE]);
    r->unused = amount(census->state[VIRTIO_GPH_UNUSED]);
    r->q_volatile = amount(census->state[VIRTIO_GPH_VOLATILE]);
    r->discarding = amount(census->state[VIRTIO_GPH_DISCARDING]);
    r->discarded = amount(census->state[VIRTIO_GPH_DISCARDED]);
    r->claimed = amount(census->state[VIRTIO_GPH_CLAIMED]);
    return r;
}

static GphRuns *query_runs(const uint64_t *frames)
{
    GphRuns *r = g_new0(GphRuns, 1);

    r->blocks_2m = frames[GPH_CLASS_BLOCK] * GPH_FRAME_BYTES;
    r->runs_64k = frames[GPH_CLASS_LONG] * GPH_FRAME_BYTES;
    r->singles = frames[GPH_CLASS_SHORT] * GPH_FRAME_BYTES;
    return r;
}

static GphViolations *query_violations(const GphStats *stats)
{
    GphViolations *v = g_new0(GphViolations, 1);
    int i;

    v->bad_word = stats->violations[GPH_BAD_WORD];
    v->bad_alignment = stats->violations[GPH_BAD_ALIGN];
    v->bad_range = stats->violations[GPH_BAD_RANGE];
    v->bad_tail = stats->violations[GPH_BAD_TAIL];
    v->bad_owner = stats->violations[GPH_BAD_OWNER];
    v->bad_access = stats->violations[GPH_BAD_ACCESS];
    for (i = 0; i < GPH_NR_VIOLATIONS; i++) {
        v->total += stats->violations[i];
    }
    return v;
}

static GphTotals *query_totals(const GphStats *stats)
{
    GphTotals *t = g_new0(GphTotals, 1);

    t->discarded_bytes = stats->discarded * GPH_FRAME_BYTES;
    t->discarded_by_run = query_runs(stats->discarded_class);
    t->freed_bytes = stats->freed_bytes;
    t->faults = stats->faults;
    t->rescued_pages = stats->rescued;
    t->reused_pages = stats->reused;
    t->races_lost = stats->races_lost;
    t->scans = stats->scans;
    t->scanned_frames = stats->scanned;
    t->batches = stats->batches;
    t->punch_errors = stats->punch_errors;
    t->flush_errors = stats->flush_errors;
    t->violations = query_violations(stats);
    return t;
}

static GphMigrationInfo *query_migration(const GphMigration *m)
{
    GphMigrationInfo *i = g_new0(GphMigrationInfo, 1);

    i->migrate_volatile = m->send_volatile;
    i->skipped_offered_bytes = m->stats.skipped_offered * GPH_FRAME_BYTES;
    i->skipped_discarded_bytes = m->stats.skipped_gone * GPH_FRAME_BYTES;
    i->skipped_bytes = i->skipped_offered_bytes + i->skipped_discarded_bytes;
    i->taken_back_bytes = m->stats.taken_back * GPH_FRAME_BYTES;
    i->arrived_discarded_bytes = m->stats.arrived * GPH_FRAME_BYTES;
    return i;
}

static void query_mmu(const GphSecondaryMmu *mmu, void *opaque)
{
    GphSecondaryMmuInfoList **list = opaque;
    GphSecondaryMmuInfo *info = g_new0(GphSecondaryMmuInfo, 1);

    info->name = g_strdup(mmu->name);
    info->flushes = qatomic_read(&mmu->flushes);
    info->broken = g_strdup(qatomic_read(&mmu->broken));
    QAPI_LIST_PREPEND(*list, info);
}

GphInfo *qmp_x_query_gph(Error **errp)
{
    VirtIOGPH *s = find_device(errp);
    GphInfo *info;
    GphCensus census;
    GphStats stats;

    if (!s) {
        return NULL;
    }
    gph_census(s->engine, &census);
    gph_get_stats(s->engine, &stats);
    info = g_new0(GphInfo, 1);
    info->abi = s->abi;
    info->nr_frames = s->nr_frames;
    info->table_bytes = s->region_size;
    info->driver_ok = virtio_gph_driver_ok(s);
    info->inhibited = g_strdup(virtio_gph_inhibited());
    info->torture = s->torture;
    info->age_requests = s->age_request;
    info->memfd_bytes = gph_memory_allocated(&s->memory);
    info->states = query_states(&census);
    info->takeable_by_run = query_runs(census.takeable_class);
    info->trapped_pages = census.trapped;
    info->host_discarded_pages = census.discarded;
    info->totals = query_totals(&stats);
    info->migration = query_migration(&s->migration);
    gph_mmus_foreach(&s->mmus, query_mmu, &info->secondary_mmus);
    info->pressure = virtio_gph_pressure_query(s);
    return info;
}

static VirtIOGPH *find_running(Error **errp)
{
    VirtIOGPH *s = find_device(errp);

    if (s && !virtio_gph_driver_ok(s)) {
        error_setg(errp, "the guest's virtio-gph driver is not up");
        return NULL;
    }
    return s;
}

static bool check_args(uint64_t bytes, uint64_t max_us, Error **errp)
{
    if (!bytes) {
        error_setg(errp, "'bytes' must not be 0");
        return false;
    }
    if (!max_us || max_us > GPH_MAX_US) {
        error_setg(errp, "'max-time-us' must be 1 to %" PRIu64, GPH_MAX_US);
        return false;
    }
    return true;
}

static GphStopReason stop_reason(GphStop stop)
{
    switch (stop) {
    case GPH_STOP_GOAL:
        return GPH_STOP_REASON_GOAL;
    case GPH_STOP_TIME:
        return GPH_STOP_REASON_TIME;
    case GPH_STOP_EMPTY:
        return GPH_STOP_REASON_EMPTY;
    case GPH_STOP_RESET:
        return GPH_STOP_REASON_RESET;
    case GPH_STOP_FAILED:
        return GPH_STOP_REASON_FAILED;
    default:
        return GPH_STOP_REASON_INHIBITED;
    }
}

static GphReclaimResult *result(const GphReclaim *r, GphStop stop,
                                int64_t start_us)
{
    GphReclaimResult *ret = g_new0(GphReclaimResult, 1);

    ret->discarded_bytes = r->discarded * GPH_FRAME_BYTES;
    ret->freed_bytes = r->freed_bytes;
    ret->scanned_frames = r->scanned;
    ret->duration_us = qemu_clock_get_us(QEMU_CLOCK_REALTIME) - start_us;
    ret->stopped = stop_reason(stop);
    trace_virtio_gph_reclaim(ret->discarded_bytes, ret->freed_bytes,
                             ret->duration_us,
                             GphStopReason_str(ret->stopped));
    return ret;
}

GphReclaimResult *coroutine_fn qmp_x_gph_reclaim(uint64_t bytes,
                                                 bool has_max_time_us,
                                                 uint64_t max_time_us,
                                                 Error **errp)
{
    VirtIOGPH *s = find_running(errp);
    uint64_t max_us = has_max_time_us ? max_time_us : GPH_DEFAULT_US;
    int64_t start_us = qemu_clock_get_us(QEMU_CLOCK_REALTIME);
    const char *inhibited = virtio_gph_inhibited();
    GphStop stop;
    GphReclaim r;

    if (!s || !check_args(bytes, max_us, errp)) {
        return NULL;
    }
    if (inhibited) {
        error_setg(errp, "memory cannot be taken now: %s", inhibited);
        return NULL;
    }
    /* Rounded up, also when all 64 bits are set. */
    stop = virtio_gph_reclaim(s, &r, bytes / GPH_FRAME_BYTES +
                              !!(bytes % GPH_FRAME_BYTES), max_us);
    return result(&r, stop, start_us);
}

void qmp_x_gph_age(Error **errp)
{
    VirtIOGPH *s = find_running(errp);

    if (s) {
        virtio_gph_request_ageing(s);
    }
}

static void print_states(Monitor *mon, const GphStates *s)
{
    const struct {
        const char *name;
        const GphAmount *amount;
    } rows[] = {
        { "stable", s->stable }, { "unused", s->unused },
        { "volatile", s->q_volatile }, { "discarding", s->discarding },
        { "discarded", s->discarded }, { "claimed", s->claimed },
    };
    size_t i;

    for (i = 0; i < ARRAY_SIZE(rows); i++) {
        monitor_printf(mon, "%-11s %12" PRIu64 " pages %16" PRIu64 " bytes\n",
                       rows[i].name, rows[i].amount->pages,
                       rows[i].amount->bytes);
    }
}

static void print_mmus(Monitor *mon, const GphSecondaryMmuInfoList *list)
{
    for (; list; list = list->next) {
        monitor_printf(mon, "secondary MMU %s: %" PRIu64 " flushes%s%s\n",
                       list->value->name, list->value->flushes,
                       list->value->broken ? ", broken: " : "",
                       list->value->broken ?: "");
    }
}

static void hmp_info_gph(Monitor *mon, const QDict *qdict)
{
    Error *err = NULL;
    g_autoptr(GphInfo) info = qmp_x_query_gph(&err);

    if (hmp_handle_error(mon, err)) {
        return;
    }
    monitor_printf(mon, "driver: %s, inhibited: %s, torture: %" PRIu32 "\n",
                   info->driver_ok ? "up" : "not up",
                   info->inhibited ? info->inhibited : "no", info->torture);
    print_states(mon, info->states);
    monitor_printf(mon, "takeable by run (bytes): 2M %" PRIu64 ", 64K %" PRIu64
                   ", shorter %" PRIu64 "\n", info->takeable_by_run->blocks_2m,
                   info->takeable_by_run->runs_64k,
                   info->takeable_by_run->singles);
    monitor_printf(mon, "discarded %" PRIu64 " bytes, freed %" PRIu64
                   " bytes, memfd %" PRIu64 " bytes\n",
                   info->totals->discarded_bytes, info->totals->freed_bytes,
                   info->memfd_bytes);
    monitor_printf(mon, "faults %" PRIu64 ", rescued %" PRIu64 ", reused %"
                   PRIu64 ", races lost %" PRIu64 ", violations %" PRIu64 "\n",
                   info->totals->faults, info->totals->rescued_pages,
                   info->totals->reused_pages, info->totals->races_lost,
                   info->totals->violations->total);
    monitor_printf(mon, "migration: skipped %" PRIu64 " bytes, taken back %"
                   PRIu64 " bytes, arrived discarded %" PRIu64 " bytes\n",
                   info->migration->skipped_bytes,
                   info->migration->taken_back_bytes,
                   info->migration->arrived_discarded_bytes);
    print_mmus(mon, info->secondary_mmus);
    monitor_printf(mon, "pressure: %s, episodes %" PRIu64 ", taken %" PRIu64
                   " bytes, backoffs %" PRIu64 "\n",
                   !info->pressure->settings->enabled ? "off" :
                   info->pressure->active ? "active" : "none",
                   info->pressure->episodes, info->pressure->taken_bytes,
                   info->pressure->backoffs);
}

static void virtio_gph_qmp_register(void)
{
    monitor_register_hmp("gph", true, hmp_info_gph);
}

type_init(virtio_gph_qmp_register)
