/*
 * notify: what the service manager is told (sd_notify(3)), by hand: the
 * protocol is one datagram and needs no library.
 */
#ifndef MASTER_NOTIFY_H_
#define MASTER_NOTIFY_H_

#include <stdint.h>

/* Take $NOTIFY_SOCKET out of the environment; without it all else is a no-op. */
void notify_init(void);

/* Where to, for a successor, and as a predecessor knew it; NULL: nobody listens. */
const char *notify_name(void);
void        notify_set(const char *name);

/* Send lines such as "READY=1\nSTATUS=...".  Never waits: if the manager does not read, it is sent later, in order; what can't be sent is lost, and logged. */
void notify_send(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* "RELOADING=1" with the time that Type=notify-reload wants. */
void notify_reloading(void);

/* Once a turn of the loop: try again what waits. */
void    notify_due(void);
int64_t notify_next_ms(void);
#endif
