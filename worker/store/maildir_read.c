/*
 * maildir_read: content that is complete is handed out again, for those who
 * edit it.  What is in memory is lent; what is in the spool is read by the pool.
 */
#include <errno.h>
#include <unistd.h>

#include "worker/store/maildir.h"

void
maildir_read_run(struct iojob *j)
{
	struct store_msg *m = (struct store_msg *)(void *)j;
	uint64_t left = m->spool->content - m->read_at;
	size_t want = left < STORE_CHUNK ? (size_t)left : STORE_CHUNK;

	m->read_n = 0;
	m->read_err = 0;
	while (m->read_n < want) {
		ssize_t n = pread(m->spool->fd, m->out + m->read_n, want - m->read_n,
		    (off_t)(m->spool->nprefix + m->read_at + m->read_n));

		if (n <= 0) {
			m->read_err = n == 0 ? EIO : errno;
			return;
		}
		m->read_n += (size_t)n;
	}
}

static void
read_finished(struct iojob *j)
{
	struct store_msg *m = (struct store_msg *)(void *)j;

	m->busy = false;
	if (m->txn == NULL)
		maildir_aborted(m);
	else
		m->read_done(m->read_arg, span_of(m->out, m->read_n), m->read_err);
}

void
maildir_read_go(struct store_msg *m)
{
	uint64_t spooled = m->spool != NULL ? m->spool->content : 0;
	size_t at;

	m->reading = false;
	if (m->err != 0) {
		m->read_done(m->read_arg, span_of(NULL, 0), m->err);
		return;
	}
	if (m->fill != NULL)
		m->nfill += fold_end(&m->fold, m->fill + m->nfill);
	if (m->read_at < spooled) {
		maildir_submit(m, maildir_read_run, read_finished);
		return;
	}
	at = m->read_at - spooled < m->nfill ? (size_t)(m->read_at - spooled) : m->nfill;
	m->read_done(m->read_arg, m->fill != NULL ? span_of(m->fill + at, m->nfill - at) : span_of(NULL, 0), 0);
}

void
maildir_read(struct store_msg *m, uint64_t at, void (*done)(void *arg, struct span s, int err), void *arg)
{
	m->read_at = at;
	m->read_done = done;
	m->read_arg = arg;
	if (m->busy)
		m->reading = true;
	else
		maildir_read_go(m);
}
