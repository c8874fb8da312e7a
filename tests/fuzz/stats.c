/*
 * fuzz stats: no octets in a segment crash the reader or get through into a
 * form as more than printable ASCII.  The input is a patch: records of
 * two octets of place (in words), then eight octets that are put there.
 */
#include <sys/mman.h>

#include <stdlib.h>
#include <unistd.h>

#include "common/stats_form.h"
#include "tools/stats/show.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RECORD = 10, SLOTS_USED = 3 };

static void
must(bool ok)
{
	if (!ok)
		abort();
}

static void
put_head(int fd)
{
	struct stats_head h = {
		.magic = STATS_MAGIC,
		.layout = STATS_LAYOUT_ALL,
		.nslots = STATS_SLOTS,
		.slot_size = sizeof(struct stats_slot),
		.started = 1,
		.version = "fuzz",
		.head = STATS_HEAD,
		.form = stats_form_sum(),
		.settled = 1,
	};

	/* Emptied and grown again: all zero. */
	must(ftruncate(fd, 0) == 0);
	must(ftruncate(fd, STATS_HEAD + STATS_SLOTS * (off_t)sizeof(struct stats_slot)) == 0);
	must(pwrite(fd, &h, sizeof(h), 0) == (ssize_t)sizeof(h));
}

static void
show(const struct sample *s)
{
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	must(f != NULL);
	table_print(f, s, s, false);
	prometheus_print(f, s);
	must(json_print(f, s, false) == 0);
	must(fclose(f) == 0);
	for (size_t i = 0; i < n; i++)
		must(text[i] == '\n' || (text[i] >= ' ' && text[i] < 0x7f));
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	static char path[40];
	char error[SHOW_ERROR_MAX];
	struct sample s;

	if (fd == -1) {
		must((fd = memfd_create("fuzz", 0)) != -1);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	}
	put_head(fd);
	for (; size >= RECORD; data += RECORD, size -= RECORD) {
		size_t word = data[0] | (size_t)data[1] << 8;
		size_t words = sizeof(struct stats_slot) * SLOTS_USED / 8;
		/* One place in 16 is in the head; else a slot's. */
		off_t at = word % 16 == 0 ? (off_t)(word / 16 % 8) * 8 : STATS_HEAD + (off_t)(word % words) * 8;

		must(pwrite(fd, data + 2, 8, at) == 8);
	}
	if (size == 2) /* a rest of two octets cuts the file */
		must(ftruncate(fd, (data[0] | data[1] << 8) * 64L) == 0);
	if (sample_take(path, &s, error) == 0) {
		show(&s);
		sample_free(&s);
	}
	return 0;
}
