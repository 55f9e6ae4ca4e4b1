/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-gph: what the device does by itself when the host is short of memory.
 *
 * Three parts: gph-host-memory.c reads the kernel's files and hears its events,
 * gph/gph-policy.c decides, and this one is between them: a timer for the next
 * look, which is not armed when nothing can happen unseen, and a coroutine that
 * takes what was decided.  While that runs, or anybody else takes memory, there
 * is no look.
 *
 * A look reads some small files.  It does not read the guest's table, and the
 * guest does not notice it.
 */
#include "qemu/osdep.h"
#include <linux/virtio_gph.h>
#include "hw/virtio/gph-host-memory.h"
#include "hw/virtio/virtio-gph.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-gph.h"
#include "qapi/qapi-events-gph.h"
#include "qemu/coroutine.h"
#include "qemu/timer.h"
#include "trace.h"

#define GPH_FRAME_BYTES     (UINT64_C(1) << VIRTIO_GPH_FRAME_SHIFT)

/* One decision is carried out in at most this, then there is another look. */
#define TAKE_US             100000
/* Events come in bursts; looks are at least so far apart. */
#define EVENT_LOOK_US       10000
/* Memory cannot be taken; nobody tells when it can. */
#define INHIBITED_LOOK_US   1000000
/* Between two searches for a cgroup that has gone. */
#define REOPEN_US           10000000

struct GphPressureWatch {
    VirtIOGPH *s;
    GphPolicy policy;
    GphHostMemory *host;
    QEMUTimer *timer;
    int64_t next_look_us;       /* when the timer is armed, else -1 */
    int64_t last_look_us;
    int64_t last_take_us;       /* -1: never */
    int64_t opened_us;
    uint64_t want;              /* what the coroutine is to take */
    bool taking;
    bool stall;                 /* since the last look */
    bool lost;

    uint64_t looks;
    uint64_t stalls;
    uint64_t limit_events;
    uint64_t ageings;

    GphLimit limits[GPH_POLICY_MAX_LIMITS];
    const char *names[GPH_POLICY_MAX_LIMITS];
    unsigned nr_limits;
};

static int64_t now_us(void)
{
    return qemu_clock_get_us(QEMU_CLOCK_REALTIME);
}

static uint64_t guest_bytes(const VirtIOGPH *s)
{
    uint64_t frames = 0;
    guint i;

    for (i = 0; i < s->memory.sections->n; i++) {
        frames += s->memory.sections->section[i].run.n;
    }
    return frames * GPH_FRAME_BYTES;
}

/*
 * Bytes that the guest wanted back.  Discard faults are; a frame that is used
 * again may be, or may hold something new.  The device cannot tell these apart,
 * because a guest that misses a page reads it into any frame.
 */
static uint64_t returned_bytes(VirtIOGPH *s)
{
    GphStats stats;

    gph_get_stats(s->engine, &stats);
    return (stats.faults + stats.reused) * GPH_FRAME_BYTES;
}

/* --- when to look --- */

static void arm_at(GphPressureWatch *w, int64_t when_us)
{
    w->next_look_us = when_us;
    timer_mod(w->timer, when_us);
}

static void arm(GphPressureWatch *w, uint64_t in_us)
{
    if (in_us == GPH_POLICY_EVENT) {
        timer_del(w->timer);
        w->next_look_us = -1;
    } else {
        arm_at(w, now_us() + MIN(in_us, GPH_POLICY_FAR_US));
    }
}

/* Something has happened: look, but not too often. */
static void look_soon(GphPressureWatch *w)
{
    int64_t when_us = MAX(now_us(), w->last_look_us + EVENT_LOOK_US);

    if (!w->taking && (w->next_look_us < 0 || w->next_look_us > when_us)) {
        arm_at(w, when_us);
    }
}

static void host_event(void *opaque, GphHostEvent event)
{
    GphPressureWatch *w = opaque;

    trace_virtio_gph_pressure_event(event);
    switch (event) {
    case GPH_HOST_STALL:
        w->stalls++;
        w->stall = true;
        break;
    case GPH_HOST_LIMIT:
        w->limit_events++;
        break;
    case GPH_HOST_LOST:
        w->lost = true;
        break;
    }
    look_soon(w);
}

static void open_host(GphPressureWatch *w)
{
    gph_host_memory_free(w->host);
    w->nr_limits = 0;
    w->lost = false;
    w->opened_us = now_us();
    w->host = gph_host_memory_new(w->s->pressure.root, host_event, w);
}

