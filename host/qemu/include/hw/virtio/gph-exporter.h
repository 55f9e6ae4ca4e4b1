/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gph: an exporter of guest memory as a secondary MMU.
 *
 * For who gives guest memory to another process or device that pins it, caches
 * it, or keeps translations of its own.  It brings a RamDiscardListener, as for
 * virtio-mem.  Who only maps the memfd need not register: a hole reads as zeros
 * everywhere.
 */
#ifndef HW_VIRTIO_GPH_EXPORTER_H
#define HW_VIRTIO_GPH_EXPORTER_H

#include "exec/memory.h"
#include "hw/virtio/gph-secondary-mmu.h"

typedef struct GphExporter GphExporter;

/*
 * Have @rdl told what is taken from, and given back to, @section of guest
 * memory.  To @rdl it looks like a RamDiscardManager: at first nothing is
 * populated; notify_populate() comes for all that is there; each byte is
 * populated and discarded in turn; at the end all is discarded.
 *
 * Calls come from any thread, one at a time, not always with the BQL, and
 * notify_populate() may come with the engine lock held: they must not wait for
 * a vCPU or take the BQL, and must not call back into here.
 *
 * @section: in frames of 4 KiB, by guest-physical address; its memory region
 *   must stay until unregister
 * @name: for people; copied
 * Returns NULL with an error if @section is no whole number of frames, the
 * device is going away, or @rdl fails to populate.  BQL held or not, no other
 * lock; may drop the BQL.
 */
GphExporter *gph_exporter_register(RamDiscardListener *rdl,
                                   const MemoryRegionSection *section,
                                   GphSecondaryMmuList *mmus, const char *name,
                                   Error **errp);
/* Once, also after the device's exit.  As gph_mmu_unregister(). */
void gph_exporter_unregister(GphExporter *e);

#endif /* HW_VIRTIO_GPH_EXPORTER_H */
