/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-gph: guest page hinting device.
 *
 * Owns the state table that the guest maps, and the engine that takes memory by
 * it.  There is no virtqueue: the guest writes words, the host reads them, and
 * the configuration interrupt asks for ageing.
 *
 * Locks.  Everything here runs under the BQL.  The engine lock nests inside it
 * and is all that a vCPU needs when it meets a trapped frame, so a reclaim that
 * holds the BQL never stops a vCPU for longer than one block takes.
 */
#include "qemu/osdep.h"
#include <linux/virtio_gph.h>
#include "hw/boards.h"
#include "hw/qdev-properties.h"
#include "hw/virtio/virtio-gph.h"
#include "qapi/error.h"
#include "qapi/visitor.h"
#include "qemu/guest-random.h"
#include "qemu/timer.h"
#include "system/runstate.h"
#include "system/system.h"
#include "trace.h"

#define GPH_TORTURE_TICK_NS     SCALE_MS
/* What x-torture=on means, and the most that it may be, in frames. */
#define GPH_TORTURE_DEFAULT     64
#define GPH_TORTURE_MAX         GPH_BATCH_FRAMES

static VirtIOGPH *the_device;

VirtIOGPH *virtio_gph_find(void)
{
    return the_device;
}

bool virtio_gph_driver_ok(const VirtIOGPH *s)
{
    uint8_t status = s->parent_obj.status;

    return (status & VIRTIO_CONFIG_S_DRIVER_OK) &&
           !(status & VIRTIO_CONFIG_S_FAILED);
}

const char *virtio_gph_inhibited(void)
{
    if (ram_block_discard_is_disabled()) {
        return "another device or the accelerator has pinned guest memory "
               "(RAM discards are disabled, as by VFIO)";
    }
    if (the_device && gph_mmus_broken(&the_device->mmus)) {
        return gph_mmus_broken(&the_device->mmus);
    }
    if (runstate_check(RUN_STATE_INMIGRATE)) {
        return "the VM is waiting for an incoming migration";
    }
    if (runstate_check(RUN_STATE_FINISH_MIGRATE) ||
        runstate_check(RUN_STATE_POSTMIGRATE)) {
        return "the VM has migrated";
    }
    return NULL;
}

/* --- what the engine asks of us --- */

static void gph_op_lock(void *opaque)
{
    qemu_mutex_lock(&((VirtIOGPH *)opaque)->lock);
}

static void gph_op_unlock(void *opaque)
{
    qemu_mutex_unlock(&((VirtIOGPH *)opaque)->lock);
}

static void gph_op_trap(void *opaque, const GphRun *runs, unsigned n)
{
    VirtIOGPH *s = opaque;

    trace_virtio_gph_trap(n, runs[0].start, runs[0].n);
    gph_mmus_invalidate_start(&s->mmus, runs, n);
}

static int gph_op_flush(void *opaque, const GphRun *runs, unsigned n)
{
    VirtIOGPH *s = opaque;
    int ret = gph_mmus_flush(&s->mmus, runs, n);

    trace_virtio_gph_flush(n, ret);
    return ret;
}

static void gph_op_trap_end(void *opaque, const GphRun *runs, unsigned n)
{
    gph_mmus_invalidate_end(&((VirtIOGPH *)opaque)->mmus);
}

static void gph_op_untrap(void *opaque, const GphRun *run)
{
    VirtIOGPH *s = opaque;

    trace_virtio_gph_untrap(run->start, run->n);
    gph_mmus_untrap(&s->mmus, run);
}

static int gph_op_punch(void *opaque, const GphRun *run)
{
    VirtIOGPH *s = opaque;

    virtio_gph_migration_dirty(s, run);
    return gph_memory_punch(&s->memory, run);
}

static uint64_t gph_op_allocated(void *opaque)
{
    return gph_memory_allocated(&((VirtIOGPH *)opaque)->memory);
}

static uint64_t gph_op_now_us(void *opaque)
{
    return qemu_clock_get_us(QEMU_CLOCK_REALTIME);
}

