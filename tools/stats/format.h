/*
 * format: numbers as a person reads them.  Each function writes into the
 * caller's FORMAT_MAX octets and returns them.
 */
#ifndef TOOLS_STATS_FORMAT_H_
#define TOOLS_STATS_FORMAT_H_

#include <stdint.h>

enum { FORMAT_MAX = 48 };

const char *format_count(uint64_t n, char out[FORMAT_MAX]);                  /* 1,234,567 */
const char *format_size(uint64_t octets, char out[FORMAT_MAX]);              /* 1.2 GiB */
const char *format_us(double us, char out[FORMAT_MAX]);                      /* 1.23 ms */
const char *format_age(uint64_t seconds, char out[FORMAT_MAX]);              /* 2 h 3 min */
const char *format_time(uint64_t unix_s, char out[FORMAT_MAX]);              /* 2026-11-24 17:00:00 UTC */
const char *format_rate(double per_s, char out[FORMAT_MAX]);                 /* 12.3/s */
const char *format_share(uint64_t part, uint64_t all, char out[FORMAT_MAX]); /* 12.3 % */
#endif
