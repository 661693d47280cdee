// SPDX-License-Identifier: GPL-2.0
/*
 * Health checks through the tunnel: what this host sends to a VIP with the mark of a real (lb_abi.h)
 * is encapsulated to that real, with the same outer headers that a client's packet to it gets, and
 * leaves by the interface.  A tc program at egress: it sees no client's packet, and those without the
 * mark go their way untouched.
 *
 * The stack has put an Ethernet header in front (of whatever next hop the VIP's route has); ours replaces
 * it.  Checksums and segments that were left to the interface still are: the kernel is told where the
 * inner headers now begin.  What cannot be sent is dropped and counted: on no account may a check
 * leave as it came, for another node would balance it, and it would speak for some other real.
 */
#include "lb_abi.h"
#include "lb_maps.h"
#include "packet.h"
#include "hash.h"
#include "encap.h"

#define LONGEST_HEADERS (ETHERNET_SIZE + sizeof(struct ipv6) + sizeof(struct tcp))

enum { TCX_NEXT = -1, TCX_DROP = 2 };

/* The mark's real, if it is still the one that was meant. */
static __always_inline const struct lb_real *marked_real(u32 mark)
{
	const struct lb_real *real = real_of(mark & (LB_MAX_REALS - 1));

	if (!real || !real->vip_num || real->generation != (u8)(mark >> LB_PROBE_GENERATION_SHIFT))
		return NULL;
	return real;
}

static __always_inline bool read_packet(struct __sk_buff *skb, struct packet *p)
{
	const void *data, *end;
	u64 verdict = LB_PASS;

	bpf_skb_pull_data(skb, skb->len < LONGEST_HEADERS ? skb->len : LONGEST_HEADERS);
	data = (void *)(long)skb->data;
	end = (void *)(long)skb->data_end;
	p->length = skb->len;
	if (skb->protocol == BE16(ETHERTYPE_IPV4))
		verdict = parse_ipv4(data + ETHERNET_SIZE, end, p);
	else if (skb->protocol == BE16(ETHERTYPE_IPV6))
		verdict = parse_ipv6(data + ETHERNET_SIZE, end, p);
	return verdict == GO_ON && !p->odd;
}

/* The largest IP packet that it becomes on the wire: one of many segments counts for itself. */
static __always_inline u64 wire_length(const struct __sk_buff *skb, const struct packet *p)
{
	u64 headers = sizeof(struct ipv6) + 60;	/* TCP with all options: at worst a little strict */

	return skb->gso_size && skb->gso_size + headers < p->ip_length ? skb->gso_size + headers
								       : p->ip_length;
}

static __always_inline u64 room_flags(u32 encap)
{
	u64 flags = encap & LB_ENCAP_IPV6 ? BPF_F_ADJ_ROOM_ENCAP_L3_IPV6
					  : BPF_F_ADJ_ROOM_ENCAP_L3_IPV4;

	return encap & LB_ENCAP_GUE ? flags | BPF_F_ADJ_ROOM_ENCAP_L4_UDP : flags;
}

static __always_inline bool push(struct __sk_buff *skb, const struct packet *p,
				 const struct lb_real *real, u32 encap)
{
	void *data, *end;

	if (bpf_skb_adjust_room(skb, overhead(encap), BPF_ADJ_ROOM_MAC, room_flags(encap)))
		return false;
	data = (void *)(long)skb->data;
	end = (void *)(long)skb->data_end;
	if (data + ETHERNET_SIZE + LARGEST_OUTER > end)	/* cannot be: for the verifier */
		return false;
	write_outer(data, p, CONTROL, flow_hash(CONTROL->hash_key, p), real, encap);
	return true;
}

/* The counter of what became of it. */
static __always_inline lb_u64 *outcome(struct __sk_buff *skb, struct lb_probe_totals *totals)
{
	const struct lb_real *real = marked_real(skb->mark);
	struct packet p = {};
	u32 encap;

	if (!real)
		return &totals->stale;
	if (!read_packet(skb, &p))
		return &totals->odd;
	encap = real->encap;
	if (wire_length(skb, &p) + overhead(encap) > CONTROL->underlay_mtu)
		return &totals->too_big;
	return push(skb, &p, real, encap) ? &totals->sent : &totals->failed;
}

int probe(struct __sk_buff *skb)
{
	struct lb_probe_totals *totals;
	lb_u64 *counter;

	if ((skb->mark & LB_PROBE_MARK_BITS) != LB_PROBE_MARK)
		return TCX_NEXT;
	totals = probe_totals_of(bpf_get_smp_processor_id());
	if (!totals)
		return TCX_DROP;
	counter = outcome(skb, totals);
	(*counter)++;
	skb->mark = 0;	/* done: nobody else's business */
	return counter == &totals->sent ? TCX_NEXT : TCX_DROP;
}