static const GphEngineOps gph_ops = {
    .lock = gph_op_lock,
    .unlock = gph_op_unlock,
    .trap = gph_op_trap,
    .flush = gph_op_flush,
    .trap_end = gph_op_trap_end,
    .untrap = gph_op_untrap,
    .punch = gph_op_punch,
    .allocated = gph_op_allocated,
    .now_us = gph_op_now_us,
};

static bool gph_host_ram_addr(void *opaque, const GphRun *run,
                              ram_addr_t *addr)
{
    return gph_memory_ram_addr(&((VirtIOGPH *)opaque)->memory, run, addr);
}

static bool gph_host_frame(void *opaque, ram_addr_t addr, uint64_t *frame)
{
    return gph_memory_frame(&((VirtIOGPH *)opaque)->memory, addr, frame);
}

/* The memory map has changed, or is known for the first time. */
static void gph_memory_changed(void *opaque)
{
    VirtIOGPH *s = opaque;
    const GphSections *sections = s->memory.sections;
    g_autofree GphRun *runs = g_new0(GphRun, sections->n + 1);
    unsigned i;

    for (i = 0; i < sections->n; i++) {
        runs[i] = sections->section[i].run;
        trace_virtio_gph_range(runs[i].start, runs[i].n);
    }
    if (s->engine) {
        gph_set_ranges(s->engine, runs, i);
    }
}

/* --- torture --- */

static void gph_torture_arm(VirtIOGPH *s)
{
    if (s->torture_timer && s->torture) {
        timer_mod(s->torture_timer, qemu_clock_get_ns(QEMU_CLOCK_REALTIME) +
                                    GPH_TORTURE_TICK_NS);
    }
}

static void gph_torture_tick(void *opaque)
{
    VirtIOGPH *s = opaque;

    if (s->torture && virtio_gph_driver_ok(s) && !virtio_gph_inhibited()) {
        gph_take_random(s->engine, &s->torture_seed, s->torture);
    }
    gph_torture_arm(s);
}

static void gph_get_torture(Object *obj, Visitor *v, const char *name,
                            void *opaque, Error **errp)
{
    visit_type_uint32(v, name, &VIRTIO_GPH(obj)->torture, errp);
}

static void gph_set_torture(Object *obj, Visitor *v, const char *name,
                            void *opaque, Error **errp)
{
    VirtIOGPH *s = VIRTIO_GPH(obj);
    uint32_t value;

    if (!visit_type_uint32(v, name, &value, errp)) {
        return;
    }
    if (value > GPH_TORTURE_MAX) {
        error_setg(errp, "%s must be 0 (off) to %u frames a millisecond", name,
                   GPH_TORTURE_MAX);
        return;
    }
    s->torture = value;
    gph_torture_arm(s);
}

/* For tests: pin guest memory as a VFIO device would. */
static bool gph_get_pin(Object *obj, Error **errp)
{
    return VIRTIO_GPH(obj)->pin;
}

static void gph_set_pin(Object *obj, bool value, Error **errp)
{
    VirtIOGPH *s = VIRTIO_GPH(obj);
    int ret;

    if (value == s->pin) {
        return;
    }
    ret = ram_block_discard_disable(value);
    if (ret) {
        error_setg_errno(errp, -ret, "cannot disable RAM discards");
        return;
    }
    s->pin = value;
}

/* --- the virtio side --- */

static void virtio_gph_get_config(VirtIODevice *vdev, uint8_t *data)
{
    VirtIOGPH *s = VIRTIO_GPH(vdev);
    struct virtio_gph_config config = {
        .abi = cpu_to_le32(s->abi),
        .age_request = cpu_to_le32(s->age_request),
        .nr_frames = cpu_to_le64(s->nr_frames),
        .control_offset = cpu_to_le64(s->control_offset),
    };

    memcpy(data, &config, sizeof(config));
}

static uint64_t virtio_gph_get_features(VirtIODevice *vdev, uint64_t features,
                                        Error **errp)
{
    return features;
}

void virtio_gph_request_ageing(VirtIOGPH *s)
{
    s->age_request++;
    trace_virtio_gph_age_request(s->age_request);
    virtio_notify_config(VIRTIO_DEVICE(s));
}

static void virtio_gph_set_status(VirtIODevice *vdev, uint8_t status)
{
    trace_virtio_gph_status(status);
    virtio_gph_pressure_kick(VIRTIO_GPH(vdev));
}

