/* SPDX-License-Identifier: GPL-2.0 */
/* Empty: BCC brings its own copy, and the system's would define everything twice. */
