/* SPDX-License-Identifier: GPL-2.0 */
/* Guest page hinting: the steps of a folio from stable to discarded and back. */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM gph

#if !defined(_TRACE_GPH_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_GPH_H

#include <linux/mm.h>
#include <linux/tracepoint.h>

DECLARE_EVENT_CLASS(gph_folio,
	TP_PROTO(struct folio *folio),
	TP_ARGS(folio),
	TP_STRUCT__entry(
		__field(unsigned long, pfn)
		__field(unsigned long, index)
		__field(unsigned int, order)
		__field(int, mapcount)
	),
	TP_fast_assign(
		__entry->pfn = folio_pfn(folio);
		__entry->index = folio->index;
		__entry->order = folio_order(folio);
		__entry->mapcount = folio_mapcount(folio);
	),
	TP_printk("pfn=0x%lx order=%u index=%lu mapcount=%d", __entry->pfn,
		  __entry->order, __entry->index, __entry->mapcount)
);

/* A volatile folio was taken back in time. */
DEFINE_EVENT(gph_folio, gph_upgrade, TP_PROTO(struct folio *folio), TP_ARGS(folio));
/* A folio was found discarded. */
DEFINE_EVENT(gph_folio, gph_claim, TP_PROTO(struct folio *folio), TP_ARGS(folio));
/* A discarded folio left the page cache. */
DEFINE_EVENT(gph_folio, gph_drop, TP_PROTO(struct folio *folio), TP_ARGS(folio));
/* A discarded folio was unmapped, to be read again where it is. */
DEFINE_EVENT(gph_folio, gph_settle, TP_PROTO(struct folio *folio), TP_ARGS(folio));

TRACE_EVENT(gph_downgrade,
	TP_PROTO(struct folio *folio, unsigned int epoch),
	TP_ARGS(folio, epoch),
	TP_STRUCT__entry(
		__field(unsigned long, pfn)
		__field(unsigned int, order)
		__field(unsigned int, epoch)
	),
	TP_fast_assign(
		__entry->pfn = folio_pfn(folio);
		__entry->order = folio_order(folio);
		__entry->epoch = epoch;
	),
	TP_printk("pfn=0x%lx order=%u epoch=%u", __entry->pfn, __entry->order,
		  __entry->epoch)
);

TRACE_EVENT(gph_fault,
	TP_PROTO(unsigned long pfn, bool user),
	TP_ARGS(pfn, user),
	TP_STRUCT__entry(
		__field(unsigned long, pfn)
		__field(bool, user)
	),
	TP_fast_assign(
		__entry->pfn = pfn;
		__entry->user = user;
	),
	TP_printk("pfn=0x%lx %s", __entry->pfn, __entry->user ? "user" : "kernel")
);

#endif /* _TRACE_GPH_H */
#include <trace/define_trace.h>
