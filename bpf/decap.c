// SPDX-License-Identifier: GPL-2.0
/*
 * For reals without a tunnel device: takes the outer header off encapsulated packets (decap.h; GUE on
 * port LB_GUE_PORT) and lets the host have the inner ones.  Passes everything else.  It trusts
 * whoever can send it such packets: keep the underlay to yourself.
 */
#include "lb_abi.h"
#include "lb_maps.h"
#include "packet.h"
#include "decap.h"

int decap(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	u32 cpu = bpf_get_smp_processor_id();
	struct lb_decap_totals *totals = bpf_map_lookup_elem(MAP(LB_MAP_DECAP_TOTALS), &cpu);
	struct outer outer = {};
	u32 version;

	if (!totals)
		return XDP_ABORTED;
	totals->rx_packets++;
	totals->rx_bytes += end - data;
	version = parse_encapsulated(data, end, BE16(LB_GUE_PORT), &outer);
	if (!version) {
		totals->pass_packets++;
		return XDP_PASS;
	}
	if (!undo(ctx, &outer, version)) {
		totals->drop_packets++;
		return XDP_DROP;
	}
	totals->decapsulated_packets++;
	totals->decapsulated_bytes += (u64)(end - data) - outer.size;
	return XDP_PASS;
}