/* --- a look --- */

static void tell(GphPressureWatch *w, bool was_active)
{
    const GphPolicy *p = &w->policy;

    if (p->episode != was_active) {
        trace_virtio_gph_pressure(p->episode, p->headroom);
        qapi_event_send_x_gph_pressure(p->episode, p->critical, p->headroom,
                                       p->taken_bytes);
    }
}

static GphVerdict decide(GphPressureWatch *w)
{
    VirtIOGPH *s = w->s;
    bool was_active = w->policy.episode;
    GphReadings r = {
        .now_us = now_us(),
        .stall = w->stall,
        .limits = w->limits,
        .guest_bytes = guest_bytes(s),
        .resident = gph_memory_allocated(&s->memory),
        .returned = returned_bytes(s),
    };
    GphVerdict v;

    w->nr_limits = gph_host_memory_read(w->host, w->limits, w->names,
                                        ARRAY_SIZE(w->limits));
    w->lost |= gph_host_memory_lost(w->host);
    r.nr_limits = w->nr_limits;
    v = gph_policy_look(&w->policy, &r);
    w->stall = false;
    trace_virtio_gph_pressure_look(w->policy.headroom, v.take, v.next_us);
    tell(w, was_active);
    return v;
}

static void coroutine_fn take(void *opaque)
{
    GphPressureWatch *w = opaque;
    VirtIOGPH *s = w->s;
    int64_t start_us = now_us();
    uint64_t bytes;
    GphVerdict v;
    GphReclaim r;
    GphStop stop;

    stop = virtio_gph_reclaim(s, &r, w->want / GPH_FRAME_BYTES, TAKE_US);
    if (s->watch != w) {
        g_free(w);
        return;
    }
    bytes = r.discarded * GPH_FRAME_BYTES;
    w->taking = false;
    w->last_take_us = now_us();
    /* What there was no time for is not what there was not. */
    v = gph_policy_taken(&w->policy, w->last_take_us,
                         stop == GPH_STOP_TIME ? bytes : w->want, bytes,
                         w->last_take_us - start_us);
    trace_virtio_gph_pressure_take(w->want, bytes, w->last_take_us - start_us);
    if (v.age && virtio_gph_driver_ok(s)) {
        w->ageings++;
        virtio_gph_request_ageing(s);
    }
    arm(w, w->stall ? EVENT_LOOK_US : v.next_us);
}

static void begin_taking(GphPressureWatch *w, uint64_t bytes)
{
    w->want = bytes;
    w->taking = true;
    timer_del(w->timer);
    w->next_look_us = -1;
    qemu_coroutine_enter(qemu_coroutine_create(take, w));
}

static void look(void *opaque)
{
    GphPressureWatch *w = opaque;
    GphVerdict v;

    w->next_look_us = -1;
    w->last_look_us = now_us();
    if (w->taking || !w->policy.set.enabled || !virtio_gph_driver_ok(w->s)) {
        return;
    }
    if (w->lost && w->last_look_us - w->opened_us >= REOPEN_US) {
        open_host(w);
    }
    w->looks++;
    v = decide(w);
    if (w->lost) {
        v.next_us = MIN(v.next_us, REOPEN_US);
    }
    if (!v.take) {
        arm(w, v.next_us);
    } else if (virtio_gph_inhibited()) {
        arm(w, INHIBITED_LOOK_US);
    } else if (w->s->reclaimers) {
        arm(w, GPH_POLICY_LOOK_US);
    } else {
        begin_taking(w, v.take);
    }
}

/* --- the device --- */

void virtio_gph_pressure_defaults(VirtIOGPH *s)
{
    s->pressure.set = gph_policy_defaults();
}

bool virtio_gph_pressure_check(VirtIOGPH *s, Error **errp)
{
    const char *bad = gph_policy_check(&s->pressure.set);

    if (bad) {
        error_setg(errp, "virtio-gph: bad pressure settings: %s", bad);
        error_append_hint(errp, "The properties are x-pressure-cgroup for "
                          "'cgroup-percent' and so on\n");
        return false;
    }
    return true;
}

void virtio_gph_pressure_start(VirtIOGPH *s)
{
    GphPressureWatch *w = g_new0(GphPressureWatch, 1);

    w->s = s;
    w->next_look_us = -1;
    w->last_take_us = -1;
    w->timer = timer_new_us(QEMU_CLOCK_REALTIME, look, w);
    gph_policy_init(&w->policy, &s->pressure.set);
    s->watch = w;
    if (s->pressure.set.enabled) {
        open_host(w);
    }
}