/* Also a driver that goes: it writes status 0. */
static void virtio_gph_reset(VirtIODevice *vdev)
{
    VirtIOGPH *s = VIRTIO_GPH(vdev);

    trace_virtio_gph_reset();
    gph_engine_reset(s->engine);
    virtio_gph_migration_dirty(s, NULL);
}

/* --- realize --- */

static bool check_backend(HostMemoryBackend *backend, Error **errp)
{
    Object *obj = OBJECT(backend);

    if (!backend) {
        error_setg(errp, "virtio-gph needs one backend for all of the "
                   "machine's memory");
    } else if (!object_dynamic_cast(obj, TYPE_MEMORY_BACKEND_MEMFD)) {
        error_setg(errp, "virtio-gph cannot take memory back from a %s",
                   object_get_typename(obj));
    } else if (object_property_get_bool(obj, "hugetlb", &error_abort)) {
        error_setg(errp, "virtio-gph cannot take memory back from hugetlb "
                   "pages");
    } else if (!backend->share) {
        error_setg(errp, "virtio-gph needs share=on on memory backend '%s'",
                   object_get_canonical_path_component(obj));
    } else {
        return true;
    }
    error_append_hint(errp, "Use -object memory-backend-memfd,id=ram,size=...,"
                      "share=on -machine memory-backend=ram\n");
    return false;
}

static bool check_host(Error **errp)
{
    const char *inhibited;

    if (the_device) {
        error_setg(errp, "only one virtio-gph device is supported");
        return false;
    }
    if (should_mlock(mlock_state)) {
        error_setg(errp, "virtio-gph cannot take memory back that "
                   "-overcommit mem-lock keeps locked");
        error_append_hint(errp, "Use -overcommit mem-lock=off\n");
        return false;
    }
    inhibited = virtio_gph_inhibited();
    if (inhibited && ram_block_discard_is_disabled()) {
        error_setg(errp, "virtio-gph cannot take memory back: %s", inhibited);
        error_append_hint(errp, "Remove the device that pins guest memory\n");
        return false;
    }
    return true;
}

/* The region: words, then the control page, sized to be a PCI BAR. */
static bool create_table(VirtIOGPH *s, Error **errp)
{
    uint64_t page = UINT64_C(1) << VIRTIO_GPH_FRAME_SHIFT;

    s->nr_frames = gph_memory_end(&s->memory);
    if (!s->nr_frames) {
        error_setg(errp, "virtio-gph: the machine maps no memory that could "
                   "be taken back");
        return false;
    }
    s->control_offset = ROUND_UP(s->nr_frames * sizeof(gph_word_t), page);
    s->region_size = s->control_offset + page;
    return memory_region_init_ram(&s->table, OBJECT(s), "virtio-gph-table",
                                  pow2ceil(s->region_size), errp);
}

static bool create_engine(VirtIOGPH *s, Error **errp)
{
    uint8_t *table = memory_region_get_ram_ptr(&s->table);
    GphMmuHost host;
    GphSecondaryMmu *mmu;

    s->engine = gph_engine_new((uint16_t *)table, s->nr_frames,
                               (void *)(table + s->control_offset), &gph_ops,
                               s);
    if (!s->engine) {
        error_setg(errp, "virtio-gph: out of memory");
        return false;
    }
    host = (GphMmuHost) {
        .engine = s->engine,
        .nr_frames = s->nr_frames,
        .block = s->memory.block,
        .ram_addr = gph_host_ram_addr,
        .frame = gph_host_frame,
        .opaque = s,
    };
    gph_mmus_init(&s->mmus, &s->lock, &host);
    mmu = gph_accel_mmu_new(&host, errp);
    if (!mmu || !gph_mmus_add(&s->mmus, mmu, errp)) {
        return false;
    }
    gph_memory_changed(s);
    return true;
}

static void destroy(VirtIOGPH *s)
{
    virtio_gph_migration_fini(s);
    if (s->engine) {
        gph_engine_reset(s->engine);
    }
    gph_mmus_exit(&s->mmus);
    gph_memory_fini(&s->memory);
    gph_engine_free(s->engine);
    s->engine = NULL;
}

