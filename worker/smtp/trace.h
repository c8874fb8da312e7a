/*
 * trace: the lines that a receiver puts in front of a message.
 * RFC 5321 4.4 (Return-Path, Received), RFC 3848 (WITH), RFC 9228
 * (Delivered-To).  Lines end in LF, as Maildir files do.  What came from
 * outside is made harmless here and nowhere else.  PURE.
 */
#ifndef WORKER_SMTP_TRACE_H_
#define WORKER_SMTP_TRACE_H_

#include <sys/types.h>

#include "worker/smtp/txn.h"

enum {
	TRACE_RECEIVED_MAX = 2048, /* octets that trace_received() needs at the most */
	TRACE_TARGET_MAX   = 5120  /* octets that trace_target() needs at the most */
};

struct trace {
	struct span helo;     /* as given, hostile */
	const char *rdns;     /* verified client name, or NULL */
	const char *remote;   /* "192.0.2.1", "IPv6:2001:db8::1", "unix" or "unknown" */
	const char *hostname; /* ours */
	const char *with;     /* smtp_with() */
	const char *tls;      /* "(version=TLSv1.3 cipher=...)" or NULL */
	const char *id;       /* of the message */
	int64_t     date;     /* unix seconds */
	int32_t     gmtoff;   /* seconds east of UTC */
};

/**
 * trace_received(tr, t, out, cap):
 * Write the folded Received field, with its final LF.  FOR stands in it only
 * when ${t} has one recipient (RFC 5321 7.2: Bcc).  TCP-info is "([ip])" or
 * "(rdns [ip])"; for a unix socket, which the grammar does not know, the
 * comment "(unix)".  Of a HELO that is no domain or literal each octet that
 * could not stand in one becomes '?'; UTF-8 stands only if ${t} is SMTPUTF8.
 * A date outside the years 1970 to 9999 becomes the nearest of them.  Octets
 * written, no NUL; -1 when ${cap} is too small (TRACE_RECEIVED_MAX suffices).
 */
ssize_t trace_received(const struct trace *tr, const struct txn *t, char *out, size_t cap);

/**
 * trace_target(t, tg, delivered_to, received, out, cap):
 * Write all that stands before the content in the file for ${tg}: Return-Path,
 * then (if ${delivered_to}) Delivered-To and, when the recipient as given
 * differs from the mailbox, X-Original-To; then ${received} as it is.  Of
 * several recipients it is the one that named the mailbox first.  A mailbox
 * with UTF-8 stands raw in Delivered-To even if the message is not SMTPUTF8
 * (an alias led there): the field must read the same when the message loops.
 * Octets written, or -1 when ${cap} is too small (TRACE_TARGET_MAX suffices).
 */
ssize_t trace_target(
    const struct txn *t, const struct target *tg, bool delivered_to, struct span received, char *out, size_t cap);
#endif