void virtio_gph_pressure_stop(VirtIOGPH *s)
{
    GphPressureWatch *w = s->watch;

    s->watch = NULL;
    if (w) {
        timer_free(w->timer);
        gph_host_memory_free(w->host);
        if (!w->taking) {
            g_free(w);
        }
    }
}

void virtio_gph_pressure_kick(VirtIOGPH *s)
{
    if (s->watch && s->watch->policy.set.enabled) {
        look_soon(s->watch);
    }
}

/* --- QMP --- */

static GphPressureSettings *query_settings(const GphPolicySettings *set)
{
    GphPressureSettings *q = g_new0(GphPressureSettings, 1);

    q->enabled = set->enabled;
    q->floor = set->floor;
    q->rate = set->rate;
    q->cgroup_percent = set->cgroup_percent;
    q->host_percent = set->host_percent;
    q->critical_percent = set->critical_percent;
    q->hysteresis_percent = set->hysteresis_percent;
    q->step_percent = set->step_percent;
    q->backoff_percent = set->backoff_percent;
    return q;
}

static GphPressureLimitList *query_limits(const GphPressureWatch *w)
{
    GphPressureLimitList *list = NULL, **tail = &list;
    unsigned i;

    for (i = 0; i < w->nr_limits; i++) {
        GphPressureLimit *q = g_new0(GphPressureLimit, 1);

        q->name = g_strdup(w->names[i]);
        q->limit = w->limits[i].limit;
        q->used = w->limits[i].used;
        q->reclaimable = w->limits[i].reclaimable;
        QAPI_LIST_APPEND(tail, q);
    }
    return list;
}

static void query_host(const GphHostMemory *host, GphPressure *q)
{
    const char *why;

    q->cgroup = g_strdup(gph_host_memory_cgroup(host, &why));
    q->cgroup_missing = g_strdup(why);
    q->psi = g_strdup(gph_host_memory_psi(host, &why));
    q->psi_missing = g_strdup(why);
}

GphPressure *virtio_gph_pressure_query(VirtIOGPH *s)
{
    const GphPressureWatch *w = s->watch;
    const GphPolicy *p = &w->policy;
    GphPressure *q = g_new0(GphPressure, 1);

    q->settings = query_settings(&p->set);
    if (w->host) {
        query_host(w->host, q);
    }
    q->limits = query_limits(w);
    q->active = p->episode;
    q->critical = p->critical;
    q->episodes = p->episodes;
    q->taken_bytes = p->taken_bytes;
    q->backoffs = p->backoffs;
    q->looks = w->looks;
    q->stalls = w->stalls;
    q->limit_events = w->limit_events;
    q->ageings = w->ageings;
    q->has_last_take_us = w->last_take_us >= 0;
    q->last_take_us = q->has_last_take_us ? now_us() - w->last_take_us : 0;
    q->has_next_look_us = w->next_look_us >= 0;
    q->next_look_us = MAX(0, w->next_look_us - now_us());
    return q;
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
    VirtIOGPH *s = virtio_gph_find();
    GphPolicySettings set;
    const char *bad;
    bool was_active;

    if (!s) {
        error_setg(errp, "there is no virtio-gph device");
        return;
    }
    set = s->watch->policy.set;
#define CHANGE(name) do { set.name = has_##name ? name : set.name; } while (0)
    CHANGE(enabled);
    CHANGE(floor);
    CHANGE(rate);
    CHANGE(cgroup_percent);
    CHANGE(host_percent);
    CHANGE(critical_percent);
    CHANGE(hysteresis_percent);
    CHANGE(step_percent);
    CHANGE(backoff_percent);
#undef CHANGE
    bad = gph_policy_check(&set);
    if (bad) {
        error_setg(errp, "%s", bad);
        return;
    }
    was_active = s->watch->policy.episode;
    gph_policy_set(&s->watch->policy, &set);
    tell(s->watch, was_active);
    /* Also the way to tell that QEMU was moved to another cgroup. */
    if (set.enabled) {
        open_host(s->watch);
        look_soon(s->watch);
    } else {
        gph_host_memory_free(s->watch->host);
        s->watch->host = NULL;
        s->watch->nr_limits = 0;
        arm(s->watch, GPH_POLICY_EVENT);
    }
}
