/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gph pressure policy: how much to take from the guest now, when to look again.
 *
 * Pure arithmetic on readings that the caller has made: no clock, no file, no
 * QEMU.  The device and the unit tests compile it as it is.
 *
 * Words.  A *limit* is an amount of host memory that can run out: memory.high
 * or memory.max of a cgroup, or the host's RAM.  Its *headroom* is what is left
 * of it, counting what the kernel would drop before it swaps.  An *episode*
 * begins when a headroom falls below its start threshold and ends when every
 * one is above its stop threshold.  Below the critical threshold the kernel is
 * about to help itself, and that costs swap: step, fairness and back-off do not
 * count there.  Floor and rate always do.
 *
 * Not thread-safe: one caller, the reclaimer.
 */
#ifndef GPH_POLICY_H
#define GPH_POLICY_H

#include <stdbool.h>
#include <stdint.h>

/* GphVerdict.next_us: only when something happens. */
#define GPH_POLICY_EVENT        UINT64_MAX

/* Settings are refused above these. */
#define GPH_POLICY_MAX_PERCENT  90
#define GPH_POLICY_MIN_RATE     (UINT64_C(1) << 20)

/* Limits in one look: the levels of a cgroup tree, and the host. */
#define GPH_POLICY_MAX_LIMITS   16

/* Between two looks of an episode, and the shortest wait for one to begin. */
#define GPH_POLICY_LOOK_US      UINT64_C(50000)
/* The longest wait for something that can begin without an event. */
#define GPH_POLICY_FAR_US       UINT64_C(60000000)
/* Least time between two requests for ageing. */
#define GPH_POLICY_AGE_US       UINT64_C(10000000)

typedef struct GphPolicySettings {
    bool enabled;
    uint64_t floor;             /* bytes of resident guest memory: not below */
    uint64_t rate;              /* bytes per second, at most */
    uint32_t cgroup_percent;    /* begin below this share of a cgroup's limit */
    uint32_t host_percent;      /* ... of the host's RAM */
    uint32_t critical_percent;  /* of either */
    uint32_t hysteresis_percent; /* stop so much above the start */
    uint32_t step_percent;      /* of the guest's memory, in one look */
    uint32_t backoff_percent;   /* pages that come back, of those taken */
} GphPolicySettings;

typedef struct GphLimit {
    uint64_t limit;             /* bytes */
    uint64_t used;
    uint64_t reclaimable;       /* of these, what goes without swap */
    bool host;                  /* the host's RAM, not a cgroup */
    bool shared;                /* others than this guest fill it, too */
} GphLimit;

typedef struct GphReadings {
    uint64_t now_us;            /* monotonic; jumps are survived */
    bool stall;                 /* a PSI trigger has fired since the last look */
    const GphLimit *limits;
    unsigned nr_limits;
    uint64_t guest_bytes;       /* the guest's memory */
    uint64_t resident;          /* of these, what the host backs by memory */
    uint64_t returned;          /* bytes that came back, counts up */
} GphReadings;

typedef struct GphVerdict {
    uint64_t take;              /* bytes; 0: nothing now */
    uint64_t next_us;           /* look again then, or GPH_POLICY_EVENT */
    bool age;                   /* ask the guest to look for cold pages */
} GphVerdict;

typedef struct GphPolicy {
    GphPolicySettings set;

    bool episode;               /* between start and stop */
    bool critical;              /* at the last look */
    uint64_t headroom;          /* of the tightest limit at the last look */

    /* What was done, counts up. */
    uint64_t episodes;
    uint64_t taken_bytes;
    uint64_t backoffs;

    /* Time. */
    bool started;               /* last_us is valid */
    uint64_t last_us;
    uint64_t clock_us;          /* the policy's own, never goes back */
    uint64_t budget;            /* bytes that the rate allows now */
    uint64_t hold_until;        /* nothing is taken before: it is no use */
    uint64_t backoff_until;     /* nothing unless critical: it comes back */
    uint64_t age_after;
    unsigned dry;               /* looks in a row that found little to take */
    unsigned backoff;           /* doublings of the pause */

    /* How fast the guest fills memory. */
    uint64_t last_resident;
    uint64_t fill;              /* bytes per second */
    unsigned idle;              /* looks in a row without growth */

    /* The window in which what was taken and what came back are compared. */
    uint64_t window_start;
    uint64_t window_taken;
    uint64_t window_returned;
} GphPolicy;

/* The settings that nobody has changed. */
GphPolicySettings gph_policy_defaults(void);
/* What is wrong with @set and what is right, or NULL. */
const char *gph_policy_check(const GphPolicySettings *set);

/* Begin with @set, which must be good, and nothing known. */
void gph_policy_init(GphPolicy *p, const GphPolicySettings *set);
/* Other settings; counts and what is known stay, an episode ends. */
void gph_policy_set(GphPolicy *p, const GphPolicySettings *set);

/*
 * Decide by @r.  If the verdict says to take something, the caller tries and
 * then tells gph_policy_taken(), whose verdict says when to look again.
 */
GphVerdict gph_policy_look(GphPolicy *p, const GphReadings *r);
/* @wanted was asked for, @taken bytes came, in @cost_us, it is @now_us. */
GphVerdict gph_policy_taken(GphPolicy *p, uint64_t now_us, uint64_t wanted,
                            uint64_t taken, uint64_t cost_us);

#endif /* GPH_POLICY_H */
