/*
 * tickets, bundle: what the master shares with workers and the key process by
 * memfds: that they can read it, that it turns, that nobody can change it.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "common/bundle.h"
#include "common/tickets.h"
#include "tests/unit/suite.h"

static void
secrets(const struct tickets *t, uint8_t out[TICKETS_KEPT][TICKETS_SECRET])
{
	for (unsigned i = 0; i < TICKETS_KEPT; i++)
		ck_assert_int_eq(tickets_secret(t, tickets_serial(t), i, out[i]), 0);
}

START_TEST(t_turning)
{
	uint8_t before[TICKETS_KEPT][TICKETS_SECRET], after[TICKETS_KEPT][TICKETS_SECRET];
	struct tickets *t;
	int fd = tickets_create(&t);
	const struct tickets *seen = tickets_map(fd);
	uint64_t serial;

	ck_assert_ptr_nonnull(seen);
	serial = tickets_serial(seen);
	secrets(seen, before);
	ck_assert_int_ne(memcmp(before[0], before[1], TICKETS_SECRET), 0);
	tickets_turn(t, 1000);
	tickets_turn(t, 1000 + TICKETS_TURN_S - 1);
	secrets(seen, after);
	ck_assert_mem_eq(before, after, sizeof before);
	ck_assert_uint_eq(tickets_serial(seen), serial);
	tickets_turn(t, 1000 + TICKETS_TURN_S);
	ck_assert_uint_ne(tickets_serial(seen), serial);
	ck_assert_int_eq(tickets_secret(seen, serial, 0, after[0]), -1);
	secrets(seen, after);
	ck_assert_mem_eq(after[1], before[0], TICKETS_SECRET);
	ck_assert_int_ne(memcmp(after[0], before[0], TICKETS_SECRET), 0);
	/* The oldest is nowhere any more. */
	ck_assert_ptr_null(memmem(seen, 4096, before[1], TICKETS_SECRET));
	ck_assert_int_eq(tickets_secret(seen, tickets_serial(seen), TICKETS_KEPT, after[0]), -1);
}
END_TEST

START_TEST(t_only_the_master_writes)
{
	struct tickets *t;
	int fd = tickets_create(&t);

	ck_assert_ptr_eq(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
	ck_assert_int_eq(pwrite(fd, "x", 1, 0), -1);
	ck_assert_int_eq(ftruncate(fd, 0), -1);
	errno = 0;
	ck_assert_ptr_null(tickets_map(open("/dev/null", O_RDONLY)));
	ck_assert_int_eq(errno, EBADMSG);
}
END_TEST

static char *
file_with(char path[32], const char *text)
{
	int fd;

	snprintf(path, 32, "/tmp/letterplate.XXXXXX");
	fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	return path;
}

START_TEST(t_bundle)
{
	char a[32], b[32];
	const char *path[] = { file_with(a, "first"), "", NULL, file_with(b, "last\n") }, *bad;
	int fd = bundle_make("test", path, 4, &bad);
	struct bundle got;

	ck_assert_int_ge(fd, 0);
	/* What becomes of the files is no matter. */
	unlink(a);
	unlink(b);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(bundle_open(fd, &got), 0);
		ck_assert_uint_eq(got.n, 4);
		ck_assert(span_eq(bundle_file(&got, 0), SPAN("first")));
		ck_assert_uint_eq(bundle_file(&got, 1).n, 0);
		ck_assert_uint_eq(bundle_file(&got, 2).n, 0);
		ck_assert(span_eq(bundle_file(&got, 3), SPAN("last\n")));
		ck_assert_uint_eq(bundle_file(&got, 4).n, 0);
		bundle_close(&got);
	}
	ck_assert_int_eq(pwrite(fd, "x", 1, 0), -1);
	ck_assert_int_eq(ftruncate(fd, 0), -1);
}
END_TEST

START_TEST(t_bundle_refuses)
{
	const char *none[] = { "/nonexistent/file" }, *folder[] = { "/tmp" }, *device[] = { "/dev/zero" }, *bad;
	char a[32], large[32];
	const char *too_large[] = { file_with(large, "x") };
	struct bundle b;
	int fd;

	ck_assert_int_eq(bundle_make("test", none, 1, &bad), -1);
	ck_assert_str_eq(bad, none[0]);
	ck_assert_int_eq(bundle_make("test", folder, 1, &bad), -1);
	ck_assert_int_eq(bundle_make("test", device, 1, &bad), -1);
	ck_assert_int_eq(truncate(large, BUNDLE_FILE_MAX + 1), 0);
	ck_assert_int_eq(bundle_make("test", too_large, 1, &bad), -1);
	ck_assert_int_eq(errno, EFBIG);
	ck_assert_int_eq(truncate(large, BUNDLE_FILE_MAX), 0);
	ck_assert_int_ge(bundle_make("test", too_large, 1, &bad), 0);
	unlink(large);
	/* Not a bundle, and one that claims more than it holds. */
	fd = open(file_with(a, "no bundle at all"), O_RDWR);
	ck_assert_int_eq(bundle_open(fd, &b), -1);
	ck_assert_int_eq(errno, EBADMSG);
	ck_assert_int_eq(ftruncate(fd, 8192), 0);
	ck_assert_int_eq(pwrite(fd, "FBPL\xff\xff\xff\xff", 8, 0), 8);
	ck_assert_int_eq(bundle_open(fd, &b), -1);
	ck_assert_int_eq(pwrite(fd, "FBPL\x01\0\0\0\xff\xff\xff\xff", 12, 0), 12);
	ck_assert_int_eq(bundle_open(fd, &b), -1);
	unlink(a);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("tickets");
	TCase *tc = tcase_create("memfds");

	tcase_add_test(tc, t_turning);
	tcase_add_test(tc, t_only_the_master_writes);
	tcase_add_test(tc, t_bundle);
	tcase_add_test(tc, t_bundle_refuses);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
