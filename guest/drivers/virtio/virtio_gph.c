// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-gph: the guest's side of the guest page hinting device.
 *
 * Finds the shared table, checks that both sides mean the same by it, and hands
 * it to mm/gph.  The device has no virtqueue: words change in the table, and the
 * only message, "please look for cold pages", is a configuration change.
 */
#include <linux/gph.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/suspend.h>
#include <linux/virtio.h>
#include <linux/virtio_config.h>
#include <linux/virtio_gph.h>

/* What one device needs until it is removed. */
struct virtio_gph {
	void *region;		/* the shared region, mapped write-back */
	u32 age_request;	/* last value seen */
};

/* Do the sizes that the device gives make sense together? */
static bool virtio_gph_sizes_ok(u64 nr_frames, u64 control_offset, u64 len)
{
	return nr_frames && nr_frames <= len / sizeof(__le16) &&
	       control_offset >= nr_frames * sizeof(__le16) &&
	       IS_ALIGNED(control_offset, PAGE_SIZE) &&
	       control_offset < len &&
	       len - control_offset >= sizeof(struct virtio_gph_control);
}

static int virtio_gph_map(struct virtio_device *vdev, struct virtio_gph *gph)
{
	struct virtio_shm_region shm;
	u64 nr_frames, control_offset;
	int error;

	if (!virtio_get_shm_region(vdev, &shm, VIRTIO_GPH_SHM_TABLE)) {
		dev_err(&vdev->dev, "no shared memory region\n");
		return -ENODEV;
	}
	virtio_cread_le(vdev, struct virtio_gph_config, nr_frames, &nr_frames);
	virtio_cread_le(vdev, struct virtio_gph_config, control_offset, &control_offset);
	if (!virtio_gph_sizes_ok(nr_frames, control_offset, shm.len)) {
		dev_err(&vdev->dev, "%llu frames, control at %llu do not fit a region of %llu bytes\n",
			nr_frames, control_offset, shm.len);
		return -EINVAL;
	}
	gph->region = memremap(shm.addr, shm.len, MEMREMAP_WB);
	if (!gph->region)
		return -ENOMEM;
	error = gph_enable(gph->region, nr_frames, gph->region + control_offset);
	if (error) {
		if (error != -EPERM)
			dev_err(&vdev->dev, "cannot be enabled: %d\n", error);
		memunmap(gph->region);
	}
	return error;
}

static int virtio_gph_probe(struct virtio_device *vdev)
{
	struct virtio_gph *gph;
	u32 abi;
	int error;

	virtio_cread_le(vdev, struct virtio_gph_config, abi, &abi);
	if (abi != VIRTIO_GPH_ABI) {
		dev_err(&vdev->dev, "device has ABI version %u, this driver knows %u\n",
			abi, VIRTIO_GPH_ABI);
		return -EINVAL;
	}
	gph = devm_kzalloc(&vdev->dev, sizeof(*gph), GFP_KERNEL);
	if (!gph)
		return -ENOMEM;
	vdev->priv = gph;
	virtio_cread_le(vdev, struct virtio_gph_config, age_request, &gph->age_request);

	error = virtio_find_vqs(vdev, 0, NULL, NULL, NULL);
	if (error)
		return error;
	virtio_device_ready(vdev);
	error = virtio_gph_map(vdev, gph);
	if (error) {
		virtio_reset_device(vdev);
		vdev->config->del_vqs(vdev);
	}
	return error;
}

static void virtio_gph_remove(struct virtio_device *vdev)
{
	struct virtio_gph *gph = vdev->priv;

	gph_disable();
	virtio_reset_device(vdev);
	vdev->config->del_vqs(vdev);
	memunmap(gph->region);
}

static void virtio_gph_config_changed(struct virtio_device *vdev)
{
	struct virtio_gph *gph = vdev->priv;
	u32 age_request;

	virtio_cread_le(vdev, struct virtio_gph_config, age_request, &age_request);
	if (age_request == gph->age_request)
		return;
	gph->age_request = age_request;
	gph_request_age();
}

static const struct virtio_device_id virtio_gph_ids[] = {
	{ VIRTIO_ID_GPH, VIRTIO_DEV_ANY_ID },
	{ 0 },
};
MODULE_DEVICE_TABLE(virtio, virtio_gph_ids);

static struct virtio_driver virtio_gph_driver = {
	.driver.name = KBUILD_MODNAME,
	.id_table = virtio_gph_ids,
	.probe = virtio_gph_probe,
	.remove = virtio_gph_remove,
	.config_changed = virtio_gph_config_changed,
};
module_virtio_driver(virtio_gph_driver);

MODULE_DESCRIPTION("Guest page hinting device driver");
MODULE_LICENSE("GPL");
