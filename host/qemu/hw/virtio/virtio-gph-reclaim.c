/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-gph: one reclaim at a time, whoever wants it.
 *
 * A reclaim is a coroutine of the main loop that lets others run between two
 * batches.  QMP and the pressure watcher both come here, and the second waits
 * until the first has come to its end: two at once would share the engine's
 * cursor, and each would miss the blocks that the other has passed.
 */
#include "qemu/osdep.h"
#include "block/aio.h"
#include "hw/virtio/virtio-gph.h"
#include "qemu/coroutine.h"
#include "qemu/main-loop.h"
#include "qemu/timer.h"

/*
 * Let the main loop run between two batches, so that the guest's devices do not
 * stand still while a large goal is met.  Anything may have happened then.
 */
static void coroutine_fn let_others_run(void)
{
    aio_co_schedule(qemu_get_aio_context(), qemu_coroutine_self());
    qemu_coroutine_yield();
}

static GphStop coroutine_fn run(VirtIOGPH *s, GphReclaim *r)
{
    GphStop stop;

    for (;;) {
        stop = gph_reclaim_step(s->engine, r);
        if (stop != GPH_RUNNING) {
            return stop;
        }
        let_others_run();
        if (virtio_gph_find() != s || virtio_gph_inhibited()) {
            return stop;
        }
    }
}

GphStop coroutine_fn virtio_gph_reclaim(VirtIOGPH *s, GphReclaim *r,
                                        uint64_t frames, uint64_t max_us)
{
    int64_t start_us = qemu_clock_get_us(QEMU_CLOCK_REALTIME);
    uint64_t waited;
    GphStop stop = GPH_RUNNING;

    memset(r, 0, sizeof(*r));
    object_ref(OBJECT(s));
    s->reclaimers++;
    qemu_co_mutex_lock(&s->reclaim_lock);
    waited = MAX(0, qemu_clock_get_us(QEMU_CLOCK_REALTIME) - start_us);
    if (waited >= max_us) {
        stop = GPH_STOP_TIME;
    } else if (virtio_gph_find() == s && !virtio_gph_inhibited()) {
        gph_reclaim_start(s->engine, r, frames, max_us - waited);
        stop = run(s, r);
    }
    qemu_co_mutex_unlock(&s->reclaim_lock);
    s->reclaimers--;
    object_unref(OBJECT(s));
    return stop;
}
