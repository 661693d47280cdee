/* SPDX-License-Identifier: GPL-2.0 */
/* BCC takes this file's presence for a kernel source tree, and includes it first. */
#ifndef REMORA_LINUX_KCONFIG_H
#define REMORA_LINUX_KCONFIG_H
#define CONFIG_BPF_SYSCALL 1
#endif
