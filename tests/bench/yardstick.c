// SPDX-License-Identifier: GPL-2.0
/* The least that a balancer must do for an IPv4 packet, with what the kernel offers ready-made: a
 * hash map for the VIP, the LRU hash for flows, per-CPU arrays for counters.  The measure by which a
 * machine's speed is taken out of a figure; an example of nothing.
 */
#define SLOTS 65537
#define FLOWS (1 << 20)
#define REALS 256
#define HEAD (14 + 20 + 20)

struct service {
	u32 address;
	u16 port;
	u16 protocol;
};

struct flow {
	u32 from, to;
	u32 ports;
	u32 protocol;
};

struct count {
	u64 packets, bytes;
};

struct outer {
	u32 first, second, third, source, target;
};

BPF_HASH(services, struct service, u32, 64);
BPF_TABLE("lru_hash", struct flow, u32, flows, FLOWS);
BPF_ARRAY(slots, u32, SLOTS);
BPF_ARRAY(reals, u32, REALS);
BPF_PERCPU_ARRAY(by_service, struct count, 64);
BPF_PERCPU_ARRAY(by_real, struct count, REALS);

static inline void count(struct count *c, u64 length)
{
	if (!c)
		return;
	c->packets++;
	c->bytes += length;
}

/* A multiply and fold twice over: every bit of the flow reaches every bit of the slot. */
static inline u64 stir(u64 x)
{
	x = (x ^ (x >> 29)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 32)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 29);
}

static inline u32 folded(u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

int yardstick(struct xdp_md *ctx)
{
	u8 *at = (u8 *)(long)ctx->data, *end = (u8 *)(long)ctx->data_end;

	if (at + HEAD > end || *(u16 *)(at + 12) != 0x0008)
		return XDP_PASS;

	u8 *ip = at + 14, *tcp = at + 34;
	u32 from = *(u32 *)(ip + 12), to = *(u32 *)(ip + 16), ports = *(u32 *)tcp;
	struct service wanted = { to, ports >> 16, ip[9] };
	u32 *number = services.lookup(&wanted);
	if (!number)
		return XDP_PASS;
	if (ip[0] != 0x45 || (*(u16 *)(ip + 6) & 0xff3f))
		return XDP_DROP;

	struct flow key = { from, to, ports, ip[9] };
	u64 hash = stir(((u64)from << 32 | ports) + to);
	u32 *known = (tcp[13] & 2) ? 0 : flows.lookup(&key);
	u32 real;
	if (known) {
		real = *known;
	} else {
		u32 slot = ((hash >> 32) * SLOTS) >> 32;
		u32 *placed = slots.lookup(&slot);
		if (!placed)
			return XDP_DROP;
		real = *placed;
		flows.update(&key, &real);
	}
	u32 *target = reals.lookup(&real);
	if (!target)
		return XDP_DROP;

	u64 length = end - at;
	u32 service = *number;
	struct outer outer = {
		.first = 0x45 | (u32)(u16)__builtin_bswap16(__builtin_bswap16(*(u16 *)(ip + 2)) + 20) << 16,
		.third = 0x0440,
		.source = 0x000010ac | (u32)(hash & 0xffff) << 16,
		.target = *target,
	};
	count(by_service.lookup(&service), length);
	count(by_real.lookup(&real), length);

	u16 sum = ~folded((outer.first & 0xffff) + (outer.first >> 16) + (outer.third & 0xffff) +
			  (outer.source & 0xffff) + (outer.source >> 16) +
			  (outer.target & 0xffff) + (outer.target >> 16));
	outer.third |= (u32)sum << 16;

	if (bpf_xdp_adjust_head(ctx, -20))
		return XDP_DROP;
	at = (u8 *)(long)ctx->data;
	end = (u8 *)(long)ctx->data_end;
	if (at + 34 > end)
		return XDP_DROP;

	u32 own = *(u32 *)(at + 20), own2 = *(u16 *)(at + 24);
	u32 way = *(u32 *)(at + 26), way2 = *(u16 *)(at + 30);
	*(u32 *)at = way;	/* back to where it came from */
	*(u16 *)(at + 4) = way2;
	*(u32 *)(at + 6) = own;
	*(u16 *)(at + 10) = own2;
	*(u16 *)(at + 12) = 0x0008;
	*(u16 *)(at + 14) = outer.first;
	*(u16 *)(at + 16) = outer.first >> 16;
	*(u32 *)(at + 18) = outer.second;
	*(u32 *)(at + 22) = outer.third;
	*(u32 *)(at + 26) = outer.source;
	*(u32 *)(at + 30) = outer.target;
	return XDP_TX;
}
