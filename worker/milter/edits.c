/*
 * edits: what a milter wants changed, into the list of the message.
 * The list checks each entry itself; whether it stands is decided when the
 * milter has said its last word.
 */
#include "worker/milter/talk.h"

#include <errno.h>
#include <string.h>

/* A milter that agreed to it says itself what stands behind the colon; others leave out a blank. */
static int
write_header(const struct talk *t, const struct milter_reply *r, enum edit_kind kind, uint32_t index)
{
	bool blank = (t->seat.link->st.steps & MILTER_P_HDR_LEADSPC) == 0;

	return edit_as_said(t->edits, kind, index, r->name, r->value, blank);
}

/* Sendmail takes index 0 for 1, and an empty value for a deletion. */
static int
change_header(const struct talk *t, const struct milter_reply *r)
{
	uint32_t index = r->index == 0 ? 1 : r->index;

	if (r->value.n == 0)
		return edit_delete_header(t->edits, r->name, index);
	return write_header(t, r, EDIT_CHANGE_HEADER, index);
}

static int
replace_body(struct talk *t, struct span octets)
{
	if (!t->body_begun && edit_body(t->edits) != 0)
		return -1;
	t->body_begun = true;
	return edit_body_more(t->edits, octets);
}

static int
apply(struct talk *t, const struct milter_reply *r)
{
	struct edits *e = t->edits;

	switch (r->what) {
	case MILTER_R_ADDHEADER:
		return write_header(t, r, EDIT_ADD_HEADER, 0);
	case MILTER_R_INSHEADER:
		return write_header(t, r, EDIT_INSERT_HEADER, r->index);
	case MILTER_R_CHGHEADER:
		return change_header(t, r);
	case MILTER_R_REPLBODY:
		return replace_body(t, r->value);
	case MILTER_R_ADDRCPT:
	case MILTER_R_ADDRCPT_PAR:
		return edit_add_rcpt(e, r->name);
	case MILTER_R_DELRCPT:
		return edit_delete_rcpt(e, r->name);
	case MILTER_R_CHGFROM:
		return edit_sender(e, r->name);
	case MILTER_R_QUARANTINE:
		return edit_folder_why(e, span_str(TALK_QUARANTINE), r->value);
	case MILTER_R_SHUTDOWN:
	case MILTER_R_OPTNEG:
	case MILTER_R_ACCEPT:
	case MILTER_R_CONTINUE:
	case MILTER_R_DISCARD:
	case MILTER_R_CONN_FAIL:
	case MILTER_R_PROGRESS:
	case MILTER_R_REJECT:
	case MILTER_R_SKIP:
	case MILTER_R_TEMPFAIL:
	case MILTER_R_REPLYCODE:
		break;
	}
	errno = EINVAL;
	return -1;
}

int
talk_edit(struct talk *t, const struct milter_reply *r, const char **why)
{
	if (t->edits != NULL && apply(t, r) == 0)
		return 0;
	if (t->edits == NULL || errno == ENOMEM)
		*why = "no-memory";
	else
		*why = errno == EINVAL ? "edit-malformed" : "edit-too-much";
	return -1;
}
