// SPDX-License-Identifier: GPL-2.0
/*
 * Guest page hinting: the table that is shared with the host.
 *
 * The table belongs to the host.  The driver maps it and hands it over with
 * gph_enable(); gph_disable() makes every word STABLE again before it goes.
 */
#include <linux/init.h>
#include <linux/mutex.h>
#include <linux/printk.h>
#include <linux/reboot.h>
#include <linux/uaccess.h>

#include "internal.h"

DEFINE_STATIC_KEY_FALSE(gph_key);

gph_word_t *gph_table;
unsigned long gph_nr_frames;
bool gph_stopping;

static struct virtio_gph_control *gph_control;
static DEFINE_MUTEX(gph_mutex);		/* gph_enable() against gph_disable() */
static bool gph_allowed __ro_after_init = true;

/*
 * Another kernel may start on this memory without a reset of the device in
 * between (kexec), and must not find words that were not meant for it.
 */
static int gph_reboot(struct notifier_block *nb, unsigned long action, void *arg)
{
	gph_disable();
	return NOTIFY_DONE;
}
static struct notifier_block gph_reboot_nb = { .notifier_call = gph_reboot };

static int __init gph_init(void)
{
	return register_reboot_notifier(&gph_reboot_nb);
}
subsys_initcall(gph_init);

static int __init gph_param(char *arg)
{
	bool on;

	if (!arg || kstrtobool(arg, &on))
		return -EINVAL;
	gph_allowed = on;
	return 0;
}
early_param("gph", gph_param);

/*
 * Epochs are counted in downgraded pages, so that the age of a word says how
 * much went cold after it, which is what the host wants to know.  CPUs collect
 * some pages before they touch the shared counter.
 */
#define GPH_EPOCH_BATCH	64

static atomic_long_t gph_epoch_pages;
static DEFINE_PER_CPU(unsigned int, gph_epoch_batch);

/*
 * Count @nr_pages that are about to go volatile.  Returns the epoch for their
 * word.  Publishes it to the host when it has changed.
 */
unsigned int gph_epoch_advance(unsigned int nr_pages)
{
	unsigned long per_epoch, pages;
	unsigned int epoch;

	if (this_cpu_add_return(gph_epoch_batch, nr_pages) >= GPH_EPOCH_BATCH)
		pages = atomic_long_add_return(this_cpu_xchg(gph_epoch_batch, 0),
					       &gph_epoch_pages);
	else
		pages = atomic_long_read(&gph_epoch_pages);

	per_epoch = max(gph_nr_frames / VIRTIO_GPH_EPOCHS_PER_RAM, 1UL);
	epoch = pages / per_epoch & 0xff;
	if (le16_to_cpu(READ_ONCE(gph_control->epoch)) != epoch)
		WRITE_ONCE(gph_control->epoch, cpu_to_le16(epoch));
	return epoch;
}

/*
 * Wait until the host is no longer taking the frames of @folio away.
 *
 * The frames are trapped: a load from them exits to the host, which answers when
 * it is done.  The answer may be a discard fault, which the exception table
 * entry of copy_from_kernel_nofault() catches.  Context: any.
 */
void gph_wait(struct folio *folio)
{
	unsigned char byte;

	gph_count(GPH_waited, 1);
	while (gph_state(READ_ONCE(*gph_word(folio))) == VIRTIO_GPH_DISCARDING) {
		(void)copy_from_kernel_nofault(&byte, folio_address(folio), 1);
		cpu_relax();
	}
}

/**
 * gph_enable - start hinting
 * @words: the table, mapped write-back, all zero
 * @nr_frames: number of words
 * @control: the control page
 *
 * Return: 0, -EBUSY if there is a table already, -EPERM if switched off on the
 * kernel command line, -ENODEV if this machine cannot use it.
 */
int gph_enable(__le16 *words, unsigned long nr_frames,
	       struct virtio_gph_control *control)
{
	if (!gph_allowed)
		return -EPERM;
	if (nr_cpu_ids >= GPH_TOKEN_AGE || !nr_frames)
		return -ENODEV;

	guard(mutex)(&gph_mutex);
	if (gph_table)
		return -EBUSY;
	gph_table = (gph_word_t __force *)words;
	gph_nr_frames = nr_frames;
	gph_control = control;
	WRITE_ONCE(gph_stopping, false);
	static_branch_enable(&gph_key);
	gph_age_start();
	pr_info("gph: hinting %lu frames\n", nr_frames);
	return 0;
}
EXPORT_SYMBOL_GPL(gph_enable);

/**
 * gph_disable - stop hinting
 *
 * On return every word is STABLE, no folio carries PG_gph and nobody uses the
 * table.  Folios whose content was gone have left the page cache or are not
 * uptodate.  Context: may sleep, for as long as a pass over all memory takes.
 */
void gph_disable(void)
{
	guard(mutex)(&gph_mutex);
	if (!gph_table)
		return;
	WRITE_ONCE(gph_stopping, true);
	/* Downgrades run in age.c, or with preemption off. */
	gph_age_stop();
	synchronize_rcu();
	gph_stabilise_all();
	static_branch_disable(&gph_key);
	/* Hooks that passed the key before it went off. */
	synchronize_rcu();
	gph_table = NULL;
	gph_control = NULL;
	pr_info("gph: hinting stopped\n");
}
EXPORT_SYMBOL_GPL(gph_disable);
