/* SPDX-License-Identifier: GPL-2.0 */
/* Empty: BCC's helpers.h includes it and uses nothing of it. */
