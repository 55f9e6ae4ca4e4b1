// SPDX-License-Identifier: GPL-2.0
/*
 * Guest page hinting: /sys/kernel/mm/gph.
 *
 *   enabled          1 while a device is there and hinting is on
 *   age              write 1: one ageing pass, done when the write returns
 *   age_interval_ms  time between passes, 0: only when asked
 *   stats/           one file per counter, see GPH_COUNTERS
 */
#include <linux/init.h>
#include <linux/kobject.h>
#include <linux/sysfs.h>

#include "internal.h"

DEFINE_PER_CPU(struct gph_counters, gph_counters);

static ssize_t enabled_show(struct kobject *kobj, struct kobj_attribute *attr,
			    char *buf)
{
	return sysfs_emit(buf, "%d\n", static_key_enabled(&gph_key));
}
static struct kobj_attribute enabled_attr = __ATTR_RO(enabled);

static ssize_t age_store(struct kobject *kobj, struct kobj_attribute *attr,
			 const char *buf, size_t count)
{
	bool yes;

	if (kstrtobool(buf, &yes) || !yes)
		return -EINVAL;
	if (!static_key_enabled(&gph_key))
		return -ENODEV;
	gph_age_now();
	return count;
}
static struct kobj_attribute age_attr = __ATTR_WO(age);

static ssize_t age_interval_ms_show(struct kobject *kobj,
				    struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", READ_ONCE(gph_age_interval_ms));
}

static ssize_t age_interval_ms_store(struct kobject *kobj,
				     struct kobj_attribute *attr,
				     const char *buf, size_t count)
{
	unsigned int ms;
	int error = kstrtouint(buf, 0, &ms);

	if (error)
		return error;
	WRITE_ONCE(gph_age_interval_ms, ms);
	if (static_key_enabled(&gph_key))
		gph_age_start();
	return count;
}
static struct kobj_attribute age_interval_ms_attr = __ATTR_RW(age_interval_ms);

static struct attribute *gph_attrs[] = {
	&enabled_attr.attr,
	&age_attr.attr,
	&age_interval_ms_attr.attr,
	NULL
};

static const struct attribute_group gph_group = { .attrs = gph_attrs };

struct gph_stat_attr {
	struct kobj_attribute attr;
	enum gph_counter which;
};

static ssize_t stat_show(struct kobject *kobj, struct kobj_attribute *attr,
			 char *buf)
{
	enum gph_counter which = container_of(attr, struct gph_stat_attr, attr)->which;
	unsigned long sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += per_cpu(gph_counters, cpu).count[which];
	return sysfs_emit(buf, "%lu\n", sum);
}

#define GPH_STAT_ATTR(name)						\
	static struct gph_stat_attr stat_##name = {			\
		.attr = __ATTR(name, 0444, stat_show, NULL),		\
		.which = GPH_##name,					\
	};
GPH_COUNTERS(GPH_STAT_ATTR)

#define GPH_STAT_PTR(name)	&stat_##name.attr.attr,
static struct attribute *gph_stat_attrs[] = {
	GPH_COUNTERS(GPH_STAT_PTR)
	NULL
};

static const struct attribute_group gph_stat_group = {
	.name = "stats",
	.attrs = gph_stat_attrs,
};

static const struct attribute_group *gph_groups[] = {
	&gph_group,
	&gph_stat_group,
	NULL
};

static int __init gph_sysfs_init(void)
{
	struct kobject *kobj = kobject_create_and_add("gph", mm_kobj);
	int error;

	if (!kobj)
		return -ENOMEM;
	error = sysfs_create_groups(kobj, gph_groups);
	if (error)
		kobject_put(kobj);
	return error;
}
subsys_initcall(gph_sysfs_init);
