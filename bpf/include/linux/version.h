/* SPDX-License-Identifier: GPL-2.0 */
/* BCC's helpers.h wants a version. Our programs ask for none: one tree for every kernel. */
#ifndef REMORA_LINUX_VERSION_H
#define REMORA_LINUX_VERSION_H
#define KERNEL_VERSION(a, b, c) (((a) << 16) + ((b) << 8) + ((c) > 255 ? 255 : (c)))
#define LINUX_VERSION_CODE KERNEL_VERSION(6, 1, 0)
#endif
