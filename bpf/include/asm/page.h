/* SPDX-License-Identifier: GPL-2.0 */
/* BCC's helpers.h counts ring sizes in pages. */
#ifndef REMORA_ASM_PAGE_H
#define REMORA_ASM_PAGE_H
#define PAGE_SHIFT 12
#define PAGE_SIZE (1UL << PAGE_SHIFT)
#endif
