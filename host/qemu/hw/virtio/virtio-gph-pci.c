/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-gph: PCI proxy.
 *
 * Modern only.  The state table is shared-memory region VIRTIO_GPH_SHM_TABLE,
 * the whole of 64-bit prefetchable BAR 2.
 */
#include "qemu/osdep.h"
#include "hw/qdev-properties.h"
#include "hw/virtio/virtio-gph.h"
#include "hw/virtio/virtio-pci.h"
#include "qapi/error.h"
#include "qom/object.h"

#define TYPE_VIRTIO_GPH_PCI "virtio-gph-pci-base"
OBJECT_DECLARE_SIMPLE_TYPE(VirtIOGPHPCI, VIRTIO_GPH_PCI)

#define GPH_TABLE_BAR 2

struct VirtIOGPHPCI {
    VirtIOPCIProxy parent_obj;
    VirtIOGPH vdev;
};

static const Property virtio_gph_pci_properties[] = {
    DEFINE_PROP_UINT32("vectors", VirtIOPCIProxy, nvectors, 1),
};

static void virtio_gph_pci_realize(VirtIOPCIProxy *proxy, Error **errp)
{
    VirtIOGPHPCI *dev = VIRTIO_GPH_PCI(proxy);
    VirtIOGPH *s = &dev->vdev;

    if (proxy->flags & VIRTIO_PCI_FLAG_MODERN_PIO_NOTIFY) {
        error_setg(errp, "virtio-gph uses BAR %d for its table: "
                   "modern-pio-notify must be off", GPH_TABLE_BAR);
        return;
    }
    virtio_pci_force_virtio_1(proxy);
    if (!qdev_realize(DEVICE(s), BUS(&proxy->bus), errp)) {
        return;
    }
    pci_register_bar(&proxy->pci_dev, GPH_TABLE_BAR,
                     PCI_BASE_ADDRESS_SPACE_MEMORY |
                     PCI_BASE_ADDRESS_MEM_PREFETCH |
                     PCI_BASE_ADDRESS_MEM_TYPE_64, &s->table);
    virtio_pci_add_shm_cap(proxy, GPH_TABLE_BAR, 0, s->region_size,
                           VIRTIO_GPH_SHM_TABLE);
}

static void virtio_gph_pci_class_init(ObjectClass *klass, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    VirtioPCIClass *k = VIRTIO_PCI_CLASS(klass);
    PCIDeviceClass *pcidev_k = PCI_DEVICE_CLASS(klass);

    k->realize = virtio_gph_pci_realize;
    set_bit(DEVICE_CATEGORY_MISC, dc->categories);
    dc->hotpluggable = false;
    device_class_set_props(dc, virtio_gph_pci_properties);
    pcidev_k->revision = VIRTIO_PCI_ABI_VERSION;
    pcidev_k->class_id = PCI_CLASS_OTHERS;
}

static void virtio_gph_pci_instance_init(Object *obj)
{
    VirtIOGPHPCI *dev = VIRTIO_GPH_PCI(obj);

    virtio_instance_init_common(obj, &dev->vdev, sizeof(dev->vdev),
                                TYPE_VIRTIO_GPH);
}

static const VirtioPCIDeviceTypeInfo virtio_gph_pci_info = {
    .base_name = TYPE_VIRTIO_GPH_PCI,
    .generic_name = "virtio-gph-pci",
    .instance_size = sizeof(VirtIOGPHPCI),
    .instance_init = virtio_gph_pci_instance_init,
    .class_init = virtio_gph_pci_class_init,
};

static void virtio_gph_pci_register(void)
{
    virtio_pci_types_register(&virtio_gph_pci_info);
}

type_init(virtio_gph_pci_register)
