/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gph pressure policy: how much to take from the guest now, when to look again.
 *
 * When to look.  Nothing tells us that a limit comes near: memory.events and
 * PSI speak when the kernel has begun to reclaim.  So the distance to the start
 * threshold, divided by the fastest that memory can be filled, is the time that
 * may pass unseen.  A limit that the guest cannot reach with all of its memory,
 * and that nobody else fills, needs no timer at all.
 *
 * How early to begin.  Start and stop move up by what the guest fills in two
 * looks at its present speed, critical by what it fills in one, so that a burst
 * meets a larger reserve.
 *
 * Percents of bytes are taken by percent(), which cannot overflow, and sums
 * saturate: readings may be garbage.
 */
#include <stddef.h>
#include <string.h>

#include "gph-policy.h"

#define SECOND_US       UINT64_C(1000000)
#define MIB             (UINT64_C(1) << 20)
#define GIB             (UINT64_C(1) << 30)

/* The fastest that one guest, or several together, can fill memory. */
#define GUEST_FILL      (1 * GIB)
#define SHARED_FILL     (4 * GIB)

/* Near a limit, but nothing grows: looks become this rare. */
#define IDLE_US         UINT64_C(250000)
/* Growth that is none: noise of the kernel's batched charges. */
#define NOISE           (1 * MIB)

/* The largest piece that a guest can offer. */
#define UNIT_BYTES      (2 * MIB)
/* What is not worth a scan of the table. */
#define LEAST_TAKE      (1 * MIB)

/* A pause after a look with nothing to take doubles up to these. */
#define DRY_US          UINT64_C(100000)
#define DRY_CRITICAL_MAX 3      /* 800 ms */
#define DRY_MAX         7       /* 12.8 s */

/* Work takes at most this part of the time, except when critical. */
#define COST_SHARE      10
#define COST_SHARE_CRITICAL 2

#define WINDOW_US       SECOND_US
/* Too few to judge by. */
#define WINDOW_LEAST    (4 * MIB)
#define BACKOFF_US      UINT64_C(250000)
#define BACKOFF_MAX     6       /* 8 s after the first doubling */

