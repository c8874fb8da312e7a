/* sums: the checksums and the tail behind the pages of a snapshot; see common/mdbfile.h. */
#ifndef TOOLS_MAILBOXES_SUMS_H_
#define TOOLS_MAILBOXES_SUMS_H_

#include <stddef.h>

/* Cut ${fd} to its pages and write their checksums and the tail.  0, or -1 with errno. */
int sums_write(int fd, size_t npages, size_t psize);
#endif
