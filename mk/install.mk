# make install: programs, manual pages, unit, examples.  make uninstall takes them away again.
#
#   PREFIX=/usr/local     where to
#   DESTDIR=              a folder that stands for /, for packages
#   SYSCONFDIR=/etc       where the unit looks for letterplate/letterplate.conf; nothing is written there
#
# All programs stand in one folder: letterplate looks for letterplate-worker, letterplate-keys, letterplate-auth and letterplate-reports beside itself.
BINDIR ?= $(PREFIX)/bin
MANDIR ?= $(PREFIX)/share/man
UNITDIR ?= $(PREFIX)/lib/systemd/system
SYSUSERSDIR ?= $(PREFIX)/lib/sysusers.d
TMPFILESDIR ?= $(PREFIX)/lib/tmpfiles.d
EXAMPLEDIR ?= $(PREFIX)/share/doc/letterplate/examples
SYSCONFDIR ?= /etc
INSTALL ?= install

MANUALS = $(wildcard man/*.[1-9])
EXAMPLES = $(wildcard examples/*.*)
MODULE_EXAMPLES = $(wildcard examples/modules/*.c)
INCLUDEDIR ?= $(PREFIX)/include/letterplate
PKGCONFIGDIR ?= $(PREFIX)/lib/pkgconfig
# handler.h and what it includes
HEADERS = worker/handlers/handler.h worker/smtp/edit.h worker/smtp/txn.h common/addr.h common/arena.h common/quota.h common/reply.h common/span.h
at = $(DESTDIR)$(1)

install: all
	$(INSTALL) -d $(call at,$(BINDIR)) $(call at,$(UNITDIR)) $(call at,$(SYSUSERSDIR)) $(call at,$(TMPFILESDIR)) \
	    $(call at,$(EXAMPLEDIR)) $(sort $(foreach m,$(MANUALS),$(call at,$(MANDIR)/man$(subst .,,$(suffix $(m))))))
	$(INSTALL) -m 755 $(PROGRAMS:%=$(BIN)/%) $(call at,$(BINDIR))/
	for m in $(MANUALS); do $(INSTALL) -m 644 $$m $(call at,$(MANDIR))/man$${m##*.}/ || exit 1; done
	$(INSTALL) -m 644 $(EXAMPLES) $(call at,$(EXAMPLEDIR))/
	$(INSTALL) -d $(call at,$(EXAMPLEDIR)/modules) $(call at,$(PKGCONFIGDIR)) $(sort $(foreach h,$(HEADERS),$(call at,$(INCLUDEDIR)/$(dir $(h)))))
	$(INSTALL) -m 644 $(MODULE_EXAMPLES) $(call at,$(EXAMPLEDIR)/modules)/
	for h in $(HEADERS); do $(INSTALL) -m 644 $$h $(call at,$(INCLUDEDIR))/$$h || exit 1; done
	sed -e 's|@INCLUDEDIR@|$(INCLUDEDIR)|g' -e 's|@VERSION@|'"$$(sed -n 's/.*VERSION "\(.*\)"/\1/p' common/version.h)"'|' contrib/letterplate.pc >$(call at,$(PKGCONFIGDIR))/letterplate.pc
	chmod 644 $(call at,$(PKGCONFIGDIR))/letterplate.pc
	sed -e 's|@BINDIR@|$(BINDIR)|g' -e 's|@SYSCONFDIR@|$(SYSCONFDIR)|g' contrib/letterplate.service \
	    >$(call at,$(UNITDIR))/letterplate.service
	sed -e 's|@BINDIR@|$(BINDIR)|g' contrib/letterplate-stats.service >$(call at,$(UNITDIR))/letterplate-stats.service
	chmod 644 $(call at,$(UNITDIR))/letterplate.service $(call at,$(UNITDIR))/letterplate-stats.service
	$(INSTALL) -m 644 contrib/letterplate.socket $(call at,$(UNITDIR))/letterplate.socket
	$(INSTALL) -m 644 contrib/letterplate.sysusers $(call at,$(SYSUSERSDIR))/letterplate.conf
	$(INSTALL) -m 644 contrib/letterplate.tmpfiles $(call at,$(TMPFILESDIR))/letterplate.conf

uninstall:
	rm -f $(foreach p,$(PROGRAMS),$(call at,$(BINDIR)/$(p))) $(call at,$(UNITDIR)/letterplate.service) $(call at,$(UNITDIR)/letterplate.socket) \
	    $(call at,$(UNITDIR)/letterplate-stats.service) \
	    $(call at,$(SYSUSERSDIR)/letterplate.conf) $(call at,$(TMPFILESDIR)/letterplate.conf) \
	    $(foreach m,$(MANUALS),$(call at,$(MANDIR)/man$(subst .,,$(suffix $(m)))/$(notdir $(m))))
	rm -rf $(call at,$(EXAMPLEDIR)) $(call at,$(INCLUDEDIR)) $(call at,$(PKGCONFIGDIR)/letterplate.pc)

.PHONY: install uninstall