static void virtio_gph_realize(DeviceState *dev, Error **errp)
{
    VirtIOGPH *s = VIRTIO_GPH(dev);
    HostMemoryBackend *backend = current_machine->memdev;

    if (!check_host(errp) || !check_backend(backend, errp) ||
        !virtio_gph_pressure_check(s, errp)) {
        return;
    }
    gph_memory_init(&s->memory, backend->mr.ram_block, gph_memory_changed, s);
    if (!create_table(s, errp) || !create_engine(s, errp) ||
        !virtio_gph_migration_init(s, errp)) {
        destroy(s);
        return;
    }
    virtio_init(VIRTIO_DEVICE(dev), VIRTIO_ID_GPH,
                sizeof(struct virtio_gph_config));
    qemu_guest_getrandom_nofail(&s->torture_seed, sizeof(s->torture_seed));
    s->torture_timer = timer_new_ns(QEMU_CLOCK_REALTIME, gph_torture_tick, s);
    gph_torture_arm(s);
    the_device = s;
    virtio_gph_pressure_start(s);
}

static void virtio_gph_unrealize(DeviceState *dev)
{
    VirtIOGPH *s = VIRTIO_GPH(dev);

    virtio_gph_pressure_stop(s);
    the_device = NULL;
    timer_free(s->torture_timer);
    s->torture_timer = NULL;
    destroy(s);
    virtio_cleanup(VIRTIO_DEVICE(dev));
}

static void virtio_gph_instance_init(Object *obj)
{
    VirtIOGPH *s = VIRTIO_GPH(obj);

    qemu_mutex_init(&s->lock);
    qemu_co_mutex_init(&s->reclaim_lock);
    virtio_gph_pressure_defaults(s);
}

static void virtio_gph_instance_finalize(Object *obj)
{
    gph_set_pin(obj, false, NULL);
    qemu_mutex_destroy(&VIRTIO_GPH(obj)->lock);
}

static const Property virtio_gph_properties[] = {
    /* For tests of a driver that meets another version. */
    DEFINE_PROP_UINT32("x-abi", VirtIOGPH, abi, VIRTIO_GPH_ABI),
    DEFINE_PROP_BOOL("migrate-volatile", VirtIOGPH, migration.send_volatile,
                     false),
    GPH_PRESSURE_PROPERTIES(VirtIOGPH),
};

static void virtio_gph_class_init(ObjectClass *klass, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    VirtioDeviceClass *vdc = VIRTIO_DEVICE_CLASS(klass);

    device_class_set_props(dc, virtio_gph_properties);
    object_class_property_add(klass, VIRTIO_GPH_TORTURE_PROP, "uint32",
                              gph_get_torture, gph_set_torture, NULL, NULL);
    object_class_property_set_description(klass, VIRTIO_GPH_TORTURE_PROP,
        "take this many random frames every millisecond (0: off)");
    object_class_property_add_bool(klass, "x-pin", gph_get_pin, gph_set_pin);
    object_class_property_set_description(klass, "x-pin",
        "disable RAM discards, as a device that pins guest memory does");
    set_bit(DEVICE_CATEGORY_MISC, dc->categories);
    dc->hotpluggable = false;
    dc->vmsd = &vmstate_virtio_gph;

    vdc->vmsd = &vmstate_virtio_gph_device;
    vdc->realize = virtio_gph_realize;
    vdc->unrealize = virtio_gph_unrealize;
    vdc->get_config = virtio_gph_get_config;
    vdc->get_features = virtio_gph_get_features;
    vdc->set_status = virtio_gph_set_status;
    vdc->reset = virtio_gph_reset;
}

static const TypeInfo virtio_gph_info = {
    .name = TYPE_VIRTIO_GPH,
    .parent = TYPE_VIRTIO_DEVICE,
    .instance_size = sizeof(VirtIOGPH),
    .instance_init = virtio_gph_instance_init,
    .instance_finalize = virtio_gph_instance_finalize,
    .class_init = virtio_gph_class_init,
};

static void virtio_gph_register_types(void)
{
    type_register_static(&virtio_gph_info);
}

type_init(virtio_gph_register_types)
