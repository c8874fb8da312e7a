/*
 * What a session can hold at the worst has in it what its config makes possible.
 */
#include "worker/bound.h"
#include "common/report.h"
#include "tests/unit/suite.h"
#include "worker/milter/talk.h"
#include "worker/smtp/editor.h"
#include "worker/store/store.h"

enum { MESSAGE = 25 << 20, EDITING = 2 * EDIT_ROOM + EDITOR_HEADER_MAX + EDITOR_ARENA_MAX + 2 * STORE_CHUNK };

/* Sections, by the letters of their kinds, and what a session may hold of each, and all together, beside what it may without them. */
static const struct {
	const char *sections;
	bool lmtp, dsn;
	uint64_t each, shared;
} rows[] = {
	{ "", false, true, REPORT_HEADERS_MAX, REPORT_RECORD_MAX },
	{ "", true, false, EDITING, 0 },
	{ "d", false, false, 0, 0 },
	{ "p", false, false, EDITING, 0 },
	{ "h", false, false, EDITING + 2 * (uint64_t)MESSAGE, 0 },
	{ "m", false, false, EDITING + 2 * (uint64_t)MESSAGE + TALK_TODO_MAX, MILTER_OUT_MAX },
	{ "mm", false, false, EDITING + 2 * (uint64_t)MESSAGE + 2 * TALK_TODO_MAX, 2 * MILTER_OUT_MAX },
};

static enum conf_kind
kind(char letter)
{
	switch (letter) {
	case 'd':
		return CONF_K_DNS;
	case 'p':
		return CONF_K_POLICY;
	case 'h':
		return CONF_K_HANDLER;
	default:
		return CONF_K_MILTER;
	}
}

START_TEST(by_the_config)
{
	struct conf_handler handler[2] = { 0 };
	struct conf_listener listener = { .protocol = rows[_i].lmtp ? CONF_LMTP : CONF_SMTP };
	struct conf plain = { .message_size_limit = MESSAGE }, cf = plain;
	uint64_t each, shared;

	cf.handler = handler;
	cf.nhandler = strlen(rows[_i].sections);
	for (size_t i = 0; i < cf.nhandler; i++)
		handler[i].kind = kind(rows[_i].sections[i]);
	cf.listener = &listener;
	cf.nlistener = 1;
	cf.dsn = rows[_i].dsn;
	each = bound_session(&cf) - bound_session(&plain);
	shared = bound_shared(&cf) - bound_shared(&plain);
	ck_assert_uint_ge(each, rows[_i].each);
	ck_assert_uint_ge(shared, rows[_i].shared);
	/* No more than it must be: nothing is nothing. */
	ck_assert((each == 0) == (rows[_i].each == 0));
	ck_assert((shared == 0) == (rows[_i].shared == 0));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("bound");
	TCase *c = tcase_create("bound");

	tcase_add_loop_test(c, by_the_config, 0, sizeof(rows) / sizeof(rows[0]));
	suite_add_tcase(s, c);
	return suite_run(s);
}
