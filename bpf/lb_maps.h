/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The maps, by number.  BCC's own map syntax works only in the main file and adopts a pinned map of
 * another size in silence, so the loader creates and checks the maps (agent/dataplane/map_specs.py) and puts their
 * descriptors where the code carries a number.  It creates only what a program names.
 *
 * Every function here is one lookup; NULL means that the index is out of range.  What is small is one
 * entry, so that its address is a constant: a lookup takes twelve instructions, this three.
 */
#ifndef REMORA_LB_MAPS_H
#define REMORA_LB_MAPS_H

#include <linux/types.h>
#include "lb_abi.h"
#include "packet.h"

_Static_assert(!(LB_FLOW_SETS & (LB_FLOW_SETS - 1)), "flow_set_of() masks with it");

#define MAP_MARK 0x4c420000	/* agent/dataplane/loader_child.py looks for it */
#define MAP(number) ((void *)bpf_pseudo_fd(1, MAP_MARK + (number)))
/* The value of a one-entry array: an address, no lookup. */
#define MAP_VALUE(number) ((void *)bpf_pseudo_fd(2, MAP_MARK + (number)))

#define CONTROL ((const struct lb_control *)MAP_VALUE(LB_MAP_CONTROL))
#define ADDRESSES ((const struct lb_addresses *)MAP_VALUE(LB_MAP_ADDRESSES))
#define VIPS ((const struct lb_vips *)MAP_VALUE(LB_MAP_VIPS))
#define TRACE ((const struct lb_trace *)MAP_VALUE(LB_MAP_TRACE))
#define SERVICES ((const struct lb_services *)MAP_VALUE(LB_MAP_SERVICES))
#define REALS ((const struct lb_reals *)MAP_VALUE(LB_MAP_REALS))

/* Goes on in another program; comes back only if there is none. */
static void (*jump)(void *ctx, void *programs, u32 number) = (void *)BPF_FUNC_tail_call;

static __always_inline void *work_of(u32 cpu)
{
	return bpf_map_lookup_elem(MAP(LB_MAP_WORK), &cpu);
}

static __always_inline const struct lb_service *service_of(u64 vip_num)
{
	return vip_num < LB_MAX_VIPS ? &SERVICES->of[vip_num] : NULL;
}

static __always_inline const struct lb_real *real_of(u64 real_num)
{
	return real_num < LB_MAX_REALS ? &REALS->of[real_num] : NULL;
}

static __always_inline struct lb_ring *ring_of(u32 row)
{
	return bpf_map_lookup_elem(MAP(LB_MAP_RINGS), &row);
}

static __always_inline struct lb_flow_set *flow_set_of(u32 cpu, u64 hash)
{
	u32 index = cpu * LB_FLOW_SETS + (hash & (LB_FLOW_SETS - 1));

	return bpf_map_lookup_elem(MAP(LB_MAP_FLOWS), &index);
}

static __always_inline struct lb_totals *totals_of(u32 cpu)
{
	return bpf_map_lookup_elem(MAP(LB_MAP_TOTALS), &cpu);
}

static __always_inline struct lb_share *vip_share(u32 cpu, u32 vip_num)
{
	u32 index = cpu * LB_MAX_VIPS + vip_num;

	return bpf_map_lookup_elem(MAP(LB_MAP_VIP_TOTALS), &index);
}

static __always_inline struct lb_share *real_share(u32 cpu, u32 real_num)
{
	u32 index = cpu * LB_MAX_REALS + real_num;

	return bpf_map_lookup_elem(MAP(LB_MAP_REAL_TOTALS), &index);
}

static __always_inline const struct lb_address *prefix_of(const u64 *be_address, u64 version)
{
	struct lb_prefix key = { .length = 32 + (version == 6 ? 128 : 32),
				 .be_version = BE32((u32)version) };

	__builtin_memcpy(key.be_address, be_address, sizeof(key.be_address));
	return bpf_map_lookup_elem(MAP(LB_MAP_PREFIXES), &key);
}

static __always_inline u32 *real_by_quic_id(u64 server_id, u32 vip_num)
{
	struct lb_quic_id key = { server_id, vip_num };

	return bpf_map_lookup_elem(MAP(LB_MAP_QUIC_IDS), &key);
}

static __always_inline struct lb_bucket *bucket_of(u32 cpu, u32 number)
{
	u32 index = cpu * LB_BUCKETS + number;

	return bpf_map_lookup_elem(MAP(LB_MAP_BUCKETS), &index);
}

static __always_inline struct lb_probe_totals *probe_totals_of(u32 cpu)
{
	return bpf_map_lookup_elem(MAP(LB_MAP_PROBE_TOTALS), &cpu);
}

#endif
