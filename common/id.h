/*
 * id: names for sessions and messages that are unique on this host, also
 * after a restart and when the clock jumps.
 */
#ifndef COMMON_ID_H_
#define COMMON_ID_H_

/*
 * ID_CHARS characters of [0-9a-v] and a NUL: 32 bits of the second the process
 * started plus its monotonic age (so it never goes back within one), 20
 * random bits of the process, 28 bits of a counter.
 */
enum { ID_CHARS = 16, ID_MAX = ID_CHARS + 1 };

/* Once a process, before id_next(). */
void id_init(void);

void id_next(char out[ID_MAX]);
#endif
