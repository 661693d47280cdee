/* SPDX-License-Identifier: GPL-2.0 */
/* BCC's helpers.h rounds ring sizes with it. */
#ifndef REMORA_LINUX_LOG2_H
#define REMORA_LINUX_LOG2_H
#define roundup_pow_of_two(n) ((n) <= 1 ? 1UL : (1UL << (64 - __builtin_clzl((n) - 1))))
#endif
