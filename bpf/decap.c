// SPDX-License-Identifier: GPL-2.0
/*
 * For reals without a tunnel device: takes the outer header off IPIP packets and lets the host
 * have the inner ones.  Passes everything else.  It trusts whoever can send it IPIP: keep the
 * underlay to yourself.
 *
 * ECN follows RFC 6040: a congestion mark of the outer header is carried over, and a packet that
 * cannot carry it (not ECN-capable) is dropped, which is the mark's other meaning.
 */
#include "lb_abi.h"
#include "lb_maps.h"
#include "packet.h"

#define ECN_MASK 3
#define ECN_CE 3

/* Both MAC addresses, as words, to move them over the outer header. */
struct macs {
	u32 word[3];
};

static __always_inline bool is_ipip(const struct ethernet *ethernet, const struct ipv4 *outer,
				    const struct ipv4 *inner)
{
	return ethernet->be_type == BE16(ETHERTYPE_IPV4) && outer->version_ihl == 0x45 &&
	       outer->protocol == PROTOCOL_IPIP && !(outer->be_fragment & BE16(FRAGMENT_BITS)) &&
	       inner->version_ihl >> 4 == 4;
}

/* Marks the inner header, its checksum updated as RFC 1624 says. */
static __always_inline void mark_congestion(struct ipv4 *inner)
{
	u32 old = inner->version_ihl | (u32)inner->tos << 8;
	u32 new = old | ECN_CE << 8;
	u32 sum = (u16)~inner->check + (u16)~old + new;

	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	inner->tos |= ECN_CE;
	inner->check = ~sum;
}

/* True: the frame now starts with an Ethernet header in front of the inner packet. */
static __always_inline bool pop_outer(struct xdp_md *ctx, struct macs macs)
{
	void *data, *end;

	if (bpf_xdp_adjust_head(ctx, sizeof(struct ipv4)))
		return false;
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if (data + ETHERNET_SIZE > end)
		return false;
	*(struct macs *)data = macs;
	((struct ethernet *)data)->be_type = BE16(ETHERTYPE_IPV4);
	return true;
}

int decap(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethernet *ethernet = data;
	struct ipv4 *outer = (void *)(ethernet + 1), *inner = outer + 1;
	u32 cpu = bpf_get_smp_processor_id();
	struct lb_decap_totals *totals = bpf_map_lookup_elem(MAP(LB_MAP_DECAP_TOTALS), &cpu);

	if (!totals)
		return XDP_ABORTED;
	totals->rx_packets++;
	totals->rx_bytes += end - data;
	if ((void *)(inner + 1) > end || !is_ipip(ethernet, outer, inner)) {
		totals->pass_packets++;
		return XDP_PASS;
	}
	if ((outer->tos & ECN_MASK) == ECN_CE) {
		if (!(inner->tos & ECN_MASK)) {
			totals->drop_packets++;
			return XDP_DROP;
		}
		mark_congestion(inner);
	}
	if (!pop_outer(ctx, *(struct macs *)data)) {
		totals->drop_packets++;
		return XDP_DROP;
	}
	totals->decapsulated_packets++;
	totals->decapsulated_bytes += (u64)(end - data) - sizeof(struct ipv4);
	return XDP_PASS;
}
