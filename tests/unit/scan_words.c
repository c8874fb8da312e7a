/*
 * The same suite for machines without SSE2: there eight octets are a word.
 */
#undef __SSE2__
#include "tests/unit/scan.c" /* NOLINT(bugprone-suspicious-include) */