static uint64_t min64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t max64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t minus(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

static uint64_t plus(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* @a * @b / @c, as large as 64 bits can say; @c is not 0. */
static uint64_t scale(uint64_t a, uint64_t b, uint64_t c)
{
    __extension__ unsigned __int128 x = a;

    x = x * b / c;
    return x > UINT64_MAX ? UINT64_MAX : (uint64_t)x;
}

static uint64_t percent(uint64_t bytes, uint32_t share)
{
    return scale(bytes, share, 100);
}

GphPolicySettings gph_policy_defaults(void)
{
    return (GphPolicySettings){
        .enabled = true,
        .floor = 64 * MIB,
        .rate = 2 * GIB,
        .cgroup_percent = 10,
        .host_percent = 20,
        .critical_percent = 5,
        .hysteresis_percent = 5,
        .step_percent = 5,
        .backoff_percent = 50,
    };
}

static bool bad_percent(uint32_t value)
{
    return !value || value > GPH_POLICY_MAX_PERCENT;
}

const char *gph_policy_check(const GphPolicySettings *set)
{
    if (bad_percent(set->cgroup_percent)) {
        return "'cgroup-percent' must be 1 to 90";
    }
    if (bad_percent(set->host_percent)) {
        return "'host-percent' must be 1 to 90";
    }
    if (bad_percent(set->critical_percent) ||
        set->critical_percent >= set->cgroup_percent ||
        set->critical_percent >= set->host_percent) {
        return "'critical-percent' must be at least 1, and less than "
               "'cgroup-percent' and 'host-percent'";
    }
    if (!set->hysteresis_percent ||
        set->hysteresis_percent > GPH_POLICY_MAX_PERCENT ||
        set->hysteresis_percent + set->cgroup_percent > 95 ||
        set->hysteresis_percent + set->host_percent > 95) {
        return "'hysteresis-percent' must be at least 1, and with "
               "'cgroup-percent' or 'host-percent' at most 95";
    }
    if (!set->step_percent || set->step_percent > 100) {
        return "'step-percent' must be 1 to 100";
    }
    if (!set->backoff_percent || set->backoff_percent > 1000) {
        return "'backoff-percent' must be 1 to 1000";
    }
    if (set->rate < GPH_POLICY_MIN_RATE) {
        return "'rate' must be at least 1 MiB per second";
    }
    return NULL;
}

void gph_policy_init(GphPolicy *p, const GphPolicySettings *set)
{
    memset(p, 0, sizeof(*p));
    p->set = *set;
    p->budget = set->rate;
}

void gph_policy_set(GphPolicy *p, const GphPolicySettings *set)
{
    p->set = *set;
    p->budget = min64(p->budget, set->rate);
    p->episode = false;
    p->critical = false;
    p->backoff = 0;
    p->backoff_until = 0;
    p->hold_until = 0;
    p->dry = 0;
}

/* --- time --- */

/*
 * Advance the policy's clock and fill the budget.  A clock that goes back
 * stands still; one that leaps counts as a second, which fills the budget.
 */
static uint64_t tick(GphPolicy *p, uint64_t now_us)
{
    uint64_t elapsed = p->started ? minus(now_us, p->last_us) : 0;

    p->started = true;
    p->last_us = now_us;
    p->clock_us += min64(elapsed, GPH_POLICY_FAR_US);
    p->budget = min64(p->set.rate,
                      plus(p->budget, scale(p->set.rate,
                                            min64(elapsed, SECOND_US),
                                            SECOND_US)));
    return elapsed;
}

/* How fast the guest fills memory: rises at once, falls by half a look. */
static void watch_fill(GphPolicy *p, uint64_t resident, uint64_t elapsed)
{
    uint64_t grown = minus(resident, p->last_resident);

    if (elapsed >= GPH_POLICY_LOOK_US / 10) {
        p->fill = p->last_resident ?
                  max64(scale(grown, SECOND_US, elapsed), p->fill / 2) : 0;
    }
    p->idle = grown > NOISE ? 0 : p->idle + (p->idle < 16);
    p->last_resident = resident;
}

/* --- back-off --- */

/*
 * Compare what came back in a window with what was taken in it.  Too much:
 * pause, each time twice as long.  If not, the next pause is shorter again.
 */
static void judge_window(GphPolicy *p, uint64_t returned)
{
    uint64_t back = minus(returned, p->window_returned);

    if (p->window_taken >= WINDOW_LEAST &&
        back > percent(p->window_taken, p->set.backoff_percent)) {
        p->backoff += p->backoff < BACKOFF_MAX;
        p->backoffs++;
        p->backoff_until = p->clock_us + (BACKOFF_US << (p->backoff - 1));
    } else if (p->backoff) {
        p->backoff--;
    }
    p->window_start = max64(p->clock_us, p->backoff_until);
    p->window_taken = 0;
    p->window_returned = returned;
}

static void watch_returned(GphPolicy *p, uint64_t returned)
{
    /* In a pause nothing can be learnt, the next window begins after it. */
    if (returned < p->window_returned || p->clock_us < p->window_start) {
        p->window_returned = returned;
    }
    if (minus(p->clock_us, p->window_start) >= WINDOW_US) {
        judge_window(p, returned);
    }
}

/* --- one limit --- */

typedef struct Thresholds {
    uint64_t critical, start, stop;
} Thresholds;

static Thresholds thresholds(const GphPolicy *p, const GphLimit *l)
{
    uint32_t share = l->host ? p->set.host_percent : p->set.cgroup_percent;
    uint64_t lead = min64(scale(p->fill, 2 * GPH_POLICY_LOOK_US, SECOND_US),
                          l->limit / 4);

    return (Thresholds){
        .critical = plus(percent(l->limit, p->set.critical_percent), lead / 2),
        .start = plus(percent(l->limit, share), lead),
        .stop = plus(percent(l->limit, share + p->set.hysteresis_percent),
                     lead),
    };
}

static uint64_t headroom(const GphLimit *l)
{
    uint64_t kept = minus(l->used, l->reclaimable);

    return minus(l->limit, kept);
}

/* What one look says about all limits together. */
typedef struct Shortage {
    bool start;                 /* one is below its start */
    bool go_on;                 /* one is so much below its stop that it pays */
    bool critical;
    uint64_t want;              /* bytes */
    uint64_t next_us;
} Shortage;

/* When may this limit be short, if it is not now? */
static uint64_t time_to(const GphPolicy *p, const GphLimit *l,
                        const GphReadings *r, uint64_t distance)
{
    uint64_t us;

    if (!l->shared && distance > minus(r->guest_bytes, r->resident)) {
        return GPH_POLICY_EVENT;
    }
    us = scale(distance, SECOND_US, l->shared ? SHARED_FILL : GUEST_FILL);
    if (p->idle) {
        us = max64(us, min64(IDLE_US, GPH_POLICY_LOOK_US << p->idle));
    }
    return min64(max64(us, GPH_POLICY_LOOK_US), GPH_POLICY_FAR_US);
}

/*
 * The guest's part of what is missing: of a cgroup's limit all, of the host's
 * RAM what the guest has of it, so that many guests do not all take the whole.
 */
static uint64_t part(const GphLimit *l, const GphReadings *r, uint64_t missing)
{
    if (!l->host || !l->used || r->resident >= l->used) {
        return missing;
    }
    return max64(scale(missing, r->resident, l->used), LEAST_TAKE);
}

static void add_limit(const GphPolicy *p, const GphLimit *l,
                      const GphReadings *r, Shortage *s)
{
    Thresholds t = thresholds(p, l);
    uint64_t room = headroom(l);
    uint64_t missing = minus(t.stop, room);

    if (room >= t.start) {
        s->next_us = min64(s->next_us, time_to(p, l, r, room - t.start));
    }
    s->start |= room < t.start;
    s->go_on |= missing >= LEAST_TAKE;
    if (room < t.critical) {
        s->critical = true;
        s->want = max64(s->want, missing);
    } else if (missing) {
        s->want = max64(s->want, part(l, r, missing));
    }
}

static Shortage look_at_limits(GphPolicy *p, const GphReadings *r)
{
    Shortage s = { .next_us = GPH_POLICY_EVENT };
    unsigned i;

    p->headroom = UINT64_MAX;
    for (i = 0; i < r->nr_limits && i < GPH_POLICY_MAX_LIMITS; i++) {
        p->headroom = min64(p->headroom, headroom(&r->limits[i]));
        add_limit(p, &r->limits[i], r, &s);
    }
    return s;
}

/* --- the whole --- */

static void begin_or_end(GphPolicy *p, const Shortage *s)
{
    if (!p->episode && s->start && s->go_on) {
        p->episode = true;
        p->episodes++;
    } else if (p->episode && !s->go_on) {
        p->episode = false;
        p->dry = 0;
    }
    p->critical = p->episode && s->critical;
    if (p->critical) {
        p->hold_until = min64(p->hold_until, p->clock_us +
                              (DRY_US << DRY_CRITICAL_MAX));
    }
}

/* Until when nothing may be taken, however much is wanted. */
static uint64_t not_before(const GphPolicy *p)
{
    return p->critical ? p->hold_until : max64(p->hold_until, p->backoff_until);
}

/* What may go: a reclaim takes up to one unit more than it is told. */
static uint64_t above_floor(const GphPolicy *p, const GphReadings *r)
{
    return minus(r->resident, plus(p->set.floor, UNIT_BYTES));
}

static uint64_t how_much(const GphPolicy *p, const GphReadings *r,
                         const Shortage *s)
{
    uint64_t step = percent(r->guest_bytes, p->set.step_percent);
    uint64_t bytes = 0;

    if (p->episode) {
        bytes = p->critical ? s->want : min64(s->want, step);
    } else if (r->stall) {
        bytes = percent(r->resident, p->set.step_percent);
    }
    bytes = min64(bytes, above_floor(p, r));
    bytes = min64(bytes, p->budget);
    return bytes;
}

/*
 * Until the next look of an episode.  A look costs little, a scan does not: even
 * where nothing may be taken for long, something can become critical soon.
 */
static uint64_t pause_us(const GphPolicy *p)
{
    return max64(GPH_POLICY_LOOK_US,
                 min64(IDLE_US, minus(not_before(p), p->clock_us)));
}

GphVerdict gph_policy_look(GphPolicy *p, const GphReadings *r)
{
    GphVerdict v = { .next_us = GPH_POLICY_EVENT };
    uint64_t elapsed = tick(p, r->now_us);
    Shortage s;

    watch_fill(p, r->resident, elapsed);
    watch_returned(p, r->returned);
    if (!p->set.enabled) {
        p->episode = false;
        p->critical = false;
        return v;
    }
    s = look_at_limits(p, r);
    begin_or_end(p, &s);
    if (p->clock_us >= not_before(p)) {
        v.take = how_much(p, r, &s);
        if (v.take < LEAST_TAKE) {
            v.take = 0;
        }
    }
    v.next_us = s.next_us;
    if (p->episode) {
        v.next_us = above_floor(p, r) ? pause_us(p) : IDLE_US;
    }
    return v;
}

/* Little came: the guest has nothing cold, so look less and less often. */
static bool found_little(GphPolicy *p)
{
    unsigned max = p->critical ? DRY_CRITICAL_MAX : DRY_MAX;

    p->hold_until = max64(p->hold_until, p->clock_us +
                          (DRY_US << (p->dry < max ? p->dry : max)));
    p->dry += p->dry < DRY_MAX;
    if (p->clock_us < p->age_after) {
        return false;
    }
    p->age_after = p->clock_us + GPH_POLICY_AGE_US;
    return true;
}

GphVerdict gph_policy_taken(GphPolicy *p, uint64_t now_us, uint64_t wanted,
                            uint64_t taken, uint64_t cost_us)
{
    unsigned share = p->critical ? COST_SHARE_CRITICAL : COST_SHARE;
    GphVerdict v = { 0 };

    tick(p, now_us);
    p->taken_bytes += taken;
    p->window_taken += taken;
    p->budget = minus(p->budget, taken);
    p->last_resident = minus(p->last_resident, taken);
    p->hold_until = p->clock_us +
                    scale(min64(cost_us, SECOND_US), share - 1, 1);
    if (taken < wanted / 2) {
        v.age = found_little(p);
    } else {
        p->dry = 0;
    }
    v.next_us = pause_us(p);
    return v;
}
