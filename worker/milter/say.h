/*
 * say: the commands of a session, each with its macros, into a link's output.
 * What the milter does not want is left out; its macros are said all the same,
 * for it may ask for them at the end (Postfix and Sendmail do so too).
 * All return 0, or -1 with errno ENOBUFS or ENOMEM.
 */
#ifndef WORKER_MILTER_SAY_H_
#define WORKER_MILTER_SAY_H_

#include "worker/milter/link.h"
#include "worker/milter/macros.h"

int say_options(struct milter_link *k);
int say_connect(struct milter_link *k, const struct milter_facts *f);
int say_helo(struct milter_link *k, const struct milter_facts *f);
int say_mail(struct milter_link *k, const struct milter_facts *f, const struct txn *t);
int say_rcpt(struct milter_link *k, const struct milter_facts *f, const struct txn *t, const struct rcpt *rc);
/* The recipient was refused with ${r}: a milter that agreed to it is told. */
int say_refused(struct milter_link *k, const struct milter_facts *f, const struct txn *t, const struct rcpt *rc,
    const struct reply *r);
int say_data(struct milter_link *k, const struct milter_facts *f, const struct txn *t);

/* ${value} with the blank behind the colon, if there is one. */
int say_field(struct milter_link *k, struct span name, struct span value);
int say_end_of_header(struct milter_link *k, const struct milter_facts *f, const struct txn *t);
int say_body(struct milter_link *k, struct span chunk);
int say_end(struct milter_link *k, const struct milter_facts *f, const struct txn *t);
/* ${line}: no command of ours.  No macros: Sendmail says none. */
int say_unknown(struct milter_link *k, struct span line);
int say_abort(struct milter_link *k);

#endif
