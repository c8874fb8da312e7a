/*
 * log_wire: a line as a datagram, for the journal or a syslog daemon.
 * It takes apart what log.c put together, and nothing else.
 */
#ifndef COMMON_LOG_WIRE_H_
#define COMMON_LOG_WIRE_H_

#include <stddef.h>

#include "common/log.h"

/*
 * Octets of a datagram: the line, once more as fields, and what is in front of each.  Far below what a datagram may have
 * (net.core.wmem_default is 208 KiB), so none has to go by a memfd.
 */
enum { LOG_WIRE_MAX = 4 * LOG_LINE_MAX };

/**
 * log_wire_journal(line, n, out), log_wire_syslog(line, n, out):
 * ${line}: ${n} octets, with or without its line end.  How many of ${out}'s LOG_WIRE_MAX octets make up the datagram: by
 * systemd's native journal protocol, a field LETTERPLATE_KEY for each of the line's; by RFC 3164 as local daemons take it,
 * without a host name, facility mail.
 */
size_t log_wire_journal(const char *line, size_t n, char *out);
size_t log_wire_syslog(const char *line, size_t n, char *out);
#endif
